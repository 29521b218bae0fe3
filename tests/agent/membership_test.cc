// SPDX-License-Identifier: GPL-2.0-or-later
//
// Membership and Declaration, one step after the other, with an engine in memory.
#include "agent/membership.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "simulated_store.h"

namespace scsi_pr::agent {
namespace {

using Phase = Membership::Phase;
using State = HostRecord::State;

const Keys kKeys("/p/");

// Remembers what it was asked for, and carries requests out when the test says so.
class Host : public Membership::Outside {
 public:
  explicit Host(SimulatedStore& store, const Membership::Memory& before = {},
                const std::string& boot_id = "boot", const std::string& machine_id = "machine")
      : memory(before),
        machine({"h", machine_id, boot_id}, kKeys, before, *this,
                [] { return "w" + std::to_string(++words); }),
        store_(store) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    ASSERT_FALSE(sent) << "one at a time";
    sent = {request, transaction};
  }
  void Shut() override {
    log.push_back("shut");
    admitted_until = 0;
  }
  void Drain() override { log.push_back("drain"); }
  void Open() override { log.push_back("open"); }
  void Admit(Time until) override { admitted_until = std::max(admitted_until, until); }
  void Remember(const Membership::Memory& what) override { memory = what; }
  void WasDead(const HostRecord& record) override { log.push_back("dead by " + record.by); }
  // The state of "lu" is to be in force here.
  Status See(const std::optional<StateRecord>& state) { return machine.See("lu", state); }
  void Refused(const Status& why) override { log.push_back("refused: " + why.message()); }

  // The request under way is carried out, and the answer comes at `now`.
  void Answer(Time now) {
    ASSERT_TRUE(sent);
    const auto [request, transaction] = *std::exchange(sent, std::nullopt);
    machine.Answered(now, request, store_.Apply(transaction));
  }
  void Lose(Time now) {
    const uint64_t request = std::exchange(sent, std::nullopt)->first;
    machine.Answered(now, request, {});
  }
  // A request now, and its answer, until nothing is asked for any more.
  void Look(Time now) {
    machine.Tick(now);
    for (int i = 0; sent && i < 5; i++) Answer(now);
  }
  void Join(Time now) {
    Look(now);
    machine.Drained(now);
    Look(now);
    EXPECT_EQ(machine.phase(), Phase::kMember);
    log.clear();
  }
  HostRecord record() const {
    HostRecord decoded;
    const auto* entry = store_.Find(kKeys.Host("h"));
    EXPECT_TRUE(entry != nullptr && Decode(entry->value, &decoded).ok());
    return decoded;
  }
  // Another host takes it for that, and writes so: what there is then.
  HostRecord Mark(State state) {
    HostRecord marked = record();
    marked.state = state;
    marked.by = "other";
    Write(marked);
    return marked;
  }
  // Somebody writes it.
  void Write(const HostRecord& record) {
    store_.Apply({{}, {{kKeys.Host("h"), Encode(record)}}, {}});
  }

  static inline uint64_t words = 0;
  std::vector<std::string> log;
  Time admitted_until = 0;
  Membership::Memory memory;
  std::optional<std::pair<uint64_t, Transaction>> sent;
  Membership machine;

 private:
  SimulatedStore& store_;
};

using Log = std::vector<std::string>;

TEST(Membership, FirstHostOfACluster) {
  SimulatedStore store;
  Host host(store);
  host.Look(100 * kSecond);
  EXPECT_EQ(host.log, (Log{"shut", "drain"}));
  EXPECT_NE(store.Find(kKeys.Meta()), nullptr);
  EXPECT_EQ(store.Find(kKeys.Host("h")), nullptr) << "nothing is written before all is drained";
  host.machine.Drained(101 * kSecond);
  host.Look(101 * kSecond);
  EXPECT_EQ(host.log, (Log{"shut", "drain", "open"}));
  EXPECT_EQ(host.record().incarnation, host.machine.incarnation());
  EXPECT_EQ(host.admitted_until, 109 * kSecond);
}

// By the time at which the request was sent, not by that of the answer.
TEST(Membership, RenewalCountsFromTheSending) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  EXPECT_EQ(host.machine.NextTick(), 101 * kSecond);
  host.machine.Tick(101 * kSecond);
  host.Answer(104 * kSecond);
  EXPECT_EQ(host.admitted_until, 109 * kSecond);
  EXPECT_EQ(host.machine.NextTick(), 104 * kSecond) << "late already";
}

TEST(Membership, NoAnswerNoRenewal) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  host.machine.Tick(101 * kSecond);
  host.Lose(102 * kSecond);
  EXPECT_EQ(host.admitted_until, 108 * kSecond);
  EXPECT_EQ(host.machine.NextTick(), 102 * kSecond + 100 * kMillisecond);
  // Back after a long time: nobody has declared it dead, so it goes on.
  host.Look(200 * kSecond);
  EXPECT_EQ(host.admitted_until, 208 * kSecond);
  EXPECT_TRUE(host.log.empty());
}

