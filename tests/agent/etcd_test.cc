// SPDX-License-Identifier: GPL-2.0-or-later
//
// EtcdEngine with the etcd that the machine has, of one member and of three.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "agent/etcd_engine.h"
#include "etcd_cluster.h"

namespace scsi_pr::agent {
namespace {

using Clock = std::chrono::steady_clock;
using Kind = Failure::Kind;
using namespace std::chrono_literals;

class EtcdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = WhyNoEtcd(); !why.empty()) GTEST_SKIP() << why;
  }
};

std::unique_ptr<EtcdEngine> EngineFor(const EtcdOptions& options) {
  std::unique_ptr<EtcdEngine> engine;
  const Status status = EtcdEngine::Create(options, &engine);
  EXPECT_TRUE(status.ok()) << status.message();
  return engine;
}

std::unique_ptr<EtcdEngine> EngineAt(std::vector<std::string> endpoints) {
  return EngineFor({.endpoints = std::move(endpoints)});
}

// If `key` is as it was read, it becomes `value`; and it is read.
Transaction Put(const std::string& key, int64_t revision, const std::string& value) {
  return {{{key, revision}}, {{key, value}}, {{key, false}}};
}

double SecondsOf(const std::function<void()>& call) {
  const auto start = Clock::now();
  call();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Reads until there is an answer, as whoever renews does.
Answer ReadOn(Engine& engine, const std::string& key, Clock::duration patience = 20s) {
  const auto deadline = Clock::now() + patience;
  for (;;) {
    Answer answer;
    EXPECT_LT(SecondsOf([&] { answer = engine.Read({{key, false}}); }), 1.9) << "a try too long";
    if (answer.answered() || Clock::now() > deadline) return answer;
    std::this_thread::sleep_for(20ms);
  }
}

TEST_F(EtcdTest, CompareAndWrite) {
  EtcdCluster etcd(1);
  const auto engine = EngineAt(etcd.Endpoints());
  Answer made = engine->Txn(Put("k", 0, "1"));
  ASSERT_EQ(made.outcome, Outcome::kApplied) << made.failure.message;
  const int64_t first = made.Find("k")->revision;
  EXPECT_EQ(made.revision, first);
  // Sent again: it does not hold any more, and what is there comes with the answer.
  made = engine->Txn(Put("k", 0, "1"));
  EXPECT_EQ(made.outcome, Outcome::kCompareFailed);
  EXPECT_EQ(made.Find("k")->revision, first);
  // Deleted and made anew: another revision.
  EXPECT_EQ(engine->Txn({{{"k", first}}, {{"k", std::nullopt}}, {}}).outcome, Outcome::kApplied);
  EXPECT_EQ(engine->Read({{"k", false}}).Find("k"), nullptr);
  EXPECT_EQ(engine->Txn({{{"k", 0}}, {{"k", std::nullopt}}, {}}).outcome, Outcome::kApplied);
  EXPECT_EQ(engine->Txn(Put("k", 0, "1")).outcome, Outcome::kApplied);
  EXPECT_EQ(engine->Txn(Put("k", first, "2")).outcome, Outcome::kCompareFailed);
}

TEST_F(EtcdTest, ManyKeysOneStep) {
  EtcdCluster etcd(1);
  const auto engine = EngineAt(etcd.Endpoints());
  const std::string bytes("\0\n\xff\xfe\"", 5);
  ASSERT_EQ(
      engine->Txn({{{"p/a", 0}, {"q", 0}}, {{"p/b", bytes}, {"p/a", ""}, {"q", "x"}}, {}}).outcome,
      Outcome::kApplied);
  const Answer answer = engine->Read({{"q", false}, {"p/", true}, {"p/nobody", false}});
  ASSERT_EQ(answer.outcome, Outcome::kApplied) << answer.failure.message;
  ASSERT_EQ(answer.found.size(), 3u);
  EXPECT_EQ(answer.found[0].key, "q");
  EXPECT_EQ(answer.found[1], (KeyValue{"p/a", "", answer.revision}));
  EXPECT_EQ(answer.found[2], (KeyValue{"p/b", bytes, answer.revision}));
}

TEST_F(EtcdTest, LargestValue) {
  EtcdCluster etcd(1);
  const auto engine = EngineAt(etcd.Endpoints());
  const std::string large(kMaxValue, 'x');
  ASSERT_EQ(engine->Txn(Put("k", 0, large)).outcome, Outcome::kApplied);
  EXPECT_EQ(engine->Read({{"k", false}}).Find("k")->value, large);
  const Answer refused = engine->Txn(Put("l", 0, std::string(1700000, 'x')));
  EXPECT_EQ(refused.outcome, Outcome::kFailed);
  EXPECT_EQ(refused.failure.kind, Kind::kTooLarge) << refused.failure.message;
  const Answer gateway = engine->Txn(Put("l", 0, std::string(4 * kMaxValue, 'x')));
  EXPECT_EQ(gateway.outcome, Outcome::kFailed);
  EXPECT_EQ(gateway.failure.kind, Kind::kTooLarge) << gateway.failure.message;
}

TEST_F(EtcdTest, NoSpace) {
  EtcdCluster etcd(1, {"--quota-backend-bytes", "200000"});
  const auto engine = EngineAt(etcd.Endpoints());
  Answer answer;
  for (int i = 0; i < 200; i++) {
    answer = engine->Txn(Put("k" + std::to_string(i), 0, std::string(10000, 'x')));
    if (answer.outcome != Outcome::kApplied) break;
  }
  EXPECT_EQ(answer.outcome, Outcome::kFailed);
  EXPECT_EQ(answer.failure.kind, Kind::kNoSpace) << answer.failure.message;
  EXPECT_NE(answer.failure.hint.find("defragment"), std::string::npos);
  EXPECT_EQ(engine->Read({{"k0", false}}).outcome, Outcome::kApplied) << "reads go on";
  const Identity identity = engine->Identify();
  ASSERT_EQ(identity.alarms.size(), 1u);
  EXPECT_NE(identity.alarms[0].find("NOSPACE"), std::string::npos);
}

TEST_F(EtcdTest, Identify) {
  EtcdCluster etcd(1);
  const auto engine = EngineAt(etcd.Endpoints());
  const Identity identity = engine->Identify();
  EXPECT_EQ(identity.failure.message, "");
  EXPECT_TRUE(identity.version.starts_with("3.")) << identity.version;
  EXPECT_EQ(identity.cluster, engine->Read({{"k", false}}).cluster);
  EXPECT_TRUE(identity.alarms.empty());
}

TEST_F(EtcdTest, Hints) {
  EtcdCluster etcd(1);
  const auto engine = EngineAt(etcd.Endpoints());
  std::atomic<int> looks = 0;
  std::promise<std::vector<News>> told;
  const auto reaches = [&](int count) {
    const auto deadline = Clock::now() + 10s;
    while (looks < count && Clock::now() < deadline) std::this_thread::sleep_for(5ms);
    return looks >= count;
  };
  const auto hints = engine->Hint("p/", [&](std::vector<News> news) {
    if (++looks == 3) told.set_value(std::move(news));
  });
  EXPECT_TRUE(reaches(1)) << "when it begins";
  const int64_t first = engine->Txn(Put("p/k", 0, "1")).revision;
  EXPECT_TRUE(reaches(2));
  engine->Txn({{{"p/k", first}}, {{"p/k", std::nullopt}, {"p/l", "2"}}, {}});
  ASSERT_TRUE(reaches(3));
  const std::vector<News> news = {{"p/k", std::nullopt, first + 1}, {"p/l", "2", first + 1}};
  EXPECT_EQ(told.get_future().get(), news);
  const int before = looks;
  engine->Txn(Put("q", 0, "1"));
  std::this_thread::sleep_for(200ms);
  EXPECT_EQ(looks, before) << "of another prefix";
}

// ---------------------------------------------------------------- Three members

TEST_F(EtcdTest, DeadMember) {
  EtcdCluster etcd(3);
  const size_t follower = (etcd.Leader() + 1) % 3;
  const auto engine = EngineAt(etcd.Endpoints(follower));
  EXPECT_EQ(engine->Txn(Put("k", 0, "1")).outcome, Outcome::kApplied);
  etcd.Kill(follower);
  // A connection that has just ended may leave one request unknown.
  const double seconds = SecondsOf([&] { EXPECT_EQ(ReadOn(*engine, "k").Find("k")->value, "1"); });
  EXPECT_LT(seconds, 1.5);
  const auto another = EngineAt(etcd.Endpoints(follower));
  EXPECT_LT(SecondsOf([&] { EXPECT_TRUE(another->Read({{"k", false}}).answered()); }), 1.5);
}

TEST_F(EtcdTest, StoppedFollower) {
  EtcdCluster etcd(3);
  const size_t follower = (etcd.Leader() + 1) % 3;
  const auto engine = EngineAt(etcd.Endpoints(follower));
  EXPECT_EQ(engine->Txn(Put("k", 0, "1")).outcome, Outcome::kApplied);
  etcd.Signal(follower, SIGSTOP);
  const double seconds = SecondsOf([&] { EXPECT_TRUE(ReadOn(*engine, "k").answered()); });
  EXPECT_LT(seconds, 2.5) << "one try, then the next endpoint";
  etcd.Signal(follower, SIGCONT);
}

// The others elect another one; and the old one, when it goes on, tells nobody what is over.
TEST_F(EtcdTest, StoppedLeader) {
  EtcdCluster etcd(3);
  const size_t leader = etcd.Leader();
  const auto engine = EngineAt(etcd.Endpoints(leader));
  const Answer made = engine->Txn(Put("k", 0, "old"));
  ASSERT_EQ(made.outcome, Outcome::kApplied);
  etcd.Signal(leader, SIGSTOP);
  const double seconds = SecondsOf([&] { EXPECT_TRUE(ReadOn(*engine, "k").answered()); });
  EXPECT_LT(seconds, 7.0) << "well within the time for which a host is admitted";
  Answer changed;
  do {
    changed = engine->Txn(Put("k", made.Find("k")->revision, "new"));
  } while (changed.outcome == Outcome::kUnknown);
  ASSERT_NE(changed.Find("k"), nullptr);
  EXPECT_EQ(changed.Find("k")->value, "new");
  const auto old = EngineAt({etcd.Endpoints(leader)[0]});
  etcd.Signal(leader, SIGCONT);
  const Answer seen = ReadOn(*old, "k");
  ASSERT_NE(seen.Find("k"), nullptr) << seen.failure.message;
  EXPECT_EQ(seen.Find("k")->value, "new");
}

// A write that had no answer may come into force later. Whoever needs to know changes what it
// compares; then it is one or the other for ever.
TEST_F(EtcdTest, LateWriteIsSettled) {
  EtcdCluster etcd(3);
  const size_t leader = etcd.Leader();
  const auto engine = EngineAt({etcd.Endpoints(leader)[0]});
  ASSERT_EQ(engine->Txn(Put("other", 0, "1")).outcome, Outcome::kApplied);
  for (size_t i = 1; i < 3; i++) etcd.Signal((leader + i) % 3, SIGSTOP);
  const Answer late = engine->Txn(Put("k", 0, "late"));
  EXPECT_EQ(late.outcome, Outcome::kUnknown);
  EXPECT_EQ(late.failure.kind, Kind::kNoAnswer);
  EXPECT_EQ(engine->Read({{"other", false}}).outcome, Outcome::kFailed) << "no quorum, no answer";
  for (size_t i = 1; i < 3; i++) etcd.Signal((leader + i) % 3, SIGCONT);
  Answer settled;
  do {
    ASSERT_TRUE(ReadOn(*engine, "other").answered());
    settled = engine->Txn(Put("k", 0, "settled"));
  } while (!settled.answered());
  ASSERT_NE(settled.Find("k"), nullptr);
  const KeyValue decided = *settled.Find("k");
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(*ReadOn(*engine, "k").Find("k"), decided);
}

// ---------------------------------------------------------------- Who we are

// One who may read and write below p/, and the root that etcd demands.
void EnableAuthentication(const std::string& url, const TlsFiles& tls = {}) {
  const auto post = [&](const char* path, const char* body) {
    const std::string answer = PostTo(url + path, body, "", tls);
    EXPECT_NE(answer.find("\"header\""), std::string::npos) << answer;
  };
  post("/v3/auth/user/add", R"({"name":"root","password":"r"})");
  post("/v3/auth/user/grant", R"({"user":"root","role":"root"})");
  post("/v3/auth/role/add", R"({"name":"pr"})");
  post("/v3/auth/role/grant",
       R"({"name":"pr","perm":{"permType":"READWRITE","key":"cC8=","range_end":"cDA="}})");
  post("/v3/auth/user/add", R"({"name":"pr","password":"secret"})");
  post("/v3/auth/user/grant", R"({"user":"pr","role":"pr"})");
  post("/v3/auth/enable", "{}");
}

// All tokens are void.
void ForgetTokens(const std::string& url) {
  const auto root = nlohmann::json::parse(
      PostTo(url + "/v3/auth/authenticate", R"({"name":"root","password":"r"})"));
  PostTo(url + "/v3/auth/disable", "{}", root.at("token"));
  PostTo(url + "/v3/auth/enable", "{}");
}

TEST_F(EtcdTest, Authentication) {
  EtcdCluster etcd(1);
  const std::string url = etcd.Endpoints()[0];
  EXPECT_EQ(EngineFor({.endpoints = {url}, .user = "pr", .password = "secret"})
                ->Txn(Put("p/k", 0, "1"))
                .failure.kind,
            Kind::kAuthentication)
      << "a user, and it is off";
  EnableAuthentication(url);
  const auto engine = EngineFor({.endpoints = {url}, .user = "pr", .password = "secret"});
  EXPECT_EQ(engine->Txn(Put("p/k", 0, "1")).outcome, Outcome::kApplied);
  ForgetTokens(url);
  EXPECT_EQ(engine->Txn(Put("p/l", 0, "1")).outcome, Outcome::kApplied) << "with a new token";
  const Answer elsewhere = engine->Txn(Put("q", 0, "1"));
  EXPECT_EQ(elsewhere.outcome, Outcome::kFailed);
  EXPECT_EQ(elsewhere.failure.kind, Kind::kPermission) << elsewhere.failure.message;
  EXPECT_EQ(engine->Read({{"q", false}}).failure.kind, Kind::kPermission);
  for (const EtcdOptions& options :
       {EtcdOptions{.endpoints = {url}},
        EtcdOptions{.endpoints = {url}, .user = "pr", .password = "wrong"}}) {
    const Answer refused = EngineFor(options)->Txn(Put("p/k", 0, "1"));
    EXPECT_EQ(refused.outcome, Outcome::kFailed);
    EXPECT_EQ(refused.failure.kind, Kind::kAuthentication) << refused.failure.message;
  }
}

// A certificate authority, the server's certificate, and a client's: in `directory` one
// without a CN, in named/ one with.
void MakeCertificates(const testing::TemporaryDirectory& directory) {
  constexpr const char* kScript = R"sh(set -e
    new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
    openssl req -x509 $new -days 2 -subj /CN=ca -keyout ca-key.pem -out ca-cert.pem
    printf 'subjectAltName=IP:127.0.0.1\nextendedKeyUsage=clientAuth,serverAuth\n' >extensions
    sign() {
      openssl req $new -subj "$2" -keyout "$1-key.pem" -out "$1.csr"
      openssl x509 -req -days 2 -in "$1.csr" -CA ca-cert.pem -CAkey ca-key.pem \
        -CAcreateserial -extfile extensions -out "$1-cert.pem"
    }
    mkdir named
    sign server /CN=server
    sign client /O=scsi-pr
    sign named/client /CN=pr
    cp ca-cert.pem named/)sh";
  testing::WriteFile(directory / "make", kScript);
  const std::string command = "cd '" + directory.path() + "' && sh make >log 2>&1";
  ASSERT_EQ(system(command.c_str()), 0) << testing::ReadFile(directory / "log");
}

