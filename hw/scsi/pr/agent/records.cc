// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/records.h"

#include <glib.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "agent/engine.h"
#include "core/document.h"
#include "core/envelope.h"
#include "core/json_text.h"
#include "gate/gate.h"

namespace scsi_pr::agent {

namespace {

using nlohmann::json;

constexpr uint64_t kSchema = 1;
constexpr size_t kMaxRecord = kMaxValue;
constexpr size_t kMaxVictims = 8192;  // twice the registrations that there can be
constexpr size_t kMaxLives = 64;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxPathGroup = 64;
constexpr size_t kMaxText = 400;
constexpr AccessMask kMostAccess = kFullAccess | kInformationLost;
constexpr uint64_t kMaxPatience = 3'600'000;
constexpr int kMaxProtocol = 1000000;
constexpr uint64_t kMostSeconds = uint64_t{1} << 40;
static_assert(StateRecord::kMostVersions == Gate::kMostVersions);

constexpr const char* kStates[] = {"alive", "suspect", "dead"};

json Parse(std::string_view text) {
  constexpr int kMostDeep = 8;
  if (text.size() > kMaxRecord) throw std::invalid_argument("it is too long");
  json object = json::parse(text, [](int depth, json::parse_event_t, json&) {
    if (depth > kMostDeep) throw std::invalid_argument("it is nested too deeply");
    return true;
  });
  if (!object.is_object()) throw std::invalid_argument("it is no object");
  return object;
}

std::string Word(const json& object, const char* member, size_t most = 64) {
  const std::string& text = object.at(member).get_ref<const std::string&>();
  if (!IsWord(text, most))
    throw std::invalid_argument(std::string("\"") + member + "\" is no word");
  return text;
}

const json& List(const json& object, const char* member, size_t most) {
  const json& list = object.at(member);
  if (list.is_array() && list.size() <= most) return list;
  throw std::invalid_argument(std::string("\"") + member + "\" is no list of that length");
}

std::vector<std::string> Words(const json& object, const char* member, size_t most_words,
                               size_t most) {
  std::vector<std::string> words;
  for (const json& each : List(object, member, most_words)) {
    words.push_back(each.get_ref<const std::string&>());
    if (!IsWord(words.back(), most)) {
      throw std::invalid_argument(std::string("\"") + member + "\" has what is no word");
    }
  }
  return words;
}

// Text for people; printable already where it was written.
std::string Text(const json& object, const char* member) {
  return object.contains(member) ? Printable(object.at(member).get<std::string>(), kMaxText) : "";
}

std::string OptionalWord(const json& object, const char* member, size_t most) {
  return object.contains(member) ? Word(object, member, most) : "";
}

// Less than a second is shorter than what one try takes; above a minute nobody waits.
Time Duration(const json& object) {
  return GetUnsigned<uint64_t>(object, "duration-ms", 1000, 60000) * kMillisecond;
}

Time Watchdog(const json& object) {
  if (!object.contains("watchdog-ms")) return 0;
  return GetUnsigned<uint64_t>(object, "watchdog-ms", 1000, 600000) * kMillisecond;
}

int Protocol(const json& object) { return GetUnsigned<int>(object, "protocol", 1, kMaxProtocol); }

// The schema is that of all records.
template <typename Record>
Status DecodeWith(std::string_view text, const char* what, Record* record,
                  Record (*decode)(const json&)) {
  try {
    const json object = Parse(text);
    if (GetUnsigned<uint64_t>(object, "schema", 1) > kSchema) {
      return Status::Error(Status::Code::kUnsupported,
                           std::string(what) + " is of a newer scsi-prd", "Upgrade this one.");
    }
    *record = decode(object);
    return Status();
  } catch (const std::exception& error) {
    return Status::Error(Status::Code::kCorrupt,
                         std::string(what) + " is damaged: " + error.what());
  }
}

bool Gains(const State& before, const State& after, const Nexus& nexus) {
  return (AllowedAccess(after, nexus) & ~AllowedAccess(before, nexus) & kFullAccess) != 0;
}

}  // namespace

bool IsWord(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ',' || c == ':';
  });
}

