// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/persistent_reserve.h"

#include <algorithm>

#include "spc/control.h"
#include "spc/opcodes.h"

namespace scsi_pr {

namespace {

constexpr size_t kCdbLength = 10;
constexpr size_t kParameterListLength = 24;
constexpr uint8_t kServiceActionMask = 0x1F;
constexpr size_t kControlByte = 9;

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

constexpr const TypeRow* RowOf(uint8_t code) {
  for (const TypeRow& row : kTypes) {
    if (static_cast<uint8_t>(row.type) == code) return &row;
  }
  return nullptr;
}

// A type that nobody has looked at before conflicts with most.
const TypeRow& RowOf(Type type) {
  const TypeRow* row = RowOf(static_cast<uint8_t>(type));
  return row != nullptr ? *row : *RowOf(static_cast<uint8_t>(Type::kExclusiveAccess));
}

// Table 108 at `offset`: a length in four bytes, then that many bytes of
// TransportIDs, all of them within `list`.
std::optional<Sense> ParseTransportIds(ByteSpan list, size_t offset,
                                       std::vector<TransportId>* ids) {
  if (list.size() < offset + 4) return sense::kParameterListLengthError;
  const size_t length = LoadBE<uint32_t>(list, offset);
  if (length > list.size() - offset - 4) return sense::kParameterListLengthError;
  ByteSpan rest = list.subspan(offset + 4, length);
  while (!rest.empty()) {
    size_t consumed = 0;
    const auto id = TransportId::Decode(rest, &consumed);
    if (!id) return sense::kInvalidFieldInParameterList;
    ids->push_back(*id);
    rest = rest.subspan(consumed);
  }
  return std::nullopt;
}

// REGISTER AND MOVE came in two layouts. In the published one bytes 20-23 are
// the length of what follows; where the seed has SPEC_I_PT, which it demands
// to be one, that length would exceed 128 MiB. So the bit tells them apart.
std::optional<Sense> ParseMove(ByteSpan list, PersistentReserveOut* out) {
  const bool published = (list[20] & 0x08) == 0;
  size_t ids_offset = 24;
  if (published) {
    out->unreg = (list[17] & 0x02) != 0;
    out->aptpl = (list[17] & 0x01) != 0;
    out->target_port = LoadBE<uint16_t>(list, 18);
    ids_offset = 20;
    if (out->target_port == 0) return sense::kInvalidFieldInParameterList;
  } else {
    out->spec_i_pt = true;
    out->all_tg_pt = (list[20] & 0x04) != 0;
    out->aptpl = (list[20] & 0x01) != 0;
    // Table regerr: it would name more than one I_T nexus.
    if (out->all_tg_pt) return sense::kInvalidFieldInCdb;
  }
  if (auto sense = ParseTransportIds(list, ids_offset, &out->transport_ids)) return sense;
  if (out->transport_ids.size() != 1) return sense::kInvalidFieldInParameterList;
  return std::nullopt;
}

// Tables 107 and 108.
std::optional<Sense> ParseBasic(ByteSpan list, const OutActionRow& row, PersistentReserveOut* out) {
  out->spec_i_pt = (list[20] & 0x08) != 0;
  out->all_tg_pt = (list[20] & 0x04) != 0;
  out->aptpl = (list[20] & 0x01) != 0;
  if (!out->spec_i_pt) {
    if (list.size() != kParameterListLength) return sense::kParameterListLengthError;
    return std::nullopt;
  }
  if (!row.transport_ids) return std::nullopt;  // ignored, with what follows
  return ParseTransportIds(list, kParameterListLength, &out->transport_ids);
}

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
  if (cdb.size() < kCdbLength || AsksForAcaOrLink(cdb[kControlByte]))
    return sense::kInvalidFieldInCdb;
  const OutActionRow* row = FindOutAction(cdb[1] & kServiceActionMask);
  if (row == nullptr) return sense::kInvalidFieldInCdb;

  const auto length = LoadBE<uint32_t>(cdb, 5);
  if (length < kParameterListLength || parameter_list.size() < length) {
    return sense::kParameterListLengthError;
  }
  const ByteSpan list = parameter_list.first(length);
  PersistentReserveOut out;
  out.action = row->action;
  out.scope = cdb[2] >> 4;
  out.type = cdb[2] & 0x0F;
  out.reservation_key = LoadBE<uint64_t>(list, 0);
  out.service_action_reservation_key = LoadBE<uint64_t>(list, 8);
  const bool move = out.action == OutAction::kRegisterAndMove;
  if (const auto sense = move ? ParseMove(list, &out) : ParseBasic(list, *row, &out)) return *sense;
  return out;
}

std::variant<PersistentReserveIn, Sense> ParsePersistentReserveIn(ByteSpan cdb) {
  if (cdb.size() < kCdbLength || AsksForAcaOrLink(cdb[kControlByte]))
    return sense::kInvalidFieldInCdb;
  const uint8_t action = cdb[1] & kServiceActionMask;
  const auto* known = std::ranges::find(kInActions, InAction{action});
  if (known == std::end(kInActions)) return sense::kInvalidFieldInCdb;
  return PersistentReserveIn{*known, LoadBE<uint16_t>(cdb, 7)};
}

ByteVector EncodeCdb(const PersistentReserveOut& command) {
  ByteVector cdb(kCdbLength);
  cdb[0] = opcode::kPersistentReserveOut;
  cdb[1] = static_cast<uint8_t>(command.action);
  cdb[2] = static_cast<uint8_t>(command.scope << 4 | command.type);
  StoreBE(std::span<uint8_t>(cdb), 5, static_cast<uint32_t>(kParameterListLength));
  return cdb;
}

ByteVector EncodeParameterList(const PersistentReserveOut& command) {
  ByteVector list(kParameterListLength);
  StoreBE(std::span<uint8_t>(list), 0, command.reservation_key);
  StoreBE(std::span<uint8_t>(list), 8, command.service_action_reservation_key);
  list[20] = static_cast<uint8_t>(command.all_tg_pt << 2 | command.aptpl);
  return list;
}

ByteVector EncodeCdb(const PersistentReserveIn& command) {
  ByteVector cdb(kCdbLength);
  cdb[0] = opcode::kPersistentReserveIn;
  cdb[1] = static_cast<uint8_t>(command.action);
  StoreBE(std::span<uint8_t>(cdb), 7, command.allocation_length);
  return cdb;
}

}  // namespace scsi_pr
