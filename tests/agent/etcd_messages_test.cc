// SPDX-License-Identifier: GPL-2.0-or-later
//
// What etcd's gateway is sent, and what is made of what it says, or somebody in its place.
#include "agent/etcd_messages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace scsi_pr::agent {
namespace {

using nlohmann::json;
using Kind = Failure::Kind;

const Transaction kReadOne{{}, {}, {{"a", false}}};
const Transaction kReadBelow{{}, {}, {{"p/", true}}};
const Transaction kWrite{{{"a", 7}}, {{"a", "new"}, {"b", std::nullopt}}, {{"a", false}}};

constexpr const char* kHeader = R"("header":{"cluster_id":"14841639068965178418",
    "member_id":"10276657743932975437","revision":"9","raft_term":"2"})";

std::string AnswerOf(const std::string& rest) {
  return "{" + std::string(kHeader) + (rest.empty() ? "" : ",") + rest + "}";
}

std::string OneKey(const std::string& members) {
  return AnswerOf(R"("succeeded":true,"responses":[{"response_range":{)" + members + "}}]");
}

TEST(EtcdMessages, TransactionAsSent) {
  const json sent = json::parse(EncodeTransaction(kWrite));
  EXPECT_EQ(sent["compare"], json::parse(R"([{"key":"YQ==","target":"MOD","result":"EQUAL",
      "mod_revision":"7"}])"));
  EXPECT_EQ(sent["success"], json::parse(R"([{"request_put":{"key":"YQ==","value":"bmV3"}},
      {"request_delete_range":{"key":"Yg=="}},{"request_range":{"key":"YQ=="}}])"));
  EXPECT_EQ(sent["failure"], json::parse(R"([{"request_range":{"key":"YQ=="}}])"));
}

// What is read only where nothing was written.
TEST(EtcdMessages, Otherwise) {
  Transaction transaction = kWrite;
  transaction.otherwise = {{"c", false}};
  const json sent = json::parse(EncodeTransaction(transaction));
  EXPECT_EQ(sent["success"].size(), 3u);
  EXPECT_EQ(sent["failure"], json::parse(R"([{"request_range":{"key":"YQ=="}},
      {"request_range":{"key":"Yw=="}}])"));
  const std::string a = R"({"response_range":{}})";
  const std::string c =
      R"({"response_range":{"kvs":[{"key":"Yw==","mod_revision":"3","value":"MQ=="}],"count":"1"}})";
  Answer answer;
  const auto decode = [&](const std::string& members) {
    return DecodeTransaction(AnswerOf(members), transaction, &answer).message;
  };
  EXPECT_EQ(decode(R"("responses":[)" + a + "," + c + "]"), "");
  EXPECT_EQ(answer.outcome, Outcome::kCompareFailed);
  EXPECT_EQ(answer.Find("c")->value, "1");
  EXPECT_NE(decode(R"("responses":[)" + a + "]"), "");
  const std::string writes = R"({"response_put":{}},{"response_delete_range":{}},)";
  EXPECT_EQ(decode(R"("succeeded":true,"responses":[)" + writes + a + "]"), "");
  EXPECT_EQ(answer.outcome, Outcome::kApplied);
  EXPECT_NE(decode(R"("succeeded":true,"responses":[)" + writes + a + "," + c + "]"), "");
}

TEST(EtcdMessages, OneRange) {
  const Range range = {"p/", true};
  EXPECT_EQ(json::parse(EncodeRange(range)), json::parse(R"({"key":"cC8=","range_end":"cDA="})"));
  Answer answer;
  const auto decode = [&](const std::string& text) {
    return DecodeRange(text, range, &answer).message;
  };
  EXPECT_EQ(
      decode(AnswerOf(R"("kvs":[{"key":"cC9h","mod_revision":"8","value":"MQ=="}],"count":"1")")),
      "");
  EXPECT_EQ(answer.outcome, Outcome::kApplied);
  EXPECT_EQ(answer.revision, 9);
  EXPECT_EQ(answer.found, (std::vector<KeyValue>{{"p/a", "1", 8}}));
  EXPECT_EQ(decode(AnswerOf("")), "");
  EXPECT_TRUE(answer.found.empty());
  for (const std::string& text :
       {std::string("{}"), std::string("[]"), AnswerOf(R"("more":true)"),
        AnswerOf(R"("count":"1")"),
        AnswerOf(R"("kvs":[{"key":"YQ==","mod_revision":"8"}],"count":"1")")}) {
    EXPECT_NE(decode(text), "") << text;
  }
}

