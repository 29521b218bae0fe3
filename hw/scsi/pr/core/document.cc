// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/document.h"

#include <glib.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/envelope.h"
#include "core/unit_attention.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

constexpr Envelope kEnvelope{"scsi-pr", "state", "the reservation state document", kDocumentSchema};
constexpr std::string_view kScope = "logical-unit";
constexpr const char* kLegacyHolder = "legacy-holder";
constexpr const char* kInformationLost = "information-lost";

// Members that schema 1 does not know. A program that knows only that must
// refuse them: ignored, they would let everybody in.
bool NeedsSchema2(const json& state) {
  return state.contains(kLegacyHolder) || state.contains(kInformationLost);
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

// Throws what nlohmann-json and the readers above throw.
Status Decode(std::string_view text, State* state) {
  int schema = 0;
  json body;
  if (Status status = Unseal(kEnvelope, text, &schema, &body); !status.ok()) return status;
  if ((schema == 2) != NeedsSchema2(body)) {
    return kEnvelope.Corrupt("its schema is not that of its members");
  }
  State decoded = StateFromJson(body);
  if (const auto violation = FindViolation(decoded)) return kEnvelope.Corrupt(*violation);
  // One state, one document: nothing that a reader has passed over.
  if (StateToJson(decoded) != body) return kEnvelope.Corrupt("it is not in its canonical form");
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

uint64_t KeyFromText(const std::string& text) {
  uint64_t key = 0;
  const char* end = text.data() + text.size();
  const bool prefixed = text.size() == 18 && text.starts_with("0x");
  if (!prefixed || std::from_chars(text.data() + 2, end, key, 16).ptr != end) {
    throw std::invalid_argument("\"" + text + "\" is no reservation key");
  }
  return key;
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

json UnitAttentionToJson(Sense sense) { return {{"asc", sense.asc}, {"ascq", sense.ascq}}; }

Sense UnitAttentionFromJson(const json& object) {
  constexpr uint8_t kUnitAttention = 0x6;  // the sense key
  const Sense sense{kUnitAttention, GetUnsigned<uint8_t>(object, "asc", 0),
                    GetUnsigned<uint8_t>(object, "ascq", 0)};
  if (!IsUnitAttentionCondition(sense)) {
    throw std::invalid_argument("its unit attention condition is unknown");
  }
  return sense;
}

json UnitAttentionsToJson(const std::vector<UnitAttention>& attentions) {
  json list = json::array();
  for (const UnitAttention& attention : attentions) {
    json item = NexusToJson(attention.nexus);
    item.update(UnitAttentionToJson(attention.sense));
    if (attention.but_not) item["but-not"] = NexusToJson(*attention.but_not);
    list.push_back(std::move(item));
  }
  return list;
}

std::vector<UnitAttention> UnitAttentionsFromJson(const json& list) {
  if (!list.is_array() || list.size() > kMaxUnitAttentions) {
    throw std::invalid_argument("its unit attentions are no list, or too many");
  }
  std::vector<UnitAttention> attentions;
  for (const json& item : list) {
    attentions.push_back({NexusFromJson(item), UnitAttentionFromJson(item)});
    if (item.contains("but-not")) attentions.back().but_not = NexusFromJson(item.at("but-not"));
  }
  return attentions;
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
  json inner = StateToJson(state);
  const int schema = NeedsSchema2(inner) ? 2 : 1;
  return Seal(kEnvelope, schema, std::move(inner));
}

Status DecodeDocument(std::string_view text, State* state) {
  try {
    return Decode(text, state);
  } catch (const std::exception& e) {
    return kEnvelope.Corrupt(e.what());
  }
}

}  // namespace scsi_pr