TEST(Membership, SuspicionIsTakenAwayBeforeItAdmits) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  const HostRecord record = host.Mark(State::kSuspect);
  host.machine.Tick(101 * kSecond);
  host.Answer(101 * kSecond);
  EXPECT_EQ(host.admitted_until, 108 * kSecond) << "not yet";
  host.Answer(102 * kSecond);
  EXPECT_EQ(host.admitted_until, 109 * kSecond);
  EXPECT_EQ(host.record().state, State::kAlive);
  EXPECT_EQ(host.record().incarnation, record.incarnation);
}

// Its daemon was killed meanwhile: what is in the gates is a predecessor's.
TEST(Membership, DeadWhileThereWasNoDaemon) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  const HostRecord record = host.Mark(State::kDead);
  Host again(store, host.memory);
  again.Look(110 * kSecond);
  EXPECT_EQ(again.log, (Log{"dead by other", "shut", "drain"}));
  Host booted(store, host.memory, "another boot");
  booted.Look(110 * kSecond);
  EXPECT_EQ(booted.log, (Log{"shut", "drain"})) << "there is nothing of that boot";
}

// Whoever waits for a watchdog counts on one that is armed.
TEST(Membership, TheRecordSaysWhatIsArmed) {
  SimulatedStore store;
  Host host(store);
  host.machine.SetWatchdog(10 * kSecond);
  host.Join(100 * kSecond);
  EXPECT_EQ(host.record().watchdog, 10 * kSecond);
  host.Look(101 * kSecond);
  EXPECT_EQ(host.machine.recorded_watchdog(), 10 * kSecond);

  // A daemon that is started again has it to begin with from its predecessor, who left it armed.
  Host again(store, host.memory);
  again.Look(102 * kSecond);
  EXPECT_EQ(again.machine.phase(), Phase::kMember);
  EXPECT_EQ(again.record().watchdog, 10 * kSecond);

  again.machine.SetWatchdog(0);
  const HostRecord before = again.record();
  again.Look(103 * kSecond);
  EXPECT_EQ(again.record().watchdog, 0u);
  EXPECT_EQ(again.record().incarnation, before.incarnation);
  EXPECT_EQ(again.machine.recorded_watchdog(), Time{0});
  EXPECT_EQ(again.admitted_until, 111 * kSecond);
  again.Look(104 * kSecond);
  EXPECT_EQ(again.admitted_until, 112 * kSecond);
}

TEST(Membership, DeadIsShutDrainJoinOpen) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  const HostRecord record = host.Mark(State::kDead);
  host.Look(101 * kSecond);
  EXPECT_EQ(host.log, (Log{"dead by other", "shut", "drain"}));
  EXPECT_EQ(host.admitted_until, 0u);
  host.Look(105 * kSecond);
  EXPECT_EQ(host.record(), record) << "not before all is drained";
  host.machine.Drained(106 * kSecond);
  host.Look(106 * kSecond);
  EXPECT_EQ(host.log, (Log{"dead by other", "shut", "drain", "open"}));
  EXPECT_NE(host.record().incarnation, record.incarnation);
  EXPECT_EQ(host.admitted_until, 114 * kSecond);
}

// The answer to the joining is lost; what is in the store tells.
TEST(Membership, UnansweredJoining) {
  SimulatedStore store;
  Host host(store);
  host.Look(100 * kSecond);
  host.machine.Drained(100 * kSecond);
  host.machine.Tick(100 * kSecond);
  host.Answer(100 * kSecond);
  ASSERT_EQ(host.sent->second.writes.size(), 1u);
  store.Apply(host.sent->second);
  host.Lose(101 * kSecond);
  const std::string incarnation = host.record().incarnation;
  host.Look(102 * kSecond);
  EXPECT_EQ(host.machine.incarnation(), incarnation);
  EXPECT_EQ(host.admitted_until, 110 * kSecond);
}

TEST(Membership, StartedAgainWithinTheBoot) {
  SimulatedStore store;
  Host before(store);
  before.Join(100 * kSecond);
  Host host(store, before.memory);
  host.Look(103 * kSecond);
  EXPECT_EQ(host.log, (Log{"open"})) << "nothing stops";
  EXPECT_EQ(host.machine.incarnation(), before.machine.incarnation());
  EXPECT_EQ(host.admitted_until, 111 * kSecond);
}

TEST(Membership, StartedAgainInAnotherBoot) {
  SimulatedStore store;
  Host before(store);
  before.Join(100 * kSecond);
  Host host(store, before.memory, "boot-2");
  host.Look(3 * kSecond);
  EXPECT_EQ(host.log, (Log{"shut", "drain"}));
  host.machine.Drained(3 * kSecond);
  host.Look(3 * kSecond);
  EXPECT_NE(host.machine.incarnation(), before.machine.incarnation());
  EXPECT_EQ(host.record().boot_id, "boot-2");
}

