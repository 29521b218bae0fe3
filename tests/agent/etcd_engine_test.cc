// SPDX-License-Identifier: GPL-2.0-or-later
//
// EtcdEngine in front of servers that answer as etcd does, not at all, or as nobody should.
#include "agent/etcd_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <mutex>
#include <string>

#include "fake_http.h"

namespace scsi_pr::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Failure::Kind;
using namespace std::chrono_literals;

const Transaction kWrite{{{"a", 0}}, {{"a", "1"}}, {{"a", false}}};

constexpr const char* kApplied =
    R"({"header":{"cluster_id":"5","revision":"9"},"succeeded":true,"responses":[{"response_put":{}},
    {"response_range":{"kvs":[{"key":"YQ==","mod_revision":"9","value":"MQ=="}],"count":"1"}}]})";

std::unique_ptr<EtcdEngine> EngineFor(const EtcdOptions& options) {
  std::unique_ptr<EtcdEngine> engine;
  const Status status = EtcdEngine::Create(options, &engine);
  EXPECT_TRUE(status.ok()) << status.message();
  return engine;
}

std::unique_ptr<EtcdEngine> EngineAt(std::vector<std::string> endpoints) {
  EtcdOptions options;
  options.endpoints = std::move(endpoints);
  return EngineFor(options);
}

FakeHandler Says(const std::string& body, int code = 200) {
  return [=](const FakeRequest&) { return HttpText(body, code); };
}
std::string Silent(const FakeRequest&) { return ""; }