TEST(EtcdMessages, AllKeysBelowOne) {
  const json sent = json::parse(EncodeTransaction(kReadBelow));
  EXPECT_EQ(sent["success"][0]["request_range"]["range_end"], "cDA=");  // "p0"
  const json watch = json::parse(EncodeWatch("a\xff"));
  EXPECT_EQ(watch["create_request"]["range_end"], "Yg==");  // "b"
}

TEST(EtcdMessages, Found) {
  Answer answer;
  const std::string text = OneKey(R"("kvs":[{"key":"YQ==","create_revision":"3","mod_revision":"8",
      "version":"2","value":"AAE="}],"count":"1")");
  ASSERT_EQ(DecodeTransaction(text, kReadOne, &answer).message, "");
  EXPECT_EQ(answer.outcome, Outcome::kApplied);
  EXPECT_EQ(answer.cluster, 14841639068965178418u);
  EXPECT_EQ(answer.revision, 9);
  ASSERT_NE(answer.Find("a"), nullptr);
  EXPECT_EQ(*answer.Find("a"), (KeyValue{"a", std::string("\0\1", 2), 8}));
}

TEST(EtcdMessages, ZeroIsLeftOut) {
  Answer answer;
  ASSERT_EQ(DecodeTransaction(OneKey(""), kReadOne, &answer).message, "");
  EXPECT_EQ(answer.outcome, Outcome::kApplied);
  EXPECT_TRUE(answer.found.empty());
  // A comparison that fails: no "succeeded".
  const std::string failed = AnswerOf(R"("responses":[{"response_range":{}}])");
  ASSERT_EQ(DecodeTransaction(failed, kWrite, &answer).message, "");
  EXPECT_EQ(answer.outcome, Outcome::kCompareFailed);
}

TEST(EtcdMessages, NumbersMayBeNumbers) {
  Answer answer;
  ASSERT_EQ(DecodeTransaction(R"({"header":{"cluster_id":5,"revision":9},"succeeded":true,
      "responses":[{"response_range":{"kvs":[{"key":"YQ==","mod_revision":8}],"count":1}}]})",
                              kReadOne, &answer)
                .message,
            "");
  EXPECT_EQ(answer.found, (std::vector<KeyValue>{{"a", "", 8}}));
}

struct Hostile {
  const char* what;
  std::string text;
  const Transaction* transaction = &kReadOne;
};