TEST(Membership, AnotherMachineOfThatName) {
  SimulatedStore store;
  Host first(store);
  first.Join(100 * kSecond);
  Host second(store, {}, "boot-2", "machine-2");
  second.Look(50 * kSecond);
  EXPECT_EQ(second.log.size(), 2u);
  EXPECT_NE(second.log.back().find("another machine has the name h"), std::string::npos);
  EXPECT_EQ(second.machine.phase(), Phase::kRefused);
  first.Look(101 * kSecond);
  EXPECT_EQ(first.admitted_until, 109 * kSecond) << "undisturbed";
}

TEST(Membership, NewerProtocol) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  store.Apply({{}, {{kKeys.Meta(), Encode(Meta{2, host.memory.life, {}})}}, {}});
  host.Look(101 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  EXPECT_EQ(host.admitted_until, 0u);
  // Told once, though it looks again.
  host.Look(102 * kSecond);
  EXPECT_EQ(host.log.size(), 2u);
}

TEST(Membership, RecordsThatAreNone) {
  for (const std::string& key : {kKeys.Meta(), kKeys.Host("h")}) {
    SimulatedStore store;
    Host host(store);
    host.Join(100 * kSecond);
    store.Apply({{}, {{key, "{"}}, {}});
    host.Look(101 * kSecond);
    EXPECT_EQ(host.machine.phase(), Phase::kRefused);
    EXPECT_EQ(host.admitted_until, 0u);
  }
}

// ---------------------------------------------------------------- Another store

// What a backup brings back: the same, with a lower revision.
TEST(Membership, RestoredStore) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  const SimulatedStore backup = store;
  for (int i = 0; i < 5; i++) store.Apply({{}, {{"x", "1"}}, {}});
  host.Look(101 * kSecond);
  store = backup;
  host.Look(102 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  EXPECT_EQ(host.admitted_until, 0u);
  EXPECT_NE(host.log.back().find("gone back"), std::string::npos);
  // It does not help that the revision grows again, nor to start again.
  for (int i = 0; i < 50; i++) store.Apply({{}, {{"x", "1"}}, {}});
  host.Look(103 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  Host again(store, host.memory);
  again.Look(104 * kSecond);
  EXPECT_EQ(again.machine.phase(), Phase::kRefused);
  // scsi-pr accept-restore: a new life.
  store.Apply({{}, {{kKeys.Meta(), Encode(Meta{1, "life-2", {host.memory.life}})}}, {}});
  again.Look(105 * kSecond);
  again.machine.Drained(105 * kSecond);
  again.Look(106 * kSecond);
  EXPECT_EQ(again.machine.phase(), Phase::kMember);
  EXPECT_EQ(again.memory.life, "life-2");
}

TEST(Membership, AcceptedRestoreWhileItRuns) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  store.Apply({{}, {{kKeys.Meta(), Encode(Meta{1, "life-2", {host.memory.life}})}}, {}});
  host.Look(101 * kSecond);
  EXPECT_EQ(host.log, (Log{"shut", "drain"})) << "what is published is of another life";
}

TEST(Membership, AnotherClusterUnderTheSameName) {
  SimulatedStore store, other;
  Host host(store), stranger(other);
  host.Join(100 * kSecond);
  stranger.Join(100 * kSecond);
  const SimulatedStore mine = store;
  store = other;
  host.Look(101 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  EXPECT_NE(host.log.back().find("another cluster"), std::string::npos);
  store = SimulatedStore();  // an empty one
  host.Look(102 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  EXPECT_EQ(store.revision(), 1) << "nothing is written there";
  store = mine;  // the configuration is mended
  host.Look(103 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kLeaving) << "and joins anew";
}

TEST(Membership, AnotherEtcdWithTheSameContents) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  store.cluster = 2;
  host.Look(101 * kSecond);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
}

// Its revision was raised behind what this host knows, or nobody looked.
StateRecord After(const std::optional<StateRecord>& before, const std::string& nonce) {
  return StateRecord::Next(before, nonce, "", {});
}

TEST(Membership, LogicalUnitThatWasPutBack) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  EXPECT_TRUE(host.See(std::nullopt).ok());
  const StateRecord second = After(std::nullopt, "a"), third = After(second, "b");
  StateRecord later = third;
  for (int i = 0; i < 70; i++) later = After(later, "c" + std::to_string(i));
  EXPECT_TRUE(host.See(second).ok());
  EXPECT_TRUE(host.See(third).ok());
  EXPECT_TRUE(host.See(third).ok());
  EXPECT_EQ(host.machine.memory().units, (std::vector{SeenVersion{"lu", 3, "b"}}));
  EXPECT_NE(host.See(second).message().find("version 2 of cluster:lu, but version 3 was in force"),
            std::string::npos);
  EXPECT_NE(host.See(std::nullopt).message().find("version 1 of"), std::string::npos);
  const StateRecord other = After(second, "x");
  EXPECT_NE(host.See(other).message().find("but another version 3 was"), std::string::npos);
  EXPECT_FALSE(host.See(After(other, "y")).ok());
  EXPECT_TRUE(host.See(After(third, "y")).ok());
  EXPECT_TRUE(host.See(later).ok()) << "too much for anybody to tell";
  EXPECT_TRUE(host.machine.See("other", second).ok());
  // What it knows outlives the process.
  Host again(store, host.machine.memory());
  EXPECT_FALSE(again.See(third).ok());
}

