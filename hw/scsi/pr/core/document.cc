// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/document.h"

#include <glib.h>

#include <charconv>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace scsi_pr {

namespace {

using nlohmann::json;

constexpr std::string_view kFormat = "scsi-pr";
constexpr std::string_view kScope = "logical-unit";
constexpr const char* kLegacyHolder = "legacy-holder";
constexpr const char* kInformationLost = "information-lost";

// Members that schema 1 does not know. A program that knows only that must
// refuse them: ignored, they would let everybody in.
bool NeedsSchema2(const json& state) {
  return state.contains(kLegacyHolder) || state.contains(kInformationLost);
}

std::string Checksum(const json& state) {
  const std::string text = state.dump();
  const std::unique_ptr<char, decltype(&g_free)> digest(
      g_compute_checksum_for_data(G_CHECKSUM_SHA256, reinterpret_cast<const guchar*>(text.data()),
                                  text.size()),
      g_free);
  return std::string("sha256:") + digest.get();
}

// Unsigned members within a range; nlohmann-json would convert silently.
template <typename Int>
Int GetUnsigned(const json& object, const char* member, uint64_t least) {
  const json& value = object.at(member);
  if (!value.is_number_unsigned() || value.get<uint64_t>() < least ||
      value.get<uint64_t>() > std::numeric_limits<Int>::max()) {
    throw std::invalid_argument(std::string("\"") + member + "\" is out of range");
  }
  return value.get<Int>();
}

uint64_t KeyFromText(const std::string& text) {
  uint64_t key = 0;
  const char* end = text.data() + text.size();
  const bool prefixed = text.size() == 18 && text.starts_with("0x");
  if (!prefixed || std::from_chars(text.data() + 2, end, key, 16).ptr != end) {
    throw std::invalid_argument("\"" + text + "\" is no reservation key");
  }
  return key;
}

Reservation ReservationFromJson(const json& object) {
  const auto name = object.at("type").get<std::string>();
  const auto type = TypeFromName(name);
  if (!type) throw std::invalid_argument("\"" + name + "\" is no reservation type");
  if (object.at("scope").get<std::string>() != kScope) throw std::invalid_argument("unknown scope");
  Reservation reservation{*type, std::nullopt};
  if (object.contains("holder")) reservation.holder = NexusFromJson(object.at("holder"));
  return reservation;
}

State StateFromJson(const json& object) {
  State state;
  state.generation = GetUnsigned<uint32_t>(object, "pr-generation", 0);
  state.aptpl = object.at("aptpl").get<bool>();
  for (const json& item : object.at("registrations")) {
    state.registrations.push_back(
        {NexusFromJson(item), KeyFromText(item.at("key").get<std::string>())});
  }
  if (object.contains("reservation")) {
    state.reservation = ReservationFromJson(object.at("reservation"));
  }
  if (object.contains(kLegacyHolder)) state.legacy_holder = NexusFromJson(object.at(kLegacyHolder));
  if (object.contains(kInformationLost)) {
    state.information_lost = object.at(kInformationLost).get<bool>();
  }
  return state;
}

Status Corrupt(const std::string& what) {
  return Status::Error(Status::Code::kCorrupt, "the reservation state document is damaged: " + what);
}

// A document is four levels deep. Much deeper ones would overflow the stack in
// nlohmann-json's dump(), which is recursive.
bool RefuseDepth(int depth, json::parse_event_t, json&) {
  constexpr int kMost = 64;
  if (depth > kMost) throw std::invalid_argument("it is nested too deeply");
  return true;
}

Status Decode(std::string_view text, State* state) {
  const json document = json::parse(text, RefuseDepth);
  if (document.at("format").get<std::string>() != kFormat) return Corrupt("it is of another format");
  const auto schema = GetUnsigned<uint64_t>(document, "schema", 1);
  if (schema > kDocumentSchema) {
    return Status::Error(Status::Code::kUnsupported,
                         "the reservation state document has schema " + std::to_string(schema) +
                             ", this program knows up to " + std::to_string(kDocumentSchema),
                         "Use the version that wrote it, or a newer one.");
  }
  const json& body = document.at("state");
  if (document.at("checksum").get<std::string>() != Checksum(body)) {
    return Corrupt("its checksum does not match");
  }
  if ((schema == 2) != NeedsSchema2(body)) return Corrupt("its schema is not that of its members");
  State decoded = StateFromJson(body);
  if (const auto violation = FindViolation(decoded)) return Corrupt(*violation);
  // One state, one document: nothing that a reader has passed over.
  if (StateToJson(decoded) != body) return Corrupt("it is not in its canonical form");
  *state = std::move(decoded);
  return Status();
}

}  // namespace

std::string KeyToText(uint64_t key) {
  constexpr int kDigits = 16;
  char buffer[2 + kDigits + 1];
  g_snprintf(buffer, sizeof buffer, "0x%016" G_GINT64_MODIFIER "x", key);
  return buffer;
}

json NexusToJson(const Nexus& nexus) {
  json object;
  object["initiator"] = nexus.initiator.ToText();
  object["target-port"] = nexus.target_port;
  return object;
}

Nexus NexusFromJson(const json& object) {
  std::string error;
  const auto text = object.at("initiator").get<std::string>();
  const auto initiator = TransportId::FromText(text, &error);
  if (!initiator) throw std::invalid_argument("\"" + text + "\" " + error);
  return Nexus{*initiator, GetUnsigned<uint16_t>(object, "target-port", 0)};
}

json StateToJson(const State& state) {
  json object;
  object["pr-generation"] = state.generation;
  object["aptpl"] = state.aptpl;
  json& registrations = object["registrations"] = json::array();
  for (const Registration& registration : state.registrations) {
    json item = NexusToJson(registration.nexus);
    item["key"] = KeyToText(registration.key);
    registrations.push_back(std::move(item));
  }
  if (state.reservation) {
    json& reservation = object["reservation"];
    reservation["type"] = TypeName(state.reservation->type);
    reservation["scope"] = kScope;
    if (state.reservation->holder) reservation["holder"] = NexusToJson(*state.reservation->holder);
  }
  if (state.legacy_holder) object[kLegacyHolder] = NexusToJson(*state.legacy_holder);
  if (state.information_lost) object[kInformationLost] = true;
  return object;
}

std::string EncodeDocument(const State& state) {
  json document;
  document["format"] = kFormat;
  document["state"] = StateToJson(state);
  document["schema"] = NeedsSchema2(document["state"]) ? 2 : 1;
  document["checksum"] = Checksum(document["state"]);
  return document.dump();
}

Status DecodeDocument(std::string_view text, State* state) {
  // nlohmann-json and the readers above report by exception; none leaves here.
  try {
    return Decode(text, state);
  } catch (const std::exception& e) {
    return Corrupt(e.what());
  }
}

}  // namespace scsi_pr
