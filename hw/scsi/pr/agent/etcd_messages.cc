// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/etcd_messages.h"

#include <glib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/json_text.h"
#include "spc/text.h"

namespace scsi_pr::agent {

namespace {

using nlohmann::json;
using Kind = Failure::Kind;

constexpr size_t kMaxText = 400;      // bytes of somebody else's text in a message
constexpr size_t kMaxFound = 100000;  // keys in one answer
constexpr size_t kMaxNews = 100;      // more of them at once say: anything

std::string Base64(const std::string& bytes) {
  const std::unique_ptr<char, decltype(&g_free)> text(
      g_base64_encode(reinterpret_cast<const guchar*>(bytes.data()), bytes.size()), g_free);
  return text.get();
}

// Only what Base64() makes.
std::string FromBase64(const std::string& text) {
  gsize size = 0;
  const std::unique_ptr<guchar, decltype(&g_free)> bytes(g_base64_decode(text.c_str(), &size),
                                                         g_free);
  std::string decoded(reinterpret_cast<const char*>(bytes.get()), size);
  if (Base64(decoded) != text) throw std::invalid_argument("a key or a value is not base64");
  return decoded;
}

// The first key behind all that begin with `prefix`; "\0" for: to the end.
std::string EndOf(std::string prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.pop_back();
  if (prefix.empty()) return std::string(1, '\0');
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
}

json RangeToJson(const Range& range) {
  json object = {{"key", Base64(range.key)}};
  if (range.below) object["range_end"] = Base64(EndOf(range.key));
  return object;
}

json WriteToJson(const Write& write) {
  if (!write.value) return {{"request_delete_range", {{"key", Base64(write.key)}}}};
  return {{"request_put", {{"key", Base64(write.key)}, {"value", Base64(*write.value)}}}};
}

json Parse(std::string_view text) {
  constexpr int kMostDeep = 16;
  const auto refuse_depth = [](int depth, json::parse_event_t, json&) {
    if (depth > kMostDeep) throw std::invalid_argument("it is nested too deeply");
    return true;
  };
  json object = json::parse(text, refuse_depth);
  if (!object.is_object()) throw std::invalid_argument("it is no object");
  return object;
}

// A member that etcd leaves out when it is zero.
template <typename Int>
Int Number(const json& object, const char* member) {
  const auto found = object.find(member);
  if (found == object.end()) return 0;
  Int number = 0;
  if (found->is_string()) {
    const std::string& text = found->get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size() && number >= 0) return number;
  } else if (found->is_number_unsigned() &&
             found->get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<Int>::max())) {
    return found->get<Int>();
  }
  throw std::invalid_argument(std::string("\"") + member + "\" is no number that etcd sends");
}

// Likewise.
std::string Text(const json& object, const char* member) {
  const auto found = object.find(member);
  return found == object.end() ? "" : found->get<std::string>();
}

const json& List(const json& object, const char* member) {
  static const json kNone = json::array();
  const auto found = object.find(member);
  if (found == object.end()) return kNone;
  if (!found->is_array()) throw std::invalid_argument(std::string("\"") + member + "\" is no list");
  return *found;
}

KeyValue DecodeKeyValue(const json& object, int64_t newest) {
  KeyValue entry{FromBase64(Text(object, "key")), FromBase64(Text(object, "value")),
                 Number<int64_t>(object, "mod_revision")};
  if (entry.revision < 1 || entry.revision > newest) {
    throw std::invalid_argument("a key's revision is not within the store's");
  }
  return entry;
}

void DecodeRange(const json& response, const Range& range, int64_t newest,
                 std::vector<KeyValue>* found) {
  const json& entries = List(response, "kvs");
  if (response.value("more", false)) throw std::invalid_argument("a part of the keys is missing");
  if (Number<uint64_t>(response, "count") != entries.size()) {
    throw std::invalid_argument("the number of keys is wrong");
  }
  if (found->size() + entries.size() > kMaxFound) throw std::invalid_argument("too many keys");
  if (!range.below && entries.size() > 1) throw std::invalid_argument("a key is there twice");
  std::string before;
  for (const json& object : entries) {
    KeyValue entry = DecodeKeyValue(object, newest);
    if (range.below ? !entry.key.starts_with(range.key) : entry.key != range.key) {
      throw std::invalid_argument("there is a key that was not asked for");
    }
    if (entry.key <= before) throw std::invalid_argument("keys are out of order");
    before = entry.key;
    found->push_back(std::move(entry));
  }
}

void DecodeHeader(const json& object, Answer* answer) {
  const json& header = object.at("header");
  answer->cluster = Number<uint64_t>(header, "cluster_id");
  answer->revision = Number<int64_t>(header, "revision");
  if (answer->cluster == 0 || answer->revision < 1) {
    throw std::invalid_argument("it does not say which store it is of");
  }
}