std::vector<Hostile> HostileAnswers() {
  const std::string deep(5000, '[');
  return {
      {"nothing", ""},
      {"text", "404 page not found"},
      {"a list", "[]"},
      {"nested", deep},
      {"nested inside", AnswerOf(R"("x":)" + deep)},
      {"no header", R"({"succeeded":true,"responses":[{"response_range":{}}]})"},
      {"no revision",
       R"({"header":{"cluster_id":"1"},"succeeded":true,"responses":[{"response_range":{}}]})"},
      {"no cluster",
       R"({"header":{"revision":"1"},"succeeded":true,"responses":[{"response_range":{}}]})"},
      {"a header that is none", R"({"header":7,"succeeded":true})"},
      {"a negative revision", R"({"header":{"cluster_id":"1","revision":"-5"},"succeeded":true,
          "responses":[{"response_range":{}}]})"},
      {"a revision above 64 bits",
       R"({"header":{"cluster_id":"1","revision":"99999999999999999999"},
          "succeeded":true,"responses":[{"response_range":{}}]})"},
      {"a revision with a fraction", R"({"header":{"cluster_id":"1","revision":1.5},
          "succeeded":true,"responses":[{"response_range":{}}]})"},
      {"a revision with text", R"({"header":{"cluster_id":"1","revision":"9x"},
          "succeeded":true,"responses":[{"response_range":{}}]})"},
      {"succeeded is text", AnswerOf(R"("succeeded":"yes","responses":[{"response_range":{}}])")},
      {"failed without a comparison", AnswerOf(R"("responses":[{"response_range":{}}])")},
      {"no responses", AnswerOf(R"("succeeded":true)")},
      {"responses that are none", AnswerOf(R"("succeeded":true,"responses":{"0":1})")},
      {"too many responses", AnswerOf(R"("succeeded":true,"responses":[{"response_range":{}},
          {"response_range":{}}])")},
      {"another response", AnswerOf(R"("succeeded":true,"responses":[{"response_put":{}}])")},
      {"a response that is none", AnswerOf(R"("succeeded":true,"responses":[3])")},
      {"put and delete changed places", AnswerOf(R"("succeeded":true,"responses":[
          {"response_delete_range":{}},{"response_put":{}},{"response_range":{}}])"),
       &kWrite},
      {"another key", OneKey(R"("kvs":[{"key":"Yg==","mod_revision":"8"}],"count":"1")")},
      {"no key", OneKey(R"("kvs":[{"mod_revision":"8"}],"count":"1")")},
      {"no revision of a key", OneKey(R"("kvs":[{"key":"YQ=="}],"count":"1")")},
      {"a key newer than the store",
       OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"10"}],"count":"1")")},
      {"a key twice", OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8"},
          {"key":"YQ==","mod_revision":"8"}],"count":"2")")},
      {"a wrong count", OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8"}],"count":"2")")},
      {"a part", OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8"}],"count":"1","more":true)")},
      {"no base64", OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8","value":"!"}],"count":"1")")},
      {"base64 in two ways",
       OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8","value":"YR=="}],"count":"1")")},
      {"a value that is none",
       OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8","value":[1]}],"count":"1")")},
      {"keys out of order", OneKey(R"("kvs":[{"key":"cC9i","mod_revision":"8"},
          {"key":"cC9h","mod_revision":"8"}],"count":"2")"),
       &kReadBelow},
      {"a key elsewhere", OneKey(R"("kvs":[{"key":"cDA=","mod_revision":"8"}],"count":"1")"),
       &kReadBelow},
      {"UTF-8 that is none", AnswerOf("\"succeeded\":true,\"x\":\"\xff\"")},
  };
}

TEST(EtcdMessages, HostileAnswers) {
  for (const Hostile& hostile : HostileAnswers()) {
    SCOPED_TRACE(hostile.what);
    Answer answer;
    const Failure failure = DecodeTransaction(hostile.text, *hostile.transaction, &answer);
    EXPECT_EQ(failure.kind, Kind::kBadAnswer);
    EXPECT_LT(failure.message.size(), 1000u);
    EXPECT_EQ(failure.message.find('\n'), std::string::npos);
    EXPECT_FALSE(answer.answered());
  }
}

// Cut, and with one byte changed: an answer of the same meaning, or none.
TEST(EtcdMessages, DamagedAnswers) {
  const std::string good =
      OneKey(R"("kvs":[{"key":"YQ==","mod_revision":"8","value":"AAE="}],"count":"1")");
  for (size_t i = 0; i < good.size(); i++) {
    Answer answer;
    EXPECT_EQ(DecodeTransaction(good.substr(0, i), kReadOne, &answer).kind, Kind::kBadAnswer);
    for (const char c : {'\0', '"', '0', '{', '\xff'}) {
      std::string damaged = good;
      damaged[i] = c;
      if (DecodeTransaction(damaged, kReadOne, &answer).kind != Kind::kNone) continue;
      for (const KeyValue& entry : answer.found) EXPECT_EQ(entry.key, "a") << damaged;
    }
  }
}

struct Said {
  const char* text;
  Kind kind;
  bool is_final;
  bool wants_token;
};