double SecondsOf(const std::function<void()>& call) {
  const auto start = Clock::now();
  call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A port at which nobody listens.
std::string Nobody() {
  std::string url;
  {
    const FakeHttp server(Silent);
    url = server.url();
  }
  return url;
}

TEST(EtcdEngine, Options) {
  std::unique_ptr<EtcdEngine> engine;
  const auto refused = [&](const EtcdOptions& options) {
    const Status status = EtcdEngine::Create(options, &engine);
    EXPECT_EQ(engine, nullptr);
    return status.code();
  };
  EXPECT_EQ(refused({}), Status::Code::kInvalid);
  for (const char* url :
       {"", "etcd1:2379", "http://etcd1", "http://u:p@etcd1:1", "ftp://etcd1:21",
        "http://etcd1:2379/v3", "http://etcd1:2379\r\nX: y", "https://etcd1:2379"}) {
    EXPECT_EQ(refused({.endpoints = {url}}), Status::Code::kInvalid) << url;
  }
  EXPECT_EQ(refused({.endpoints = {"https://etcd1:2379"}, .tls_directory = "/nowhere"}),
            Status::Code::kIo);
  EXPECT_EQ(refused({.endpoints = {"http://e:1"}, .token_file = "/nowhere"}), Status::Code::kIo);
  EXPECT_EQ(refused({.endpoints = {"http://e:1"}, .user = "u", .token_file = "/dev/null"}),
            Status::Code::kInvalid);
}

TEST(EtcdEngine, Applied) {
  FakeHttp server(Says(kApplied));
  const Answer answer = EngineAt({server.url()})->Txn(kWrite);
  EXPECT_EQ(answer.outcome, Outcome::kApplied) << answer.failure.message;
  EXPECT_EQ(answer.Find("a")->value, "1");
  EXPECT_EQ(server.requests().at(0).path, "/v3/kv/txn");
}

TEST(EtcdEngine, ReadsOneRange) {
  FakeHttp server(Says(R"({"header":{"cluster_id":"5","revision":"9"}})"));
  const Answer answer = EngineAt({server.url()})->Read({{"a", false}});
  EXPECT_EQ(answer.outcome, Outcome::kApplied) << answer.failure.message;
  EXPECT_EQ(answer.revision, 9);
  EXPECT_EQ(server.requests().at(0).path, "/v3/kv/range");
  FakeHttp garbage(Says("[]"));
  EXPECT_EQ(EngineAt({garbage.url()})->Read({{"a", false}}).outcome, Outcome::kFailed);
}

// What an error means is in its text, whatever the HTTP code is.
TEST(EtcdEngine, HttpCodesSayNothing) {
  for (const int code : {200, 400, 412, 429, 500, 503, 504}) {
    FakeHttp space(
        Says(R"({"code":8,"message":"etcdserver: mvcc: database space exceeded"})", code));
    Answer answer = EngineAt({space.url()})->Txn(kWrite);
    EXPECT_EQ(answer.outcome, Outcome::kFailed);
    EXPECT_EQ(answer.failure.kind, Kind::kNoSpace);
    FakeHttp fine(Says(kApplied, code));
    EXPECT_EQ(EngineAt({fine.url()})->Txn(kWrite).outcome, Outcome::kApplied);
  }
}

// A write of which nobody knows; a read of it has just failed.
TEST(EtcdEngine, UnknownOutcomes) {
  const std::string cut = HttpText(kApplied).substr(0, 150);
  const std::vector<FakeHandler> handlers = {
      Says(R"({"code":14,"message":"etcdserver: request timed out"})", 503),
      Says("<html>"),
      Says(""),
      Says("{}"),
      Says(R"({"header":{}})"),
      [&](const FakeRequest&) { return cut; },
      [](const FakeRequest&) { return std::string("SMTP\r\n"); },
      [](const FakeRequest&) {
        return "HTTP/1.1 200 OK\r\n\r\n" + std::string(kMaxAnswer + 1, ' ');
      },
  };
  for (const FakeHandler& handler : handlers) {
    FakeHttp server(handler);
    const auto engine = EngineAt({server.url()});
    const Answer written = engine->Txn(kWrite);
    EXPECT_EQ(written.outcome, Outcome::kUnknown);
    EXPECT_FALSE(written.failure.message.empty());
    EXPECT_EQ(engine->Read({{"a"}}).outcome, Outcome::kFailed);
  }
}

TEST(EtcdEngine, RedirectionsAreNotFollowed) {
  FakeHttp other(Says(kApplied));
  FakeHttp server([&](const FakeRequest&) {
    return "HTTP/1.1 307 X\r\nLocation: " + other.url() + "/v3/kv/txn\r\nContent-Length: 0\r\n\r\n";
  });
  EXPECT_EQ(EngineAt({server.url()})->Txn(kWrite).outcome, Outcome::kUnknown);
  EXPECT_TRUE(other.requests().empty());
}

TEST(EtcdEngine, NobodyThere) {
  const auto engine = EngineAt({Nobody()});
  const Answer answer = engine->Txn(kWrite);
  EXPECT_EQ(answer.outcome, Outcome::kFailed) << "nothing was sent";
  EXPECT_EQ(answer.failure.kind, Kind::kUnreachable);
  EXPECT_EQ(engine->Identify().failure.kind, Kind::kUnreachable);
}

// What was not taken goes to the next endpoint within the same call.
TEST(EtcdEngine, NextEndpointWhereNobodyIs) {
  FakeHttp server(Says(kApplied));
  const auto engine = EngineAt({Nobody(), Nobody(), server.url()});
  EXPECT_LT(SecondsOf([&] { EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied); }), 1.5);
}

// What was sent does not: somebody might carry it out twice, and the caller has to look.
TEST(EtcdEngine, NextEndpointAfterASilentOne) {
  FakeHttp silent(Silent), server(Says(kApplied));
  const auto engine = EngineAt({silent.url(), server.url()});
  const double seconds =
      SecondsOf([&] { EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kUnknown); });
  EXPECT_GE(seconds, 1.4);
  EXPECT_LT(seconds, 2.0);
  EXPECT_TRUE(server.requests().empty());
  EXPECT_LT(SecondsOf([&] { EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied); }), 1.0);
  EXPECT_EQ(silent.requests().size(), 1u) << "the endpoint that answers is kept";
}