Answer DecodeTransactionOrThrow(std::string_view text, const Transaction& transaction) {
  const json object = Parse(text);
  Answer answer;
  DecodeHeader(object, &answer);
  const bool applied = object.value("succeeded", false);
  answer.outcome = applied ? Outcome::kApplied : Outcome::kCompareFailed;
  if (!applied && transaction.compares.empty()) {
    throw std::invalid_argument("a comparison failed, and there was none");
  }
  const json& responses = List(object, "responses");
  const size_t writes = applied ? transaction.writes.size() : 0;
  std::vector<Range> reads = transaction.reads;
  if (!applied)
    reads.insert(reads.end(), transaction.otherwise.begin(), transaction.otherwise.end());
  if (responses.size() != writes + reads.size()) {
    throw std::invalid_argument("the number of responses is wrong");
  }
  for (size_t i = 0; i < responses.size(); i++) {
    if (i < writes) {
      responses[i].at(transaction.writes[i].value ? "response_put" : "response_delete_range");
    } else {
      DecodeRange(responses[i].at("response_range"), reads[i - writes], answer.revision,
                  &answer.found);
    }
  }
  return answer;
}

Failure BadAnswer(std::string_view why, std::string_view text) {
  return {Kind::kBadAnswer,
          Printable("etcd's answer is none that etcd gives: " + std::string(why) + ": " +
                        std::string(text.substr(0, kMaxText)),
                    2 * kMaxText),
          "Is the endpoint an etcd of version 3.4 or later?"};
}

}  // namespace

std::string EncodeTransaction(const Transaction& transaction) {
  json compares = json::array(), success = json::array(), failure = json::array();
  for (const Compare& compare : transaction.compares) {
    compares.push_back({{"key", Base64(compare.key)},
                        {"target", "MOD"},
                        {"result", "EQUAL"},
                        {"mod_revision", std::to_string(compare.revision)}});
  }
  for (const Write& write : transaction.writes) success.push_back(WriteToJson(write));
  for (const Range& range : transaction.reads) {
    const json read = {{"request_range", RangeToJson(range)}};
    success.push_back(read);
    failure.push_back(read);
  }
  for (const Range& range : transaction.otherwise) {
    failure.push_back({{"request_range", RangeToJson(range)}});
  }
  return JsonText({{"compare", compares}, {"success", success}, {"failure", failure}});
}

std::string EncodeRange(const Range& range) { return JsonText(RangeToJson(range)); }

Failure DecodeTransaction(std::string_view text, const Transaction& transaction, Answer* answer) {
  try {
    *answer = DecodeTransactionOrThrow(text, transaction);
    return {};
  } catch (const std::exception& error) {
    return BadAnswer(error.what(), text);
  }
}

Failure DecodeRange(std::string_view text, const Range& range, Answer* answer) {
  try {
    const json object = Parse(text);
    Answer found;
    found.outcome = Outcome::kApplied;
    DecodeHeader(object, &found);
    DecodeRange(object, range, found.revision, &found.found);
    *answer = std::move(found);
    return {};
  } catch (const std::exception& error) {
    return BadAnswer(error.what(), text);
  }
}

namespace {

// How an error is to be taken. The first line that fits; an empty text fits every message.
struct KnownError {
  int code;
  std::string_view text;
  Kind kind;
  bool is_final;
  bool wants_token;
  bool try_next;
  const char* hint;
};

constexpr const char* kCredentials =
    "Check user and password, or the token file, in scsi-prd's configuration.";

constexpr KnownError kKnown[] = {
    {3, "request is too large", Kind::kTooLarge, true, false, false,
     "Raise --max-request-bytes of etcd."},
    {3, "user name is empty", Kind::kAuthentication, true, true, false, kCredentials},
    {3, "invalid user ID or password", Kind::kAuthentication, true, false, false, kCredentials},
    {3, "revision of auth store is old", Kind::kAuthentication, true, true, false, kCredentials},
    {3, "", Kind::kRefused, true, false, false, ""},
    {5, "", Kind::kRefused, true, false, true, "Is the endpoint an etcd of version 3.4 or later?"},
    {7, "", Kind::kPermission, true, false, false,
     "The user needs a role that may read and write the prefix."},
    {8, "database space exceeded", Kind::kNoSpace, true, false, false,
     "Compact and defragment etcd, then `etcdctl alarm disarm`; reservations stay as they are."},
    {8, "too many requests", Kind::kBusy, true, false, true, ""},
    {8, "larger than max", Kind::kTooLarge, true, false, false,
     "Raise --max-request-bytes of etcd."},
    {9, "authentication is not enabled", Kind::kAuthentication, true, false, false,
     "Enable authentication in etcd, or remove the user from scsi-prd's configuration."},
    {9, "", Kind::kRefused, true, false, false, ""},
    {12, "", Kind::kRefused, true, false, true, "Is the endpoint an etcd of version 3.4 or later?"},
    {14, "etcdserver:", Kind::kNoAnswer, false, false, true, ""},
    // The gateway cannot reach the etcd that it is part of.
    {14, "", Kind::kNoAnswer, false, false, true,
     "If etcd asks its clients for certificates, its own one needs the usage clientAuth, too."},
    {16, "", Kind::kAuthentication, true, true, false, kCredentials},
};
// Whatever else there is may be applied later.
constexpr KnownError kUnknown{0, "", Kind::kNoAnswer, false, false, true, ""};

EtcdError ErrorOf(const KnownError& known, std::string_view message) {
  return {{known.kind, Printable("etcd says: " + std::string(message), kMaxText), known.hint},
          known.is_final,
          known.wants_token,
          known.try_next};
}

EtcdError KnownErrorOf(uint64_t code, std::string_view message) {
  for (const KnownError& known : kKnown) {
    if (static_cast<uint64_t>(known.code) == code &&
        message.find(known.text) != std::string_view::npos) {
      return ErrorOf(known, message);
    }
  }
  return ErrorOf(kUnknown, message);
}

// The gateway refuses a certificate with a CommonName once authentication is on.
constexpr std::string_view kCommonName = "CommonName of client sending a request against gateway";
constexpr KnownError kCertificateHasName{
    0,
    "",
    Kind::kAuthentication,
    true,
    false,
    false,
    "Give scsi-prd a client certificate without a CN; user and password, or a token, say who it "
    "is."};

}  // namespace