TEST_F(EtcdTest, Tls) {
  if (system("command -v openssl >/dev/null") != 0) GTEST_SKIP() << "there is no openssl";
  const testing::TemporaryDirectory files, others;
  MakeCertificates(files);
  MakeCertificates(others);
  EtcdCluster etcd(
      1, {"--cert-file", files / "server-cert.pem", "--key-file", files / "server-key.pem",
          "--trusted-ca-file", files / "ca-cert.pem", "--client-cert-auth"});
  const auto endpoints = etcd.Endpoints();
  const auto engine = EngineFor({.endpoints = endpoints, .tls_directory = files.path()});
  EXPECT_TRUE(ReadOn(*engine, "k").answered());
  EXPECT_EQ(engine->Txn(Put("k", 0, "1")).outcome, Outcome::kApplied);
  // Another authority: nothing is sent to whom we cannot know.
  const Answer stranger =
      EngineFor({.endpoints = endpoints, .tls_directory = others.path()})->Txn(Put("l", 0, "1"));
  EXPECT_EQ(stranger.outcome, Outcome::kFailed);
  EXPECT_EQ(stranger.failure.kind, Kind::kUnreachable) << stranger.failure.message;

  EnableAuthentication(
      endpoints[0], {files / "ca-cert.pem", files / "client-cert.pem", files / "client-key.pem"});
  EtcdOptions options{
      .endpoints = endpoints, .tls_directory = files.path(), .user = "pr", .password = "secret"};
  EXPECT_EQ(EngineFor(options)->Txn(Put("p/k", 0, "1")).outcome, Outcome::kApplied);
  options.tls_directory = files / "named";
  const Answer named = EngineFor(options)->Txn(Put("p/k", 0, "1"));
  EXPECT_EQ(named.outcome, Outcome::kFailed);
  EXPECT_EQ(named.failure.kind, Kind::kAuthentication) << named.failure.message;
  EXPECT_NE(named.failure.hint.find("without a CN"), std::string::npos);
}

}  // namespace
}  // namespace scsi_pr::agent