// A try that fails in its last moment leaves none for the next endpoint.
TEST(EtcdEngine, WithoutTimeNothingIsSent) {
  const FakeHttp silent([](const FakeRequest&) { return ""; });
  Http http({});
  for (const auto left : {Http::Milliseconds(0), Http::Milliseconds(-1)}) {
    const HttpAnswer answer = http.Post({silent.url(), "{}", {}}, left, left);
    EXPECT_FALSE(answer.sent || answer.whole);
    EXPECT_EQ(answer.error, "there is no time left");
  }
  EXPECT_TRUE(silent.requests().empty());
}

TEST(EtcdEngine, NextEndpointWhenOneIsOverloaded) {
  FakeHttp busy(Says(R"({"code":8,"message":"etcdserver: too many requests"})"));
  FakeHttp server(Says(kApplied));
  EXPECT_EQ(EngineAt({busy.url(), server.url()})->Txn(kWrite).outcome, Outcome::kApplied);
}

// ---------------------------------------------------------------- Who we are

std::string AuthorizationOf(const FakeRequest& request) {
  constexpr std::string_view kName = "\r\nAuthorization: ";
  const size_t at = request.head.find(kName);
  if (at == std::string::npos) return "";
  const size_t begin = at + kName.size();
  return request.head.substr(begin, request.head.find('\r', begin) - begin);
}

// Gives out tokens, each good for so many requests.
class Guard {
 public:
  explicit Guard(int uses) : uses_(uses) {}

  std::string operator()(const FakeRequest& request) {
    if (request.path == "/v3/auth/authenticate") {
      if (request.body.find("secret") == std::string::npos) {
        return HttpText(
            R"({"code":3,"message":"etcdserver: authentication failed, invalid user ID or password"})");
      }
      left_ = uses_;
      const int token = ++tokens_;
      return HttpText(R"({"header":{},"token":"t)" + std::to_string(token) + "\"}");
    }
    const std::string token = AuthorizationOf(request);
    if (token.empty()) return HttpText(R"({"code":3,"message":"etcdserver: user name is empty"})");
    if (token != "t" + std::to_string(tokens_) || left_-- <= 0) {
      return HttpText(R"({"code":16,"message":"etcdserver: invalid auth token"})", 401);
    }
    return HttpText(kApplied);
  }

  int tokens() const { return tokens_; }

 private:
  const int uses_;
  std::atomic<int> left_ = 0;
  std::atomic<int> tokens_ = 0;
};

TEST(EtcdEngine, AnExpiredTokenIsReplaced) {
  Guard guard(2);
  FakeHttp server(std::ref(guard));
  const auto engine = EngineFor({.endpoints = {server.url()}, .user = "pr", .password = "secret"});
  for (int i = 0; i < 6; i++) EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied);
  EXPECT_EQ(guard.tokens(), 3);
}

TEST(EtcdEngine, ATokenThatIsNeverTakenIsAnError) {
  Guard guard(0);
  FakeHttp server(std::ref(guard));
  const Answer answer =
      EngineFor({.endpoints = {server.url()}, .user = "pr", .password = "secret"})->Txn(kWrite);
  EXPECT_EQ(answer.outcome, Outcome::kFailed);
  EXPECT_EQ(answer.failure.kind, Kind::kAuthentication);
  EXPECT_EQ(guard.tokens(), 2) << "once again, not for ever";
}

TEST(EtcdEngine, AWrongPasswordIsNamed) {
  Guard guard(1);
  FakeHttp server(std::ref(guard));
  const Answer answer =
      EngineFor({.endpoints = {server.url()}, .user = "pr", .password = "Wrong1"})->Txn(kWrite);
  EXPECT_EQ(answer.outcome, Outcome::kFailed);
  EXPECT_EQ(answer.failure.kind, Kind::kAuthentication);
  EXPECT_NE(answer.failure.message.find("invalid user ID or password"), std::string::npos);
  EXPECT_EQ(answer.failure.message.find("Wrong1"), std::string::npos);
}

TEST(EtcdEngine, EachEndpointGivesItsOwnToken) {
  Guard first(100), second(100);
  std::atomic<bool> silent = false;
  FakeHttp one([&](const FakeRequest& request) { return silent ? std::string() : first(request); });
  FakeHttp two(std::ref(second));
  const auto engine =
      EngineFor({.endpoints = {one.url(), two.url()}, .user = "pr", .password = "secret"});
  EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied);
  silent = true;
  EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kUnknown);
  EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied);
  EXPECT_EQ(second.tokens(), 1);
}