bool IsUnitName(std::string_view text) {
  return IsWord(text, 160) && text != "meta" && text != "hosts";
}

std::string NexusKey(const Nexus& nexus) {
  constexpr size_t kDigits = 32;
  const std::string text = nexus.initiator.ToText() + "," + std::to_string(nexus.target_port);
  const std::unique_ptr<char, decltype(&g_free)> digest(
      g_compute_checksum_for_string(G_CHECKSUM_SHA256, text.c_str(), -1), g_free);
  return std::string(digest.get(), kDigits);
}

// ---------------------------------------------------------------- The state

bool StateRecord::Has(const std::string& nonce) const {
  return std::ranges::find(nonces, nonce) != nonces.end();
}

uint64_t VersionOf(const std::optional<StateRecord>& state) {
  return state ? state->version : StateRecord::kFirstVersion;
}

bool SeenVersion::MayBecome(const std::optional<StateRecord>& state) const {
  if (VersionOf(state) < version) return false;
  if (!state) return true;
  const uint64_t since = state->version - version;
  return since >= state->nonces.size() || state->nonces[since] == nonce;
}

StateRecord StateRecord::Next(const std::optional<StateRecord>& before, const std::string& nonce,
                              std::string document, std::vector<UnitAttention> unit_attentions) {
  StateRecord next;
  if (before) next = *before;
  next.version = VersionOf(before) + 1;
  next.nonces.insert(next.nonces.begin(), nonce);
  next.nonces.resize(std::min(next.nonces.size(), kNonces));
  next.document = std::move(document);
  if (!unit_attentions.empty()) {
    next.told.insert(next.told.begin(), {next.version, std::move(unit_attentions)});
  }
  size_t conditions = 0;
  for (size_t i = 0; i < next.told.size(); i++) {
    conditions += next.told[i].unit_attentions.size();
    if (i > 0 && (i == kTold || conditions > kMaxUnitAttentions)) next.told.resize(i);
  }
  while (next.told.size() > 1 && Encode(next).size() > kMaxRecord) next.told.pop_back();
  return next;
}

std::map<uint64_t, std::vector<Sense>> ToldSince(const StateRecord& state, const Nexus& nexus,
                                                 uint64_t since) {
  std::map<uint64_t, std::vector<Sense>> conditions;
  for (const Told& told : state.told) {
    if (told.version <= since) continue;
    for (const UnitAttention& attention : told.unit_attentions) {
      if (attention.Reaches(nexus)) conditions[told.version].push_back(attention.sense);
    }
  }
  return conditions;
}

std::vector<Victim> VictimsOf(const State& before, const State& after,
                              const std::vector<Nexus>& preempted, bool aborts,
                              const std::map<std::string, NexusRecord>& nexuses) {
  std::vector<Victim> victims;
  for (const auto& [key, record] : nexuses) {
    const AccessMask had = AllowedAccess(before, record.nexus);
    const AccessMask has = AllowedAccess(after, record.nexus);
    const bool loses = (had & ~has & kFullAccess) != 0;
    const Nexus& nexus = record.nexus;
    const auto covers = [&nexus](const Nexus& whom) { return whom.Covers(nexus); };
    const bool is_preempted = aborts && std::ranges::any_of(preempted, covers);
    if (loses || is_preempted) victims.push_back({key, had & has, is_preempted});
  }
  return victims;
}

std::vector<std::string> ConcernedBy(const State& before, const State& after,
                                     const std::vector<UnitAttention>& unit_attentions,
                                     const std::map<std::string, NexusRecord>& nexuses) {
  std::vector<std::string> concerned;
  for (const auto& [key, record] : nexuses) {
    const Nexus& nexus = record.nexus;
    const auto reaches = [&nexus](const auto& attention) { return attention.Reaches(nexus); };
    if (std::ranges::any_of(unit_attentions, reaches) || Gains(before, after, nexus)) {
      concerned.push_back(key);
    }
  }
  return concerned;
}