// As 3.4.23 and 3.5.16 have said it.
constexpr Said kSaid[] = {
    {R"({"error":"etcdserver: request timed out","code":14,"message":"etcdserver: request timed out"})",
     Kind::kNoAnswer, false, false},
    {R"({"code":14,"message":"etcdserver: request timed out, possibly due to previous leader failure"})",
     Kind::kNoAnswer, false, false},
    {R"({"error":"context deadline exceeded","code":2,"message":"context deadline exceeded"})",
     Kind::kNoAnswer, false, false},
    {R"({"code":4,"message":"context deadline exceeded"})", Kind::kNoAnswer, false, false},
    {R"({"code":14,"message":"etcdserver: leader changed"})", Kind::kNoAnswer, false, false},
    {R"({"code":8,"message":"etcdserver: mvcc: database space exceeded"})", Kind::kNoSpace, true,
     false},
    {R"({"code":8,"message":"etcdserver: too many requests"})", Kind::kBusy, true, false},
    {R"x({"code":8,"message":"grpc: received message larger than max (3000000 vs. 2097152)"})x",
     Kind::kTooLarge, true, false},
    {R"({"code":8,"message":"something new"})", Kind::kNoAnswer, false, false},
    {R"({"code":3,"message":"etcdserver: request is too large"})", Kind::kTooLarge, true, false},
    {R"({"code":3,"message":"etcdserver: user name is empty"})", Kind::kAuthentication, true, true},
    {R"({"code":3,"message":"etcdserver: authentication failed, invalid user ID or password"})",
     Kind::kAuthentication, true, false},
    {R"({"code":3,"message":"etcdserver: duplicate key given in txn request"})", Kind::kRefused,
     true, false},
    {R"({"code":7,"message":"etcdserver: permission denied"})", Kind::kPermission, true, false},
    {R"({"code":16,"message":"etcdserver: invalid auth token"})", Kind::kAuthentication, true,
     true},
    {R"({"code":9,"message":"etcdserver: authentication is not enabled"})", Kind::kAuthentication,
     true, false},
    {"CommonName of client sending a request against gateway will be ignored and not used as "
     "expected\n",
     Kind::kAuthentication, true, false},
    {R"({"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader"}})",
     Kind::kNoAnswer, false, false},
    // Somebody else, or a future version.
    {"404 page not found", Kind::kBadAnswer, false, false},
    {"<html>502 Bad Gateway</html>", Kind::kBadAnswer, false, false},
    {R"({"code":-1,"message":"x"})", Kind::kBadAnswer, false, false},
    {R"({"code":99999999999999999999,"message":"x"})", Kind::kBadAnswer, false, false},
    {R"({"code":99,"message":"x"})", Kind::kNoAnswer, false, false},
    {R"({"code":14,"message":7})", Kind::kBadAnswer, false, false},
};

TEST(EtcdMessages, Errors) {
  for (const Said& said : kSaid) {
    SCOPED_TRACE(said.text);
    const auto error = DecodeError(said.text);
    ASSERT_TRUE(error);
    EXPECT_EQ(error->failure.kind, said.kind) << error->failure.message;
    EXPECT_EQ(error->is_final, said.is_final);
    EXPECT_EQ(error->wants_token, said.wants_token);
    EXPECT_FALSE(error->failure.message.empty());
  }
  EXPECT_FALSE(DecodeError(AnswerOf("")));
}

// etcd whose own certificate is none of a client's: 3.4, then 3.5.
TEST(EtcdMessages, GatewayThatCannotReachItsEtcd) {
  for (
      const char* text :
      {R"({"error":"connection closed","code":14,"message":"connection closed"})",
       R"({"code":14,"message":"connection error: desc = \"remote error: tls: bad certificate\""})"}) {
    const auto error = DecodeError(text);
    ASSERT_TRUE(error) << text;
    EXPECT_NE(error->failure.hint.find("clientAuth"), std::string::npos);
    EXPECT_FALSE(error->is_final);
    EXPECT_TRUE(error->try_next);
  }
  const auto other = DecodeError(R"({"code":14,"message":"etcdserver: leader changed"})");
  EXPECT_EQ(other->failure.hint, "");
}

TEST(EtcdMessages, ErrorTextIsPrintableAndNotEndless) {
  const auto error =
      DecodeError(R"({"code":9,"message":"\u001b[31m)" + std::string(100000, 'x') + "\"}");
  ASSERT_TRUE(error);
  EXPECT_LE(error->failure.message.size(), 400u);
  EXPECT_EQ(error->failure.message.find('\x1b'), std::string::npos);
}

