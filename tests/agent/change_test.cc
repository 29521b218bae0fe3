// SPDX-License-Identifier: GPL-2.0-or-later
//
// Participant and Change, one step after the other, with an engine in memory.
#include "agent/change.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/participant.h"
#include "simulated_store.h"

namespace scsi_pr::agent {
namespace {

using Log = std::vector<std::string>;

const Keys kKeys("/p/");

std::string Join(const std::vector<std::string>& words) {
  std::string all;
  for (const std::string& word : words) all += " " + word;
  return all;
}

// What both machines need of an engine.
template <typename Machine>
class Driver {
 public:
  void Keep(uint64_t request, const Transaction& transaction) {
    ASSERT_FALSE(sent) << "one at a time";
    sent = {request, transaction};
  }
  void Answer(Machine& machine, Time now, SimulatedStore& store) {
    ASSERT_TRUE(sent);
    const auto [request, transaction] = *std::exchange(sent, std::nullopt);
    machine.Answered(now, request, store.Apply(transaction));
  }
  // Carried out, and the answer is lost; or not even carried out.
  void Lose(Machine& machine, Time now, SimulatedStore* store) {
    const auto [request, transaction] = *std::exchange(sent, std::nullopt);
    if (store != nullptr) store->Apply(transaction);
    machine.Answered(now, request, {});
  }
  void AnswerAll(Machine& machine, Time now, SimulatedStore& store) {
    for (int i = 0; sent && i < 10; i++) Answer(machine, now, store);
  }

  std::optional<std::pair<uint64_t, Transaction>> sent;
};

class Unit : public Participant::Outside, public Driver<Participant> {
 public:
  explicit Unit(SimulatedStore& its_store) : machine("h1", "lu", kKeys, *this), store(its_store) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    Keep(request, transaction);
  }
  void Publish(const std::optional<StateRecord>& state,
               const std::vector<std::string>& shut) override {
    log.push_back("publish " + (state ? state->document : "nothing") + " without" + Join(shut));
  }
  void Shut(const std::vector<std::string>& nexuses) override {
    log.push_back("shut" + Join(nexuses));
  }
  void Drain(const std::vector<std::string>& nexuses) override {
    log.push_back("drain" + Join(nexuses));
  }
  void Fenced(const std::string& id) override { log.push_back("fenced " + id); }
  void Failed(const Status& why) override { log.push_back("failed: " + why.message()); }

  void Look(Time now) {
    machine.Look(now);
    AnswerAll(machine, now, store);
  }
  // Somebody else has written it, or nothing.
  void Intent(const std::string& id, bool aborts) {
    ChangeRecord change{id, "h2", true, {"n1"}, aborts, 30 * kSecond};
    store.Apply({{}, {{kKeys.Change("lu"), Encode(change)}}, {}});
  }
  void Over() { store.Apply({{}, {{kKeys.Change("lu"), std::nullopt}}, {}}); }
  void State(const std::string& document) {
    store.Apply({{}, {{kKeys.State("lu"), Encode(StateRecord{1, {"x"}, document})}}, {}});
  }
  std::string Acknowledged() const {
    AckRecord ack;
    const auto* entry = store.Find(kKeys.Acks("lu") + "h1");
    return entry != nullptr && Decode(entry->value, &ack).ok() ? ack.id : "";
  }
  Log Take() { return std::exchange(log, {}); }

  Participant machine;
  SimulatedStore& store;
  Log log;
};

struct ParticipantTest : public ::testing::Test {
  void SetUp() override {
    unit.State("s1");
    unit.machine.Open(1 * kSecond);
    unit.AnswerAll(unit.machine, 1 * kSecond, store);
    EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
  }
  SimulatedStore store;
  Unit unit{store};
};

TEST_F(ParticipantTest, ShutDrainAcknowledge) {
  unit.Intent("c1", true);
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "drain n1", "publish s1 without n1"}));
  EXPECT_EQ(unit.Acknowledged(), "");
  unit.machine.Drained(3 * kSecond);
  unit.AnswerAll(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "c1");
  // It stays shut until the change is seen to be over.
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Take(), Log());
  unit.State("s2");
  unit.Over();
  unit.Look(5 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
}