std::optional<EtcdError> DecodeError(std::string_view text) {
  if (text.find(kCommonName) < kMaxText) {
    return ErrorOf(kCertificateHasName, text.substr(0, kMaxText));
  }
  try {
    const json object = Parse(text);
    const auto inner = object.find("error");
    // In streams all is one level deeper.
    const json& error = inner != object.end() && inner->is_object() ? *inner : object;
    const char* member = error.contains("grpc_code") ? "grpc_code" : "code";
    if (!error.contains(member)) return std::nullopt;
    return KnownErrorOf(Number<uint64_t>(error, member), Text(error, "message"));
  } catch (const std::exception& error) {
    return EtcdError{BadAnswer(error.what(), text), false, false, true};
  }
}

std::string EncodeAuthenticate(const std::string& user, const std::string& password) {
  return JsonText({{"name", user}, {"password", password}});
}

bool IsToken(std::string_view text) {
  constexpr size_t kMost = 8192;
  return !text.empty() && text.size() <= kMost &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

Failure DecodeAuthenticate(std::string_view text, std::string* token) {
  try {
    const std::string decoded = Parse(text).at("token").get<std::string>();
    if (!IsToken(decoded)) throw std::invalid_argument("the token is no word");
    *token = decoded;
    return {};
  } catch (const std::exception&) {
    // Without its text: a part of it may be secret.
    return BadAnswer("there is no token that can be used", "");
  }
}

Identity DecodeStatus(std::string_view text) {
  constexpr size_t kMostAlarms = 16;
  try {
    const json object = Parse(text);
    Answer answer;
    DecodeHeader(object, &answer);
    Identity identity;
    identity.cluster = answer.cluster;
    identity.revision = answer.revision;
    identity.version = Printable(Text(object, "version"), kMaxText);
    for (const json& alarm : List(object, "errors")) {
      if (identity.alarms.size() == kMostAlarms) break;
      identity.alarms.push_back(Printable(alarm.get<std::string>(), kMaxText));
    }
    return identity;
  } catch (const std::exception& error) {
    Identity identity;
    identity.failure = BadAnswer(error.what(), text);
    return identity;
  }
}

std::string EncodeWatch(const std::string& prefix) {
  return JsonText({{"create_request", RangeToJson({prefix, true})}});
}

namespace {

std::vector<News> DecodeEvents(const json& events) {
  std::vector<News> news;
  for (const json& event : events) {
    const std::string type = Text(event, "type");
    if (!type.empty() && type != "DELETE") throw std::invalid_argument("an event is unknown");
    KeyValue entry = DecodeKeyValue(event.at("kv"), std::numeric_limits<int64_t>::max());
    std::optional<std::string> value;
    if (type.empty()) value = std::move(entry.value);
    news.push_back({std::move(entry.key), std::move(value), entry.revision});
  }
  return news;
}

}  // namespace

WatchLine DecodeWatchLine(std::string_view line, std::vector<News>* news) {
  news->clear();
  try {
    const json object = Parse(line);
    const auto result = object.find("result");
    if (result == object.end() || !result->is_object()) return WatchLine::kOver;
    if (result->value("canceled", false)) return WatchLine::kOver;
    // Whatever was before the watch began has not been told.
    if (result->value("created", false)) return WatchLine::kLook;
    const json& events = List(*result, "events");
    if (events.empty()) return WatchLine::kQuiet;
    if (events.size() <= kMaxNews) *news = DecodeEvents(events);
    return WatchLine::kLook;
  } catch (const std::exception&) {
    return WatchLine::kOver;
  }
}

}  // namespace scsi_pr::agent
