// SPDX-License-Identifier: GPL-2.0-or-later
#include "history.h"

#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "core/document.h"

namespace scsi_pr::linear {

namespace {

using nlohmann::json;

constexpr const char* kKindNames[] = {"command", "attach", "gone"};

std::string ToHex(const ByteVector& bytes) {
  std::string hex;
  for (const uint8_t byte : bytes) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 0xF];
  }
  return hex;
}

ByteVector FromHex(const std::string& hex) {
  if (hex.size() % 2 != 0 || hex.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw std::invalid_argument("\"" + hex + "\" is not hexadecimal");
  }
  ByteVector bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Operation::Kind KindFromName(const std::string& name) {
  for (size_t i = 0; i < std::size(kKindNames); i++) {
    if (name == kKindNames[i]) return static_cast<Operation::Kind>(i);
  }
  throw std::invalid_argument("\"" + name + "\" is no kind of operation");
}

json ToJson(const LogicalUnit& unit) {
  json attached = json::array();
  for (const Nexus& nexus : unit.attached) attached.push_back(NexusToJson(nexus));
  return {{"state", EncodeDocument(unit.state)}, {"attached", std::move(attached)}};
}

LogicalUnit UnitFromJson(const json& object) {
  LogicalUnit unit;
  const Status status = DecodeDocument(object.at("state").get<std::string>(), &unit.state);
  if (!status.ok()) throw std::invalid_argument(status.message());
  for (const json& nexus : object.at("attached")) unit.attached.push_back(NexusFromJson(nexus));
  return unit;
}

json Header(const History& history) {
  json header = {{"persist-through-power-loss", history.capabilities.persist_through_power_loss},
                 {"abort-tasks", history.capabilities.abort_tasks},
                 {"before", json::array()}};
  for (const LogicalUnit& unit : history.before) header["before"].push_back(ToJson(unit));
  return header;
}

}  // namespace

std::string Encode(const Operation& operation) {
  json object = {{"kind", kKindNames[static_cast<size_t>(operation.kind)]},
                 {"nexus", NexusToJson(operation.nexus)},
                 {"life", operation.life},
                 {"cdb", ToHex(operation.cdb)},
                 {"data-out", ToHex(operation.data_out)},
                 {"call", operation.call}};
  if (operation.end) {
    const Sense& sense = operation.response.sense;
    object["end"] = *operation.end;
    object["status"] = static_cast<uint8_t>(operation.response.status);
    object["sense"] = ToHex({sense.key, sense.asc, sense.ascq});
    object["data-in"] = ToHex(operation.response.data);
  }
  return object.dump();
}

std::string Encode(const History& history) {
  std::string text = Header(history).dump() + "\n";
  for (const Operation& operation : history.operations) text += Encode(operation) + "\n";
  return text;
}

Operation DecodeOperation(std::string_view line) {
  const json object = json::parse(line);
  Operation operation;
  operation.kind = KindFromName(object.at("kind").get<std::string>());
  operation.nexus = NexusFromJson(object.at("nexus"));
  operation.life = object.at("life").get<uint32_t>();
  operation.cdb = FromHex(object.at("cdb").get<std::string>());
  operation.data_out = FromHex(object.at("data-out").get<std::string>());
  operation.call = object.at("call").get<int64_t>();
  if (!object.contains("end")) return operation;
  operation.end = object.at("end").get<int64_t>();
  if (*operation.end < operation.call) throw std::invalid_argument("it ends before its call");
  operation.response.status = static_cast<ScsiStatus>(object.at("status").get<uint8_t>());
  const ByteVector sense = FromHex(object.at("sense").get<std::string>());
  if (sense.size() != 3) throw std::invalid_argument("sense data has three bytes");
  operation.response.sense = {sense[0], sense[1], sense[2]};
  operation.response.data = FromHex(object.at("data-in").get<std::string>());
  return operation;
}

History DecodeHistory(std::string_view text) {
  std::istringstream lines{std::string(text)};
  std::string line;
  std::getline(lines, line);
  const json header = json::parse(line);
  History history;
  history.capabilities.persist_through_power_loss =
      header.at("persist-through-power-loss").get<bool>();
  history.capabilities.abort_tasks = header.at("abort-tasks").get<bool>();
  for (const json& unit : header.at("before")) history.before.push_back(UnitFromJson(unit));
  if (history.before.empty()) throw std::invalid_argument("no logical unit to begin with");
  while (std::getline(lines, line)) history.operations.push_back(DecodeOperation(line));
  return history;
}

}  // namespace scsi_pr::linear