TEST_F(ParticipantTest, ANewChangeInPlaceOfTheOldOne) {
  unit.Intent("c1", true);
  unit.Look(2 * kSecond);
  unit.machine.Drained(2 * kSecond);
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  unit.Take();
  unit.Intent("c2", true);
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "drain n1", "publish s1 without n1"}));
  EXPECT_EQ(unit.Acknowledged(), "c1") << "drained for another one";
}

// What was read before it was shut opens nobody.
TEST_F(ParticipantTest, AnOldReadOpensNobody) {
  unit.machine.Look(2 * kSecond);
  unit.machine.Fence({"c1", "h1", true, {"n1"}, false, 30 * kSecond});
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "fenced c1"}));
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without n1"}));
}

// The change has ended here, but may be committed as long as it is there.
TEST_F(ParticipantTest, ReleasedAndNotYetOver) {
  unit.machine.Fence({"c1", "h1", true, {"n1"}, false, 30 * kSecond});
  unit.Intent("c1", false);
  unit.machine.Release(3 * kSecond, "c1");
  unit.AnswerAll(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.Take().back(), "publish s1 without n1");
  unit.Over();
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
}

TEST_F(ParticipantTest, ClosedItAcknowledgesAndOpensNobody) {
  unit.machine.Close();
  unit.State("s2");
  unit.Intent("c1", false);
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1"}));
  EXPECT_EQ(unit.Acknowledged(), "c1");
  unit.Over();
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Take(), Log());
  unit.machine.Open(4 * kSecond);
  unit.AnswerAll(unit.machine, 4 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
}

TEST_F(ParticipantTest, PatienceEnds) {
  unit.Intent("c1", false);
  unit.Look(2 * kSecond);
  unit.Take();
  unit.Look(32 * kSecond);
  EXPECT_NE(store.Find(kKeys.Change("lu")), nullptr);
  unit.Look(32 * kSecond + 1);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
}

TEST_F(ParticipantTest, GarbageOpensNobodyAndIsToldOnce) {
  unit.Intent("c1", false);
  unit.Look(2 * kSecond);
  unit.Take();
  for (const std::string& key : {kKeys.State("lu"), kKeys.Change("lu")}) {
    const std::string good = store.Find(key)->value;
    store.Apply({{}, {{key, "{"}}, {}});
    unit.Look(3 * kSecond);
    unit.Look(4 * kSecond);
    EXPECT_EQ(unit.Take().size(), 1u);
    store.Apply({{}, {{key, good}}, {}});
    unit.Look(5 * kSecond);
    unit.Take();
  }
}

// ---------------------------------------------------------------- Change

class Command : public Change::Outside, public Driver<Change> {
 public:
  explicit Command(SimulatedStore& its_store, std::vector<std::string> victims = {},
                   bool aborts = false)
      : machine({.host = "h1", .lu = "lu", .id = "c1", .deadline = 20 * kSecond}, kKeys, *this,
                [] { return "w" + std::to_string(++words); }),
        store(its_store) {
    decision.document = "next";
    decision.victims = std::move(victims);
    decision.aborts = aborts;
    for (const auto& [nexus, host] : {std::pair{"n1", "h1"}, {"n2", "h2"}, {"n3", "h3"}}) {
      store.Apply({{}, {{kKeys.Nexuses("lu") + nexus, Encode(NexusRecord{host})}}, {}});
      SetHost(host, HostRecord::State::kAlive);
    }
  }

