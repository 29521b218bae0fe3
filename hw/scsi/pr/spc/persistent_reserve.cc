// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/persistent_reserve.h"

namespace scsi_pr {

namespace {

constexpr size_t kCdbLength = 10;
constexpr size_t kParameterListLength = 24;
constexpr uint8_t kServiceActionMask = 0x1F;
constexpr size_t kControlByte = 9;
constexpr uint8_t kNaca = 0x04;
constexpr uint8_t kLink = 0x01;

struct TypeRow {
  Type type;
  std::string_view name;
  bool exclusive_access;
  bool registrants_have_access;
  bool all_registrants;
};

constexpr TypeRow kTypes[] = {
    {Type::kWriteExclusive, "write-exclusive", false, false, false},
    {Type::kExclusiveAccess, "exclusive-access", true, false, false},
    {Type::kWriteExclusiveRegistrantsOnly, "write-exclusive-registrants-only", false, true, false},
    {Type::kExclusiveAccessRegistrantsOnly, "exclusive-access-registrants-only", true, true, false},
    {Type::kWriteExclusiveAllRegistrants, "write-exclusive-all-registrants", false, true, true},
    {Type::kExclusiveAccessAllRegistrants, "exclusive-access-all-registrants", true, true, true},
};

const TypeRow* RowOf(uint8_t code) {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint8_t>(row.type) == code) return &row;
  }
  return nullptr;
}

const TypeRow& RowOf(Type type) { return *RowOf(static_cast<uint8_t>(type)); }

// SAM-3 5.2: a device server without ACA and without linked commands (the
// standard INQUIRY data says NormACA=0) rejects a CONTROL byte that asks for
// either.
bool AsksForAcaOrLink(ByteSpan cdb) { return (cdb[kControlByte] & (kNaca | kLink)) != 0; }

bool IsOutAction(uint8_t code) {
  return code <= static_cast<uint8_t>(OutAction::kRegisterAndIgnoreExistingKey);
}

bool IsInAction(uint8_t code) { return code <= static_cast<uint8_t>(InAction::kReadFullStatus); }

}  // namespace

bool IsKnownType(uint8_t code) { return RowOf(code) != nullptr; }
bool IsAllRegistrants(Type type) { return RowOf(type).all_registrants; }
bool RegistrantsHaveAccess(Type type) { return RowOf(type).registrants_have_access; }
bool IsExclusiveAccess(Type type) { return RowOf(type).exclusive_access; }
std::string_view TypeName(Type type) { return RowOf(type).name; }

std::optional<Type> TypeFromName(std::string_view name) {
  for (const TypeRow& row : kTypes) {
    if (row.name == name) return row.type;
  }
  return std::nullopt;
}

std::variant<PersistentReserveOut, Sense> ParsePersistentReserveOut(ByteSpan cdb,
                                                                    ByteSpan parameter_list) {
  if (cdb.size() < kCdbLength || AsksForAcaOrLink(cdb)) return sense::kInvalidFieldInCdb;
  const uint8_t action = cdb[1] & kServiceActionMask;
  if (!IsOutAction(action)) return sense::kInvalidFieldInCdb;

  const auto length = LoadBE<uint32_t>(cdb, 5);
  if (length < kParameterListLength || parameter_list.size() < kParameterListLength) {
    return sense::kParameterListLengthError;
  }
  PersistentReserveOut out;
  out.action = static_cast<OutAction>(action);
  out.scope = cdb[2] >> 4;
  out.type = cdb[2] & 0x0F;
  out.reservation_key = LoadBE<uint64_t>(parameter_list, 0);
  out.service_action_reservation_key = LoadBE<uint64_t>(parameter_list, 8);
  out.spec_i_pt = (parameter_list[20] & 0x08) != 0;
  out.all_tg_pt = (parameter_list[20] & 0x04) != 0;
  out.aptpl = (parameter_list[20] & 0x01) != 0;
  if (!out.spec_i_pt && length != kParameterListLength) return sense::kParameterListLengthError;
  return out;
}

std::variant<PersistentReserveIn, Sense> ParsePersistentReserveIn(ByteSpan cdb) {
  if (cdb.size() < kCdbLength || AsksForAcaOrLink(cdb)) return sense::kInvalidFieldInCdb;
  const uint8_t action = cdb[1] & kServiceActionMask;
  if (!IsInAction(action)) return sense::kInvalidFieldInCdb;
  return PersistentReserveIn{static_cast<InAction>(action), LoadBE<uint16_t>(cdb, 7)};
}

}  // namespace scsi_pr
