// SPDX-License-Identifier: GPL-2.0-or-later
//
// Status codes (SAM-3 5.3) and the sense data this project returns (SPC-3
// 4.5.6). Encoding into fixed or descriptor format is the caller's: QEMU
// does it for every adapter.
#pragma once

#include <cstdint>

namespace scsi_pr {

enum class ScsiStatus : uint8_t {
  kGood = 0x00,
  kCheckCondition = 0x02,
  kBusy = 0x08,
  kReservationConflict = 0x18,
};

// Sense key, additional sense code and its qualifier.
struct Sense {
  uint8_t key = 0;
  uint8_t asc = 0;
  uint8_t ascq = 0;

  friend bool operator==(const Sense&, const Sense&) = default;
};

namespace sense {

inline constexpr Sense kNone{0x0, 0x00, 0x00};
inline constexpr Sense kParameterListLengthError{0x5, 0x1A, 0x00};
inline constexpr Sense kInvalidCommandOperationCode{0x5, 0x20, 0x00};
inline constexpr Sense kInvalidFieldInCdb{0x5, 0x24, 0x00};
inline constexpr Sense kInvalidFieldInParameterList{0x5, 0x26, 0x00};
inline constexpr Sense kInvalidReleaseOfPersistentReservation{0x5, 0x26, 0x04};
inline constexpr Sense kInsufficientRegistrationResources{0x5, 0x55, 0x04};
// A logical unit reset (SAM-4 5.14), to whom it concerns.
inline constexpr Sense kBusDeviceResetFunctionOccurred{0x6, 0x29, 0x03};
inline constexpr Sense kReservationsPreempted{0x6, 0x2A, 0x03};
inline constexpr Sense kReservationsReleased{0x6, 0x2A, 0x04};
inline constexpr Sense kRegistrationsPreempted{0x6, 0x2A, 0x05};
// ABORTED COMMAND: whether it was carried out is not known.
inline constexpr Sense kLogicalUnitCommunicationTimeOut{0xB, 0x08, 0x01};
// A store that fails is a failing part of the target: the initiator may
// retry, and nothing has changed.
inline constexpr Sense kInternalTargetFailure{0x4, 0x44, 0x00};
// DATA PROTECT (SPC-4 5.13.5.3).
inline constexpr Sense kPersistentReservationInformationLost{0x7, 0x44, 0x01};

}  // namespace sense

}  // namespace scsi_pr