  void Send(uint64_t request, const Transaction& transaction) override {
    Keep(request, transaction);
  }
  void Decide(const std::optional<StateRecord>&) override { log.push_back("decide"); }
  void Fence(const ChangeRecord& change) override { log.push_back("fence" + Join(change.victims)); }
  void Ended(Change::Result result, const Failure& why) override {
    EXPECT_FALSE(ended);
    ended = result;
    failure = why;
  }
  void Over() override { log.push_back("over"); }

  void SetHost(const std::string& host, HostRecord::State state, const std::string& proof = "") {
    HostRecord record{"m", "b", "i-" + host, 1, 8 * kSecond, state, "", "n", proof};
    store.Apply({{}, {{kKeys.Host(host), Encode(record)}}, {}});
  }
  void Acknowledge(const std::string& host) {
    store.Apply({{}, {{kKeys.Acks("lu") + host, Encode(AckRecord{"c1"})}}, {}});
  }
  void Tick(Time now) {
    machine.Tick(now);
    AnswerAll(machine, now, store);
  }
  // As far as it goes by itself.
  void Start() {
    machine.Tick(1 * kSecond);
    AnswerAll(machine, 1 * kSecond, store);
    if (log == Log{"decide"}) machine.Decided(1 * kSecond, decision);
    AnswerAll(machine, 1 * kSecond, store);
  }
  bool IsCommitted() const { return store.Find(kKeys.State("lu")) != nullptr; }

  static inline int words = 0;
  Change machine;
  SimulatedStore& store;
  Change::Decision decision;
  Log log;
  std::optional<Change::Result> ended;
  Failure failure;
};

TEST(Change, NobodyLosesAccess) {
  SimulatedStore store;
  Command command(store);
  const int64_t before = store.revision();
  command.Start();
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_EQ(store.revision() - before, 2) << "two writes";
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
  EXPECT_EQ(command.log.back(), "over");
}

TEST(Change, NothingToChange) {
  SimulatedStore store;
  Command command(store);
  command.decision.changes = false;
  command.Start();
  command.Tick(1 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_FALSE(command.IsCommitted());
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
}

TEST(Change, OnlyHostsWithAVictimAreAsked) {
  SimulatedStore store;
  Command command(store, {"n1", "n2"}, true);
  command.Start();
  EXPECT_EQ(command.log.back(), "fence n1 n2");
  command.Acknowledge("h2");
  command.Tick(2 * kSecond);
  EXPECT_FALSE(command.IsCommitted()) << "its own host has not drained";
  command.machine.Fenced(3 * kSecond);
  command.Tick(3 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_EQ(store.Find(kKeys.Acks("lu") + "h2"), nullptr);
}

TEST(Change, SilentHostIsDeclaredDead) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  command.machine.Fenced(1 * kSecond);
  for (Time now = 1 * kSecond; now <= 10500 * kMillisecond; now += 100 * kMillisecond) {
    EXPECT_FALSE(command.ended);
    command.Tick(now);
  }
  command.Tick(10600 * kMillisecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// PREEMPT AND ABORT needs a proof that nothing of it is under way.
TEST(Change, ADeadHostIsNoProofForAnAbort) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.SetHost("h2", HostRecord::State::kDead);
  command.Start();
  command.machine.Fenced(1 * kSecond);
  command.Tick(19 * kSecond);
  EXPECT_FALSE(command.ended);
  command.Tick(20 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kBusy);
  command.Tick(20 * kSecond);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);

  SimulatedStore another;
  Command confirmed(another, {"n2"}, true);
  confirmed.SetHost("h2", HostRecord::State::kDead, "confirmed");
  confirmed.Start();
  confirmed.machine.Fenced(2 * kSecond);
  confirmed.Tick(2 * kSecond);
  EXPECT_EQ(confirmed.ended, Change::Result::kGood);
}

TEST(Change, SomebodyElseIsAtIt) {
  SimulatedStore store;
  Command command(store);
  store.Apply({{}, {{kKeys.Change("lu"), Encode(ChangeRecord{"c0", "h2", false, {}, false})}}, {}});
  command.Start();
  EXPECT_EQ(command.ended, Change::Result::kForeign);
  EXPECT_NE(store.Find(kKeys.Change("lu")), nullptr);
}

TEST(Change, TakenAway) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  store.Apply({{}, {{kKeys.Change("lu"), std::nullopt}}, {}});
  command.Acknowledge("h2");
  command.machine.Fenced(2 * kSecond);
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kBusy);
  EXPECT_FALSE(command.IsCommitted());
}

