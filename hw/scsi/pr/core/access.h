// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which commands a reservation admits (SPC-3 tables 33 and 34, SBC-3 table 13;
// for a legacy reservation SPC-2 table 10).
//
// Split in two so that admission costs O(1): Classify() puts a command into an
// access class by its CDB alone; AllowedAccess() says which classes a nexus
// may use in a state. The second is computed once a change, by the one who
// changes the state, and published as a mask.
#pragma once

#include <cstdint>

#include "core/state.h"
#include "spc/bytes.h"

namespace scsi_pr {

// Commands that are always allowed or refused together. "Lost" is PERSISTENT
// RESERVATION INFORMATION LOST (SPC-4 5.13.5.3.2); while it lasts, the commands
// of 5.13.5.2 are allowed and no others.
enum class AccessClass : uint8_t {
  kUnrestricted,        // nothing stops it
  kAllowMediumRemoval,  // PREVENT=0: no reservation stops it; lost does
  kStartUnit,           // and the like: only a legacy reservation stops it
  kTestUnitReady,       // and the like: a legacy reservation and lost stop it
  kRead,                // conflicts with exclusive access
  kReadBuffer,          // likewise, but lost does not stop it
  kWrite,               // conflicts with any reservation; also every unknown command
  kWriteBuffer,         // likewise, but lost does not stop it
  // PERSISTENT RESERVE IN/OUT, RESERVE, RELEASE: judged by the transition. The last.
  kReservation,
};
inline constexpr unsigned kAccessClasses = static_cast<unsigned>(AccessClass::kReservation) + 1;

// One bit for each AccessClass.
using AccessMask = uint32_t;

constexpr AccessMask Bit(AccessClass access) {
  return AccessMask{1} << static_cast<unsigned>(access);
}

inline constexpr AccessMask kFullAccess = (AccessMask{1} << kAccessClasses) - 1;
// No class, but why others are refused: not in RESERVATION CONFLICT status.
inline constexpr AccessMask kInformationLost = AccessMask{1} << kAccessClasses;

// `cdb` may be shorter than its operation code demands: missing bytes count
// as what conflicts most.
AccessClass Classify(ByteSpan cdb);

AccessMask AllowedAccess(const State& state, const Nexus& nexus);

}  // namespace scsi_pr