bool ConcernsHost(const State& before, const State& after, const StateRecord& next, uint64_t since,
                  const std::string& host, const std::map<std::string, NexusRecord>& nexuses) {
  return std::ranges::any_of(nexuses, [&](const auto& entry) {
    const Nexus& nexus = entry.second.nexus;
    return entry.second.IsAt(host) &&
           (Gains(before, after, nexus) || !ToldSince(next, nexus, since).empty());
  });
}

// ---------------------------------------------------------------- Encode

std::string Encode(const Meta& meta) {
  return JsonText({{"schema", kSchema},
                   {"protocol", meta.protocol},
                   {"life", meta.life},
                   {"earlier-lives", meta.earlier_lives},
                   {"duration-ms", meta.duration / kMillisecond}});
}

std::string Encode(const HostRecord& record) {
  json object = {{"schema", kSchema},
                 {"machine-id", record.machine_id},
                 {"boot-id", record.boot_id},
                 {"incarnation", record.incarnation},
                 {"protocol", record.protocol},
                 {"duration-ms", record.duration / kMillisecond},
                 {"state", kStates[static_cast<size_t>(record.state)]},
                 {"nonce", record.nonce},
                 {"joined", record.joined}};
  if (!record.by.empty()) object["by"] = record.by;
  if (!record.proof.empty()) object["proof"] = record.proof;
  if (!record.proof_text.empty()) object["proof-text"] = Printable(record.proof_text, kMaxText);
  if (record.watchdog != 0) object["watchdog-ms"] = record.watchdog / kMillisecond;
  if (!record.paths.empty()) object["paths"] = record.paths;
  return JsonText(object);
}

std::string Encode(const StateRecord& record) {
  json told = json::array();
  for (const Told& each : record.told) {
    told.push_back({{"version", each.version},
                    {"unit-attentions", UnitAttentionsToJson(each.unit_attentions)}});
  }
  return JsonText({{"schema", kSchema},
                   {"version", record.version},
                   {"nonces", record.nonces},
                   {"document", record.document},
                   {"told", told}});
}

std::string Encode(const NexusRecord& record) {
  json object = NexusToJson(record.nexus);
  object["schema"] = kSchema;
  object["owned"] = record.owned;
  object["owner"] = Printable(record.owner_text, kMaxText);
  object["nonce"] = record.nonce;
  if (!record.host.empty()) object["host"] = record.host;
  if (!record.heir.empty()) object["heir"] = record.heir;
  for (const NexusRecord::Remains& each : record.remains) {
    object["remains"].push_back({{"host", each.host}, {"incarnation", each.incarnation}});
  }
  return JsonText(object);
}

std::string Encode(const ChangeRecord& record) {
  json object = {{"schema", kSchema},
                 {"id", record.id},
                 {"by", record.by},
                 {"patience-ms", record.patience / kMillisecond}};
  if (record.is_intent) {
    json victims = json::array();
    for (const Victim& each : record.victims) {
      victims.push_back(
          {{"nexus", each.nexus}, {"keep", each.keep}, {"preempted", each.preempted}});
    }
    object["intent"] = {{"victims", std::move(victims)}, {"aborts", record.aborts}};
  }
  return JsonText(object);
}

std::string Encode(const AckRecord& record) {
  json object = {{"schema", kSchema}, {"published", record.published}};
  if (!record.id.empty()) object["id"] = record.id;
  return JsonText(object);
}

// ---------------------------------------------------------------- Decode

Status Decode(std::string_view text, Meta* meta) {
  return DecodeWith<Meta>(text, "the cluster's meta record", meta, [](const json& object) {
    return Meta{Protocol(object), Word(object, "life"),
                Words(object, "earlier-lives", kMaxLives, 64), Duration(object)};
  });
}