// Each of its requests is carried out, and the answer is lost.
TEST(Change, LostAnswers) {
  for (int lost = 0; lost < 2; lost++) {
    SimulatedStore store;
    Command command(store);
    command.machine.Tick(1 * kSecond);
    if (lost == 0) command.Lose(command.machine, 1 * kSecond, &store);
    command.Tick(2 * kSecond);
    command.machine.Decided(2 * kSecond, command.decision);
    if (lost == 1) command.Lose(command.machine, 2 * kSecond, &store);
    command.Tick(3 * kSecond);
    command.AnswerAll(command.machine, 3 * kSecond, store);
    EXPECT_EQ(command.ended, Change::Result::kGood);
    StateRecord state;
    EXPECT_TRUE(Decode(store.Find(kKeys.State("lu"))->value, &state).ok());
    EXPECT_EQ(state.version, 1u) << "once";
  }
}

// The commit is lost: it is settled before BUSY is said, and can not be applied any more.
TEST(Change, LostCommitIsSettled) {
  SimulatedStore store;
  Command command(store);
  command.machine.Tick(1 * kSecond);
  command.Answer(command.machine, 1 * kSecond, store);
  command.machine.Decided(1 * kSecond, command.decision);
  const Transaction commit = command.sent->second;
  command.Lose(command.machine, 20 * kSecond, nullptr);
  EXPECT_FALSE(command.ended) << "nobody knows";
  command.Tick(21 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kBusy);
  store.Apply(commit);
  EXPECT_FALSE(command.IsCommitted());
}

TEST(Change, NobodyKnows) {
  SimulatedStore store;
  Command command(store);
  command.machine.Tick(1 * kSecond);
  command.Answer(command.machine, 1 * kSecond, store);
  command.machine.Decided(1 * kSecond, command.decision);
  for (Time now = 2 * kSecond; now < 26 * kSecond; now += kSecond) {
    if (command.sent) command.Lose(command.machine, now, nullptr);
    EXPECT_TRUE(now >= 25 * kSecond || !command.ended);
    command.machine.Tick(now);
  }
  EXPECT_EQ(command.ended, Change::Result::kUnknown);
}

TEST(Change, NoSpace) {
  SimulatedStore store;
  Command command(store);
  command.machine.Tick(1 * kSecond);
  Answer refused;
  refused.outcome = Outcome::kFailed;
  refused.failure = {Failure::Kind::kNoSpace, "etcd says: database space exceeded", ""};
  const uint64_t request = std::exchange(command.sent, std::nullopt)->first;
  command.machine.Answered(1 * kSecond, request, refused);
  EXPECT_EQ(command.ended, Change::Result::kRefused);
  EXPECT_EQ(command.failure.kind, Failure::Kind::kNoSpace);
}

TEST(Change, GarbageIsNoGround) {
  for (const std::string& key :
       {kKeys.State("lu"), kKeys.Nexuses("lu") + "n1", kKeys.Host("h2"), kKeys.Acks("lu") + "h2"}) {
    SimulatedStore store;
    Command command(store);
    store.Apply({{}, {{key, "{"}}, {}});
    command.Start();
    EXPECT_EQ(command.ended, Change::Result::kRefused) << key;
    EXPECT_EQ(command.failure.kind, Failure::Kind::kBadAnswer);
  }
}

}  // namespace
}  // namespace scsi_pr::agent