TEST(Membership, NothingOfAStoreThatWasPutBackCounts) {
  SimulatedStore store;
  Host host(store);
  host.Join(100 * kSecond);
  EXPECT_TRUE(host.See(After(std::nullopt, "a")).ok());
  const Status why = host.See(std::nullopt);
  host.machine.Disbelieve("another", why);
  EXPECT_EQ(host.machine.phase(), Phase::kMember) << "that was another one";
  host.machine.Disbelieve(host.memory.life, why);
  EXPECT_EQ(host.machine.phase(), Phase::kRefused);
  EXPECT_EQ(host.log, (Log{"shut", "refused: " + why.message()}));
  host.Look(101 * kSecond);
  EXPECT_EQ(host.log.size(), 2u) << "told once";
  Host again(store, host.memory);
  again.Look(102 * kSecond);
  EXPECT_EQ(again.machine.phase(), Phase::kRefused);
  store.Apply({{}, {{kKeys.Meta(), Encode(Meta{1, "life-2", {host.memory.life}})}}, {}});
  again.Look(103 * kSecond);
  EXPECT_TRUE(again.memory.units.empty());
  EXPECT_TRUE(again.See(std::nullopt).ok());
}

TEST(Membership, RemembersSoManyLogicalUnits) {
  SimulatedStore store;
  Host host(store);
  constexpr size_t kMost = Membership::Memory::kMostUnits;
  const StateRecord state = After(std::nullopt, "a");
  for (size_t i = 0; i <= kMost; i++) EXPECT_TRUE(host.machine.See(std::to_string(i), state).ok());
  EXPECT_EQ(host.machine.memory().units.size(), kMost);
  EXPECT_TRUE(host.machine.See("0", std::nullopt).ok()) << "the oldest one is forgotten";
  EXPECT_FALSE(host.machine.See("1", std::nullopt).ok());
}

// ---------------------------------------------------------------- Declaring dead

HostRecord Alive() { return {"m", "b", "i", 1, 8 * kSecond, State::kAlive, "", "n", "", 0}; }

TEST(Declaration, SuspectWaitDead) {
  Declaration declaration;
  const auto mark = declaration.Next(100 * kSecond, Alive(), 5, "me", "n1");
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->state, State::kSuspect);
  EXPECT_EQ(mark->incarnation, "i");
  const Time wait = 8 * kSecond + 80 * kMillisecond + 500 * kMillisecond;
  EXPECT_FALSE(declaration.Next(101 * kSecond, *mark, 6, "me", "n2"));
  EXPECT_FALSE(declaration.Next(101 * kSecond + wait, *mark, 6, "me", "n3"))
      << "not a moment early";
  const auto dead = declaration.Next(101 * kSecond + wait + 1, *mark, 6, "me", "n4");
  ASSERT_TRUE(dead);
  EXPECT_EQ(dead->state, State::kDead);
  EXPECT_FALSE(declaration.Next(200 * kSecond, *dead, 7, "me", "n5"));
}

TEST(Declaration, TheMarkOfSomebodyElseCounts) {
  Declaration declaration;
  HostRecord marked = Alive();
  marked.state = State::kSuspect;
  EXPECT_FALSE(declaration.Next(100 * kSecond, marked, 5, "me", "n1"));
  EXPECT_TRUE(declaration.Next(109 * kSecond, marked, 5, "me", "n2"));
}

TEST(Declaration, AnotherMarkAnotherWait) {
  Declaration declaration;
  HostRecord marked = Alive();
  marked.state = State::kSuspect;
  EXPECT_FALSE(declaration.Next(100 * kSecond, marked, 5, "me", "n1"));
  // It has taken the mark away meanwhile, and somebody has made another one.
  EXPECT_FALSE(declaration.Next(109 * kSecond, marked, 9, "me", "n2"));
  EXPECT_TRUE(declaration.Next(118 * kSecond, marked, 9, "me", "n3"));
}

}  // namespace
}  // namespace scsi_pr::agent
