// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE IN and OUT as they come from an initiator (SPC-3 6.11,
// 6.12): bytes to types. Everything here is hostile until parsed; parsing
// judges only what the bytes alone can show to be wrong. And types to bytes, for
// whoever is an initiator himself (path/).
#pragma once

#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "spc/bytes.h"
#include "spc/sense.h"
#include "spc/transport_id.h"

namespace scsi_pr {

// Table 106. Codes not named here are reserved.
enum class OutAction : uint8_t {
  kRegister = 0x00,
  kReserve = 0x01,
  kRelease = 0x02,
  kClear = 0x03,
  kPreempt = 0x04,
  kPreemptAndAbort = 0x05,
  kRegisterAndIgnoreExistingKey = 0x06,
  kRegisterAndMove = 0x07,
  kReplaceLostReservation = 0x08,  // SPC-4 6.16.2
};

// What there is to know of each: whoever deals with all of them goes through this table.
struct OutActionRow {
  OutAction action;
  std::string_view name;  // as ScsiPrOutAction of qapi/scsi-pr.json has it
  bool scope_and_type;    // it looks at them: they say which reservation it means or makes
  bool transport_ids;     // table 109: SPEC_I_PT is valid
};

inline constexpr OutActionRow kOutActions[] = {
    {OutAction::kRegister, "register", false, true},
    {OutAction::kReserve, "reserve", true, false},
    {OutAction::kRelease, "release", true, false},
    {OutAction::kClear, "clear", false, false},
    {OutAction::kPreempt, "preempt", true, true},
    {OutAction::kPreemptAndAbort, "preempt-and-abort", true, true},
    {OutAction::kRegisterAndIgnoreExistingKey, "register-and-ignore-existing-key", false, true},
    {OutAction::kRegisterAndMove, "register-and-move", false, false},  // a list of its own
    {OutAction::kReplaceLostReservation, "replace-lost-reservation", true, false},
};

// Codes from 0 on without a gap: a row's index is its code.
template <typename Rows>
consteval bool IndexIsCode(const Rows& rows) {
  for (size_t i = 0; i < std::size(rows); i++) {
    if (static_cast<size_t>(rows[i].action) != i) return false;
  }
  return true;
}
static_assert(IndexIsCode(kOutActions));

// Nothing for a reserved code.
constexpr const OutActionRow* FindOutAction(uint8_t code) {
  return code < std::size(kOutActions) ? &kOutActions[code] : nullptr;
}

// Table 97.
enum class InAction : uint8_t {
  kReadKeys = 0x00,
  kReadReservation = 0x01,
  kReportCapabilities = 0x02,
  kReadFullStatus = 0x03,
};

inline constexpr InAction kInActions[] = {InAction::kReadKeys, InAction::kReadReservation,
                                          InAction::kReportCapabilities, InAction::kReadFullStatus};

// SPC-3 6.11.4.3. Other values are reserved or obsolete.
enum class Type : uint8_t {
  kWriteExclusive = 0x1,
  kExclusiveAccess = 0x3,
  kWriteExclusiveRegistrantsOnly = 0x5,
  kExclusiveAccessRegistrantsOnly = 0x6,
  kWriteExclusiveAllRegistrants = 0x7,
  kExclusiveAccessAllRegistrants = 0x8,
};

// SPC-3 6.11.4.2: the only scope since elements and extents became obsolete.
inline constexpr uint8_t kLogicalUnitScope = 0x0;

bool IsKnownType(uint8_t code);
bool IsAllRegistrants(Type type);
// Registrants Only or All Registrants: every registered nexus has access.
bool RegistrantsHaveAccess(Type type);
bool IsExclusiveAccess(Type type);

// `write-exclusive-registrants-only`, …: the names in documents and QMP.
std::string_view TypeName(Type type);
std::optional<Type> TypeFromName(std::string_view name);

// A PERSISTENT RESERVE OUT command with its parameter list (table 107, and for
// REGISTER AND MOVE the published one, SPC-3 r23 6.12.4).
struct PersistentReserveOut {
  OutAction action = OutAction::kRegister;
  uint8_t scope = 0;  // as received: not every action looks at it
  uint8_t type = 0;   // likewise
  uint64_t reservation_key = 0;
  uint64_t service_action_reservation_key = 0;
  bool spec_i_pt = false;
  bool all_tg_pt = false;
  bool aptpl = false;
  // With SPEC_I_PT, and with REGISTER AND MOVE, which has exactly one.
  std::vector<TransportId> transport_ids;
  // REGISTER AND MOVE only.
  bool unreg = false;
  uint16_t target_port = 0;  // 0: that of the command (the seed's layout names none)
};

// A PERSISTENT RESERVE IN command.
struct PersistentReserveIn {
  InAction action = InAction::kReadKeys;
  uint16_t allocation_length = 0;  // bytes
};

// SPC-3 6.12.1. `parameter_list` is the data-out that was transferred.
std::variant<PersistentReserveOut, Sense> ParsePersistentReserveOut(ByteSpan cdb,
                                                                    ByteSpan parameter_list);
// SPC-3 6.11.1.
std::variant<PersistentReserveIn, Sense> ParsePersistentReserveIn(ByteSpan cdb);

// The other way around: tables 105 and 96, and the parameter list of table 107 without
// TransportIDs; not for REGISTER AND MOVE, which has a list of its own.
ByteVector EncodeCdb(const PersistentReserveOut& command);
ByteVector EncodeParameterList(const PersistentReserveOut& command);
ByteVector EncodeCdb(const PersistentReserveIn& command);

}  // namespace scsi_pr
