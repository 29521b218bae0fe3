// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/records.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/envelope.h"
#include "core/json_text.h"

namespace scsi_pr::agent {

namespace {

using nlohmann::json;

constexpr uint64_t kSchema = 1;
constexpr size_t kMaxRecord = 1 << 20;
constexpr size_t kMaxVictims = 8192;  // twice the registrations that there can be
constexpr size_t kMaxLives = 64;
constexpr size_t kMaxName = 255;
constexpr uint64_t kMaxPatience = 3600 * 1000;
constexpr int kMaxProtocol = 1000000;

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

std::vector<std::string> Words(const json& object, const char* member, size_t most_words,
                               size_t most) {
  const json& list = object.at(member);
  if (!list.is_array() || list.size() > most_words) {
    throw std::invalid_argument(std::string("\"") + member + "\" is no list of that length");
  }
  std::vector<std::string> words;
  for (const json& each : list) {
    words.push_back(each.get_ref<const std::string&>());
    if (!IsWord(words.back(), most)) {
      throw std::invalid_argument(std::string("\"") + member + "\" has what is no word");
    }
  }
  return words;
}

// Text for people; printable already where it was written.
std::string Text(const json& object, const char* member) {
  constexpr size_t kMost = 400;
  return object.contains(member) ? Printable(object.at(member).get<std::string>(), kMost) : "";
}

// Less than a second is shorter than what one try takes; above a minute nobody waits.
Time Duration(const json& object) {
  return GetUnsigned<uint64_t>(object, "duration-ms", 1000, 60000) * kMillisecond;
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

}  // namespace

bool IsWord(std::string_view text, size_t most) {
  return !text.empty() && text.size() <= most && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_' || c == ',' || c == ':';
  });
}

bool StateRecord::Has(const std::string& nonce) const {
  return std::ranges::find(nonces, nonce) != nonces.end();
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
                 {"nonce", record.nonce}};
  if (!record.by.empty()) object["by"] = record.by;
  if (!record.proof.empty()) object["proof"] = record.proof;
  return JsonText(object);
}

std::string Encode(const StateRecord& record) {
  return JsonText({{"schema", kSchema},
                   {"version", record.version},
                   {"nonces", record.nonces},
                   {"document", record.document}});
}

std::string Encode(const NexusRecord& record) {
  return JsonText({{"schema", kSchema}, {"host", record.host}});
}

std::string Encode(const ChangeRecord& record) {
  json object = {{"schema", kSchema},
                 {"id", record.id},
                 {"by", record.by},
                 {"patience-ms", record.patience / kMillisecond}};
  if (record.is_intent) {
    object["intent"] = {{"victims", record.victims}, {"aborts", record.aborts}};
  }
  return JsonText(object);
}

std::string Encode(const AckRecord& record) {
  return JsonText({{"schema", kSchema}, {"id", record.id}});
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
                       Text(object, "proof")};
    if (object.contains("by")) decoded.by = Word(object, "by", kMaxName);
    return decoded;
  });
}

Status Decode(std::string_view text, StateRecord* record) {
  return DecodeWith<StateRecord>(text, "the state's record", record, [](const json& object) {
    return StateRecord{GetUnsigned<uint64_t>(object, "version", 1, uint64_t{1} << 62),
                       Words(object, "nonces", StateRecord::kNonces, 64),
                       object.at("document").get<std::string>()};
  });
}

Status Decode(std::string_view text, NexusRecord* record) {
  return DecodeWith<NexusRecord>(text, "a nexus's record", record, [](const json& object) {
    return NexusRecord{Word(object, "host", kMaxName)};
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
    decoded.victims = Words(intent, "victims", kMaxVictims, kMaxName);
    decoded.aborts = intent.at("aborts").get<bool>();
    return decoded;
  });
}

Status Decode(std::string_view text, AckRecord* record) {
  return DecodeWith<AckRecord>(text, "an acknowledgement", record,
                               [](const json& object) { return AckRecord{Word(object, "id")}; });
}

}  // namespace scsi_pr::agent