Status Decode(std::string_view text, HostRecord* record) {
  return DecodeWith<HostRecord>(text, "a host's record", record, [](const json& object) {
    const auto state = std::ranges::find(kStates, object.at("state").get<std::string>());
    if (state == std::end(kStates)) throw std::invalid_argument("\"state\" is none");
    HostRecord decoded{Word(object, "machine-id"),
                       Word(object, "boot-id"),
                       Word(object, "incarnation"),
                       Protocol(object),
                       Duration(object),
                       static_cast<HostRecord::State>(state - std::begin(kStates)),
                       "",
                       Word(object, "nonce"),
                       OptionalWord(object, "proof", 64),
                       GetUnsigned<uint64_t>(object, "joined", 0, kMostSeconds),
                       Text(object, "proof-text"),
                       Watchdog(object)};
    if (object.contains("paths")) {
      decoded.paths = Words(object, "paths", HostRecord::kMostPaths, kMaxPathGroup);
    }
    decoded.by = OptionalWord(object, "by", kMaxName);
    return decoded;
  });
}

Status Decode(std::string_view text, StateRecord* record) {
  return DecodeWith<StateRecord>(text, "the state's record", record, [](const json& object) {
    StateRecord decoded{GetUnsigned<uint64_t>(object, "version", StateRecord::kFirstVersion + 1,
                                              StateRecord::kMostVersions - 1),
                        Words(object, "nonces", StateRecord::kNonces, 64),
                        object.at("document").get<std::string>(),
                        {}};
    uint64_t newest = decoded.version;
    for (const json& each : List(object, "told", StateRecord::kTold)) {
      decoded.told.push_back({GetUnsigned<uint64_t>(each, "version", 1, newest),
                              UnitAttentionsFromJson(each.at("unit-attentions"))});
      newest = decoded.told.back().version - 1;
    }
    return decoded;
  });
}

Status Decode(std::string_view text, NexusRecord* record) {
  return DecodeWith<NexusRecord>(text, "a nexus's record", record, [](const json& object) {
    NexusRecord decoded;
    decoded.nexus = NexusFromJson(object);
    if (decoded.nexus.target_port == Nexus::kAllTargetPorts) {
      throw std::invalid_argument("\"target-port\" is that of no nexus");
    }
    decoded.host = OptionalWord(object, "host", kMaxName);
    decoded.owned = object.at("owned").get<bool>();
    decoded.heir = OptionalWord(object, "heir", kMaxName);
    decoded.owner_text = Text(object, "owner");
    decoded.nonce = Word(object, "nonce");
    if (object.contains("remains")) {
      for (const json& each : List(object, "remains", NexusRecord::kRemains)) {
        decoded.remains.push_back({Word(each, "host", kMaxName), Word(each, "incarnation")});
      }
    }
    if (decoded.host.empty() && (decoded.owned || !decoded.heir.empty() || decoded.remains.empty()))
      throw std::invalid_argument("it belongs to no host");
    return decoded;
  });
}

Status Decode(std::string_view text, ChangeRecord* record) {
  return DecodeWith<ChangeRecord>(text, "the record of a change", record, [](const json& object) {
    ChangeRecord decoded;
    decoded.id = Word(object, "id");
    decoded.by = Word(object, "by", kMaxName);
    decoded.patience =
        GetUnsigned<uint64_t>(object, "patience-ms", 1000, kMaxPatience) * kMillisecond;
    if (!object.contains("intent")) return decoded;
    const json& intent = object.at("intent");
    decoded.is_intent = true;
    for (const json& each : List(intent, "victims", kMaxVictims)) {
      decoded.victims.push_back({Word(each, "nexus"),
                                 GetUnsigned<AccessMask>(each, "keep", 0, kMostAccess),
                                 each.at("preempted").get<bool>()});
    }
    decoded.aborts = intent.at("aborts").get<bool>();
    return decoded;
  });
}

Status Decode(std::string_view text, AckRecord* record) {
  return DecodeWith<AckRecord>(text, "an acknowledgement", record, [](const json& object) {
    return AckRecord{OptionalWord(object, "id", 64),
                     GetUnsigned<uint64_t>(object, "published", 0, StateRecord::kMostVersions - 1)};
  });
}

}  // namespace scsi_pr::agent