TEST(EtcdEngine, TokenFileIsReadAgain) {
  const std::string path = ::testing::TempDir() + "scsi-pr-token-" + std::to_string(getpid());
  const auto write = [&](const char* text) { std::ofstream(path) << text; };
  FakeHttp server([&](const FakeRequest& request) {
    return AuthorizationOf(request) == "new"
               ? HttpText(kApplied)
               : HttpText(R"({"code":16,"message":"invalid auth token"})");
  });
  write("old\n");
  const auto engine = EngineFor({.endpoints = {server.url()}, .token_file = path});
  EXPECT_EQ(engine->Txn(kWrite).failure.kind, Kind::kAuthentication);
  write("new\n");
  EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied);
  write("");
  EXPECT_EQ(engine->Txn(kWrite).outcome, Outcome::kApplied) << "as long as it is taken";
  std::filesystem::remove(path);
}

TEST(EtcdEngine, CertificateWithACommonName) {
  FakeHttp server(
      Says("CommonName of client sending a request against gateway will be ignored and "
           "not used as expected\n",
           400));
  const Answer answer = EngineAt({server.url()})->Txn(kWrite);
  EXPECT_EQ(answer.outcome, Outcome::kFailed);
  EXPECT_EQ(answer.failure.kind, Kind::kAuthentication);
  EXPECT_NE(answer.failure.hint.find("without a CN"), std::string::npos);
}

// ---------------------------------------------------------------- Hints

// Counts the calls.
class Looks {
 public:
  void operator()(const std::vector<News>&) {
    const std::lock_guard lock(mutex_);
    count_++;
    changed_.notify_all();
  }
  bool Reach(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, 5s, [&] { return count_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

TEST(EtcdEngine, AWatchIsBegunAgain) {
  std::atomic<int> watches = 0;
  FakeHttp server([&](const FakeRequest& request) -> std::string {
    EXPECT_NE(request.head.find("Grpc-Metadata-hasleader: true"), std::string::npos);
    const char* created = "{\"result\":{\"created\":true}}\n";
    if (++watches == 1)
      return "HTTP/1.1 200 X\r\n\r\n" + std::string(created) + "{\"result\":{\"events\":[{}]}}\n";
    if (watches == 2) return "HTTP/1.1 200 X\r\n\r\n" + std::string(100, '}') + "\n" + created;
    return "HTTP/1.1 200 X\r\n\r\n" + std::string(created) + created;
  });
  Looks looks;
  const auto engine = EngineAt({server.url()});
  {
    const auto hints = engine->Hint("p/", std::ref(looks));
    EXPECT_TRUE(looks.Reach(4)) << "two of the first, none of the second, two of the third";
  }
  EXPECT_GE(watches, 3);
}

TEST(EtcdEngine, ASilentWatchEndsAtOnce) {
  FakeHttp server(Silent);
  const auto engine = EngineAt({server.url()});
  auto hints = engine->Hint("p/", [](auto) {});
  while (server.requests().empty()) std::this_thread::sleep_for(1ms);
  EXPECT_LT(SecondsOf([&] { hints.reset(); }), 0.9);
}

TEST(EtcdEngine, ManyThreads) {
  Guard guard(1000000);
  FakeHttp server(std::ref(guard));
  const auto engine = EngineFor({.endpoints = {server.url()}, .user = "pr", .password = "secret"});
  std::vector<std::future<int>> threads;
  for (int i = 0; i < 8; i++) {
    threads.push_back(std::async(std::launch::async, [&] {
      int good = 0;
      for (int n = 0; n < 20; n++) good += engine->Txn(kWrite).outcome == Outcome::kApplied;
      return good;
    }));
  }
  for (auto& thread : threads) EXPECT_EQ(thread.get(), 20);
  EXPECT_EQ(guard.tokens(), 1);
}

}  // namespace
}  // namespace scsi_pr::agent
