// SPDX-License-Identifier: GPL-2.0-or-later
//
// Operations and logical units in words.
#include <cstdio>
#include <sstream>
#include <variant>

#include "history.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr::linear {

namespace {

constexpr const char* kOutNames[] = {"REGISTER",
                                     "RESERVE",
                                     "RELEASE",
                                     "CLEAR",
                                     "PREEMPT",
                                     "PREEMPT AND ABORT",
                                     "REGISTER AND IGNORE EXISTING KEY",
                                     "REGISTER AND MOVE"};
constexpr const char* kInNames[] = {"READ KEYS", "READ RESERVATION", "REPORT CAPABILITIES",
                                    "READ FULL STATUS"};

std::string Text(const Nexus& nexus) {
  const bool all = nexus.target_port == Nexus::kAllTargetPorts;
  return nexus.initiator.ToText() + "@" + (all ? "all" : std::to_string(nexus.target_port));
}

std::string Hex(const ByteVector& bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i++) {
    char digits[4];
    snprintf(digits, sizeof(digits), "%s%02x", i > 0 && i % 8 == 0 ? " " : "", bytes[i]);
    text += digits;
  }
  return text;
}

std::string Text(const PersistentReserveOut& out) {
  std::ostringstream text;
  text << kOutNames[static_cast<size_t>(out.action)] << " key " << out.reservation_key
       << ", action key " << out.service_action_reservation_key << ", type "
       << static_cast<int>(out.type) << (out.aptpl ? ", APTPL" : "")
       << (out.all_tg_pt ? ", ALL_TG_PT" : "") << (out.unreg ? ", UNREG" : "");
  for (const TransportId& id : out.transport_ids) text << ", " << id.ToText();
  if (out.action == OutAction::kRegisterAndMove) text << '@' << out.target_port;
  return text.str();
}

std::string CommandText(const Operation& operation) {
  const ByteVector& cdb = operation.cdb;
  if (!cdb.empty() && cdb[0] == opcode::kPersistentReserveOut) {
    const auto parsed = ParsePersistentReserveOut(cdb, operation.data_out);
    if (const auto* out = std::get_if<PersistentReserveOut>(&parsed)) return Text(*out);
  }
  if (!cdb.empty() && cdb[0] == opcode::kPersistentReserveIn) {
    const auto parsed = ParsePersistentReserveIn(cdb);
    if (const auto* in = std::get_if<PersistentReserveIn>(&parsed)) {
      return kInNames[static_cast<size_t>(in->action)];
    }
  }
  return "command " + Hex(cdb);
}

// Parameter data in words, where it is whole.

std::string KeysText(ByteSpan data) {
  std::string text = ", keys";
  for (size_t i = 8; i + 8 <= data.size(); i += 8) {
    text += " " + std::to_string(LoadBE<uint64_t>(data, i));
  }
  return text;
}

std::string ReservationText(ByteSpan data) {
  if (data.size() < 24) return ", no reservation";
  return ", reserved with key " + std::to_string(LoadBE<uint64_t>(data, 8)) + ", type " +
         std::to_string(data[21] & 0xF);
}

std::string FullStatusText(ByteSpan data) {
  constexpr size_t kFixed = 24;  // of a descriptor, before its TransportID
  std::ostringstream text;
  for (size_t i = 8; i + kFixed <= data.size();) {
    const size_t length = LoadBE<uint32_t>(data, i + 20);
    if (length > data.size() - i - kFixed) break;
    size_t consumed = 0;
    const auto id = TransportId::Decode(data.subspan(i + kFixed, length), &consumed);
    const bool all = (data[i + 12] & 0x02) != 0;
    text << "; " << (id ? id->ToText() : "?") << '@'
         << (all ? "all" : std::to_string(LoadBE<uint16_t>(data, i + 18))) << " key "
         << LoadBE<uint64_t>(data, i);
    if ((data[i + 12] & 0x01) != 0) text << " holds type " << (data[i + 13] & 0xF);
    i += kFixed + length;
  }
  return text.str();
}

std::string DataText(const Operation& operation, const ByteVector& data) {
  const bool in = operation.cdb.size() > 1 && operation.cdb[0] == opcode::kPersistentReserveIn;
  if (!in || data.size() < 8) return Hex(data);
  const std::string generation = "PRgeneration " + std::to_string(LoadBE<uint32_t>(data, 0));
  switch (static_cast<InAction>(operation.cdb[1])) {
    case InAction::kReadKeys: return generation + KeysText(data);
    case InAction::kReadReservation: return generation + ReservationText(data);
    case InAction::kReadFullStatus: return generation + FullStatusText(data);
    case InAction::kReportCapabilities: break;
  }
  return Hex(data);
}

}  // namespace

std::string DescribeResponse(const Operation& operation, const Response& response) {
  switch (response.status) {
    case ScsiStatus::kGood:
      if (response.data.empty()) return "GOOD";
      return "GOOD: " + DataText(operation, response.data);
    case ScsiStatus::kReservationConflict: return "RESERVATION CONFLICT";
    case ScsiStatus::kBusy: return "BUSY";
    case ScsiStatus::kCheckCondition: break;
  }
  return "CHECK CONDITION " + Hex({response.sense.key, response.sense.asc, response.sense.ascq});
}

std::string Describe(const Operation& operation) {
  const std::string who = Text(operation.nexus) + " ";
  if (operation.kind == Operation::Kind::kGone) {
    return who + "is gone" + (operation.end ? "" : " or about to go");
  }
  const bool attach = operation.kind == Operation::Kind::kAttach;
  const std::string what = attach ? "attaches" : CommandText(operation);
  if (!operation.end) return who + what + " -> unknown";
  return who + what + " -> " + DescribeResponse(operation, operation.response);
}

std::string Describe(const LogicalUnit& unit) {
  std::ostringstream text;
  text << "PRgeneration " << unit.state.generation << (unit.state.aptpl ? ", APTPL" : "");
  for (const Registration& registration : unit.state.registrations) {
    text << "; " << Text(registration.nexus) << " key " << registration.key;
  }
  if (const auto& reservation = unit.state.reservation) {
    text << "; reserved " << TypeName(reservation->type);
    if (reservation->holder) text << " by " << Text(*reservation->holder);
  }
  text << "; " << unit.attached.size() << " attached";
  return text.str();
}

}  // namespace scsi_pr::linear