TEST(EtcdMessages, Tokens) {
  std::string token;
  EXPECT_EQ(DecodeAuthenticate(AnswerOf(R"("token":"abc.9")"), &token).kind, Kind::kNone);
  EXPECT_EQ(token, "abc.9");
  // A token that would become another header.
  for (const char* bad :
       {R"("token":"a\r\nHost: b")", R"("token":"")", R"("token":7)", R"("x":1)"}) {
    const Failure failure = DecodeAuthenticate(AnswerOf(bad), &token);
    EXPECT_EQ(failure.kind, Kind::kBadAnswer) << bad;
    EXPECT_EQ(token, "abc.9");
  }
}

TEST(EtcdMessages, Status) {
  const Identity identity = DecodeStatus(AnswerOf(
      R"("version":"3.4.23","dbSize":"20480","leader":"1","errors":["memberID:1 alarm:NOSPACE "])"));
  EXPECT_EQ(identity.failure.message, "");
  EXPECT_EQ(identity.cluster, 14841639068965178418u);
  EXPECT_EQ(identity.version, "3.4.23");
  ASSERT_EQ(identity.alarms.size(), 1u);
  EXPECT_EQ(DecodeStatus(AnswerOf(R"("errors":[7])")).failure.kind, Kind::kBadAnswer);
  EXPECT_EQ(DecodeStatus("{}").failure.kind, Kind::kBadAnswer);
}

TEST(EtcdMessages, LinesOfAWatch) {
  std::vector<News> news(1);
  const auto means = [&](std::string_view line) { return DecodeWatchLine(line, &news); };
  EXPECT_EQ(means(R"({"result":{"header":{"revision":"3"},"created":true}})"), WatchLine::kLook);
  EXPECT_TRUE(news.empty()) << "anything may have changed before";
  EXPECT_EQ(means(R"({"result":{"header":{"revision":"3"}}})"), WatchLine::kQuiet);
  EXPECT_EQ(means(R"({"result":{"created":true,"canceled":true,"cancel_reason":"no"}})"),
            WatchLine::kOver);
  EXPECT_EQ(means(R"({"result":{"events":[{"kv":{"key":"YQ==","mod_revision":"3","value":"Yg=="}},)"
                  R"({"type":"DELETE","kv":{"key":"Yw==","mod_revision":"4"}}]}})"),
            WatchLine::kLook);
  EXPECT_EQ(news, (std::vector<News>{{"a", "b", 3}, {"c", std::nullopt, 4}}));
  for (const char* line :
       {"", "{", "[]", "{}", R"({"result":7})", R"({"result":{"events":7}})",
        R"({"result":{"events":[{"kv":{"key":"YQ=="}}]}})",
        R"({"result":{"events":[{"kv":{"key":"*","mod_revision":"3"}}]}})",
        R"({"result":{"events":[{"mod_revision":"3"}]}})",
        R"({"result":{"events":[{"type":"MOVE","kv":{"key":"YQ==","mod_revision":"3"}}]}})",
        R"({"error":{"grpc_code":14,"message":"etcdserver: no leader"}})"}) {
    EXPECT_EQ(means(line), WatchLine::kOver) << line;
    EXPECT_TRUE(news.empty());
  }
}

// One line may have very many.
TEST(EtcdMessages, ManyNewsAreAnything) {
  const std::string event = R"({"kv":{"key":"YQ==","mod_revision":"3"}})";
  const auto line = [&](int count) {
    std::string text = event;
    for (int i = 1; i < count; i++) text += "," + event;
    return R"({"result":{"events":[)" + text + "]}}";
  };
  std::vector<News> news;
  EXPECT_EQ(DecodeWatchLine(line(100), &news), WatchLine::kLook);
  EXPECT_EQ(news.size(), 100u);
  EXPECT_EQ(DecodeWatchLine(line(101), &news), WatchLine::kLook);
  EXPECT_TRUE(news.empty());
}

}  // namespace
}  // namespace scsi_pr::agent
