// SPDX-License-Identifier: GPL-2.0-or-later
//
// NexusChange, one step after the other, with an engine in memory.
#include "agent/nexus_change.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "core/document.h"
#include "driver.h"

namespace scsi_pr::agent {
namespace {

using What = NexusChange::What;
using Result = NexusChange::Result;

// Of n1, on h1 unless it is said otherwise.
class Operation : public NexusChange::Outside, public Driver<NexusChange> {
 public:
  Operation(SimulatedStore& its_store, What what, const std::string& host = "h1",
            bool attached_here = false)
      : machine({.host = host,
                 .lu = "lu",
                 .what = what,
                 .nexus = NexusOf("n1"),
                 .owner_text = "VM of " + host,
                 .deadline = 15 * kSecond,
                 .attached_here = attached_here},
                kKeys, *this, [] { return "w" + std::to_string(++words); }),
        store(its_store) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    Keep(request, transaction);
  }
  void Ended(Result result, const Status& status) override {
    EXPECT_FALSE(ended);
    ended = result;
    why = status.message();
  }

  void Tick(Time now) {
    machine.Tick(now);
    AnswerAll(machine, now, store);
  }
  // All hosts that are not dead live: they take a suspicion away.
  Result Run() {
    for (Time now = kSecond; !ended && now < 20 * kSecond; now += 100 * kMillisecond) {
      Tick(now);
      for (const char* host : {"h1", "h2", "h3"}) {
        HostRecord record;
        const auto* there = store.Find(kKeys.Host(host));
        if (there == nullptr || !Decode(there->value, &record).ok()) continue;
        if (record.state == HostRecord::State::kSuspect) PutHost(store, host);
      }
    }
    EXPECT_TRUE(ended);
    return ended.value_or(Result::kUnknown);
  }

  static inline int words = 1000;
  NexusChange machine;
  SimulatedStore& store;
  std::optional<Result> ended;
  std::string why;
};

struct NexusChangeTest : public ::testing::Test {
  void SetUp() override {
    for (const char* host : {"h1", "h2", "h3"}) PutHost(store, host);
    state.registrations = {{NexusOf("n1"), 7}};
  }
  void PutState(bool aptpl = false) {
    state.aptpl = aptpl;
    Put(store, kKeys.State("lu"),
        Encode(StateRecord::Next(std::nullopt, "c1", EncodeDocument(state), {})));
  }
  bool IsPoweredOn() const {
    const StateRecord record = Get<StateRecord>(store, kKeys.State("lu"));
    State now;
    EXPECT_TRUE(DecodeDocument(record.document, &now).ok());
    EXPECT_EQ(now.registrations.empty(), record.version == 3);
    return now.registrations.empty();
  }
  // The record of n1, or nothing.
  std::string Record(const std::string& name = "n1") const {
    const std::string key = kKeys.OfNexus("lu", KeyOf(name));
    if (store.Find(key) == nullptr) return "";
    const auto record = Get<NexusRecord>(store, key);
    std::string text = record.host + (record.owned ? " owned" : "");
    if (!record.heir.empty()) text += " heir " + record.heir;
    for (const auto& each : record.remains)
      text += " remains " + each.host + "/" + each.incarnation;
    return text;
  }
  Result Run(What what, const std::string& host = "h1", bool attached_here = false) {
    Operation operation(store, what, host, attached_here);
    const Result result = operation.Run();
    why = operation.why;
    owned = operation.machine.owned();
    version = operation.machine.version();
    return result;
  }

  SimulatedStore store;
  State state;
  std::string why;
  bool owned = false;
  uint64_t version = 0;
};

// ---------------------------------------------------------------- Attaching

TEST_F(NexusChangeTest, AttachAndDetach) {
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
  EXPECT_TRUE(owned);
  EXPECT_EQ(version, 1u);
  EXPECT_EQ(Get<NexusRecord>(store, kKeys.OfNexus("lu", KeyOf("n1"))).owner_text, "VM of h1");
  EXPECT_EQ(Run(What::kDetach), Result::kGood);
  EXPECT_EQ(Record(), "");
  EXPECT_EQ(Run(What::kDetach), Result::kGood) << "it is not there";
}

TEST_F(NexusChangeTest, AnotherHostHasIt) {
  PutNexus(store, "n1", "h2");
  EXPECT_EQ(Run(What::kDetach), Result::kGood);
  Operation attach(store, What::kAttach);
  attach.Tick(1 * kSecond);
  EXPECT_FALSE(attach.ended) << "it may be dead";
  PutHost(store, "h2");
  attach.Tick(2 * kSecond);
  EXPECT_EQ(attach.ended, Result::kInUse);
  EXPECT_NE(attach.why.find("iqn.n1, target port 1"), std::string::npos) << attach.why;
  EXPECT_NE(attach.why.find("h2 (VM n1)"), std::string::npos) << attach.why;
  EXPECT_EQ(Record(), "h2 owned");
}

TEST_F(NexusChangeTest, TheHostThatHasItIsDead) {
  PutNexus(store, "n1", "h2");
  Operation attach(store, What::kAttach);
  Time now = kSecond;
  for (; now < 9500 * kMillisecond; now += 100 * kMillisecond) attach.Tick(now);
  EXPECT_FALSE(attach.ended);
  for (; now < 9800 * kMillisecond; now += 100 * kMillisecond) attach.Tick(now);
  EXPECT_EQ(attach.ended, Result::kGood);
  EXPECT_EQ(Record(), "h1 owned remains h2/i1");
}

// Who was dead is back before it is written.
TEST_F(NexusChangeTest, TheDeadMustBeDeadStill) {
  PutNexus(store, "n1", "h2");
  PutHost(store, "h2", HostRecord::State::kDead);
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  PutHost(store, "h2", HostRecord::State::kAlive, "", "i2");
  attach.AnswerAll(attach.machine, 1 * kSecond, store);
  EXPECT_EQ(Record(), "h2 owned");
}

TEST_F(NexusChangeTest, WhatADeadProcessHasLeftHere) {
  PutNexus(store, "n1", "h1");
  PutState();
  EXPECT_EQ(Run(What::kAttach, "h1", true), Result::kInUse);
  EXPECT_FALSE(IsPoweredOn());
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
  EXPECT_TRUE(IsPoweredOn());
}

TEST_F(NexusChangeTest, AttachWaitsForAChange) {
  PutHost(store, "h2");
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c2", "h2", false, {}, false}));
  Operation attach(store, What::kAttach);
  attach.Tick(1 * kSecond);
  EXPECT_FALSE(attach.ended);
  Put(store, kKeys.Change("lu"), std::nullopt);
  attach.machine.Look(1050 * kMillisecond);
  attach.Tick(1050 * kMillisecond);
  EXPECT_EQ(attach.ended, Result::kGood);

  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c2", "h2", false, {}, false}));
  EXPECT_EQ(Run(What::kAttachIncoming, "h2"), Result::kBusy);
  EXPECT_EQ(Record(), "h1 owned");
}

TEST_F(NexusChangeTest, ADeadHostHasLeftAChange) {
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c2", "h2", false, {}, false}));
  PutHost(store, "h2", HostRecord::State::kDead);
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
}

// A change that has begun in between knows nothing of it.
TEST_F(NexusChangeTest, AttachComparesThatThereIsNoChange) {
  for (const What what : {What::kAttach, What::kAttachIncoming}) {
    if (what == What::kAttachIncoming) PutNexus(store, "n1", "h2");
    Operation attach(store, what);
    attach.machine.Tick(1 * kSecond);
    attach.Answer(attach.machine, 1 * kSecond, store);
    Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c2", "h2", false, {}, false}));
    attach.AnswerAll(attach.machine, 1 * kSecond, store);
    EXPECT_EQ(Record(), what == What::kAttach ? "" : "h2 owned");
    Put(store, kKeys.Change("lu"), std::nullopt);
  }
}

// It was sent by a predecessor who had no answer, and finds what it compares until somebody writes.
TEST_F(NexusChangeTest, AttachingWritesInAnyCase) {
  PutNexus(store, "n1", "h1");
  Operation hand_over(store, What::kHandOver), attach(store, What::kAttach);
  for (Operation* each : {&hand_over, &attach}) {
    each->machine.Tick(1 * kSecond);
    each->Answer(each->machine, 1 * kSecond, store);
  }
  const Transaction late = hand_over.sent->second;
  attach.Lose(attach.machine, 1 * kSecond, nullptr);
  EXPECT_EQ(attach.Run(), Result::kGood);
  store.Apply(late);
  EXPECT_EQ(Record(), "h1 owned");
}

// What was written had no answer, and before it is looked for somebody waits for it already.
TEST_F(NexusChangeTest, AnHeirComesBeforeTheAnswer) {
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  attach.Lose(attach.machine, 1 * kSecond, &store);
  EXPECT_EQ(Run(What::kAttachIncoming, "h2"), Result::kGood);
  EXPECT_EQ(attach.Run(), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned heir h2");
}

// ---------------------------------------------------------------- Power on

TEST_F(NexusChangeTest, TheFirstPowersOn) {
  PutState();
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_TRUE(IsPoweredOn());
  EXPECT_EQ(version, 3u);
}

TEST_F(NexusChangeTest, WhatSurvivesPowerOnStays) {
  PutState(true);
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_FALSE(IsPoweredOn());
  EXPECT_EQ(version, 2u) << "and is not written anew";
}

TEST_F(NexusChangeTest, TheSecondDoesNotPowerOn) {
  for (const auto state_of_h2 :
       {HostRecord::State::kAlive, HostRecord::State::kSuspect, HostRecord::State::kDead}) {
    PutState();
    PutNexus(store, "n2", "h2");
    PutHost(store, "h2", state_of_h2);
    EXPECT_EQ(Run(What::kAttach), Result::kGood) << why;
    EXPECT_FALSE(IsPoweredOn());
    EXPECT_EQ(Run(What::kDetach), Result::kGood);
    EXPECT_EQ(Record("n2"), "h2 owned");
  }
}

TEST_F(NexusChangeTest, WhoIsProvedDeadIsForgotten) {
  PutState();
  PutNexus(store, "n2", "h2");
  PutNexus(store, "n3", "h3", false, "h2");
  PutHost(store, "h2", HostRecord::State::kDead, "confirmed");
  PutHost(store, "h3", HostRecord::State::kDead, "confirmed");
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  EXPECT_TRUE(IsPoweredOn());
  EXPECT_EQ(Record("n2"), "");
  EXPECT_EQ(Record("n3"), "");
}

// By scsi-pr forget-host: nobody has such a record any more. What it had on its way nobody knows.
TEST_F(NexusChangeTest, AForgottenHostIsADeadOne) {
  PutState();
  PutNexus(store, "n1", "h2");
  Put(store, kKeys.Host("h2"), std::nullopt);
  EXPECT_EQ(Run(What::kAttach), Result::kGood) << why;
  EXPECT_EQ(Record(), "h1 owned remains h2/forgotten");
  EXPECT_FALSE(IsPoweredOn());
  // It is back after all, and had drained before it joined.
  PutHost(store, "h2");
  EXPECT_EQ(Run(What::kDetach), Result::kGood);
  EXPECT_EQ(Record(), "");
}

TEST_F(NexusChangeTest, AForgottenHostMustBeForgottenStill) {
  PutState();
  PutNexus(store, "n1", "h2");
  Put(store, kKeys.Host("h2"), std::nullopt);
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  PutHost(store, "h2");
  attach.Answer(attach.machine, 1 * kSecond, store);
  EXPECT_EQ(Record(), "h2 owned");
}

// One that is not the first because of another one which has gone meanwhile, and a third one has
// powered on since.
TEST_F(NexusChangeTest, WhoIsNotTheFirstComparesThat) {
  PutState();
  PutNexus(store, "n2", "h2");
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  Put(store, kKeys.OfNexus("lu", KeyOf("n2")), std::nullopt);
  attach.Answer(attach.machine, 1 * kSecond, store);
  EXPECT_EQ(Record(), "");
  EXPECT_EQ(attach.Run(), Result::kGood);
  EXPECT_TRUE(IsPoweredOn());
}

// What a dead process has left keeps the unit on for one, and not for the other.
TEST_F(NexusChangeTest, TwoAreTheFirstAtATime) {
  PutState();
  PutNexus(store, "n1", "h1");
  PutNexus(store, "n2", "h2", false, "h3");
  PutHost(store, "h2", HostRecord::State::kDead, "confirmed");
  PutHost(store, "h3", HostRecord::State::kDead, "confirmed");
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  // Another one finds n1 there, and does not power the unit on.
  Transaction other{{{kKeys.OfNexus("lu", KeyOf("n1")), 0}}, {}, {}};
  other.compares[0].revision = store.Find(other.compares[0].key)->revision;
  other.writes.push_back({kKeys.OfNexus("lu", KeyOf("n3")),
                          Encode(NexusRecord{NexusOf("n3"), "h1", true, "", "", "n", {}})});
  EXPECT_EQ(store.Apply(other).outcome, Outcome::kApplied);
  EXPECT_EQ(attach.Run(), Result::kGood);
  EXPECT_FALSE(IsPoweredOn());
}

// It was silent only when it was counted, and is proved to be off now.
TEST_F(NexusChangeTest, WhyItIsNotTheFirstMustHoldStill) {
  PutState();
  PutNexus(store, "n2", "h2");
  PutHost(store, "h2", HostRecord::State::kDead);
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  attach.Answer(attach.machine, 1 * kSecond, store);
  PutHost(store, "h2", HostRecord::State::kDead, "confirmed");
  EXPECT_EQ(attach.Run(), Result::kGood);
  EXPECT_TRUE(IsPoweredOn());
}

// ---------------------------------------------------------------- Between hosts

TEST_F(NexusChangeTest, HandedOver) {
  PutState();
  PutNexus(store, "n1", "h1");
  EXPECT_EQ(Run(What::kAttachIncoming, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned heir h2");
  EXPECT_FALSE(owned);
  EXPECT_EQ(version, 2u);
  EXPECT_EQ(Run(What::kAttachIncoming, "h3"), Result::kInUse);
  EXPECT_NE(why.find("is waited for by another incoming VM already, on host h2"), std::string::npos)
      << why;
  EXPECT_EQ(Run(What::kTakeOver, "h2"), Result::kBusy);
  EXPECT_EQ(Run(What::kTakeOver, "h3"), Result::kInUse);
  EXPECT_EQ(Run(What::kHandOver, "h1"), Result::kGood);
  EXPECT_EQ(Record(), "h1 heir h2");
  EXPECT_EQ(Run(What::kTakeOver, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h2 owned");
  EXPECT_TRUE(owned);
  EXPECT_EQ(Run(What::kTakeOver, "h1"), Result::kInUse) << "too late";
  EXPECT_EQ(Run(What::kDetach, "h1"), Result::kGood);
  EXPECT_EQ(Record(), "h2 owned");
  EXPECT_FALSE(IsPoweredOn());
}

TEST_F(NexusChangeTest, TakenBack) {
  PutNexus(store, "n1", "h1", false, "h2");
  EXPECT_EQ(Run(What::kTakeOver, "h1"), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
  EXPECT_EQ(Run(What::kTakeOver, "h2"), Result::kInUse);
  EXPECT_EQ(Run(What::kDetach, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
}

// What was sent to hand over, and had no answer, is not applied any more.
TEST_F(NexusChangeTest, TakingBackWritesInAnyCase) {
  PutNexus(store, "n1", "h1", true, "h2");
  Operation hand_over(store, What::kHandOver);
  hand_over.machine.Tick(1 * kSecond);
  hand_over.Answer(hand_over.machine, 1 * kSecond, store);
  const Transaction late = hand_over.sent->second;
  EXPECT_EQ(Run(What::kTakeOver, "h1"), Result::kGood);
  store.Apply(late);
  EXPECT_EQ(Record(), "h1 owned");
}

TEST_F(NexusChangeTest, DetachingThatIsLateDoesNotHitTheNextOne) {
  PutNexus(store, "n1", "h1");
  Operation detach(store, What::kDetach);
  detach.machine.Tick(1 * kSecond);
  detach.Answer(detach.machine, 1 * kSecond, store);
  const Transaction late = detach.sent->second;
  EXPECT_EQ(Run(What::kAttach), Result::kGood);
  store.Apply(late);
  EXPECT_EQ(Record(), "h1 owned");
}

TEST_F(NexusChangeTest, BothAtATime) {
  PutNexus(store, "n1", "h1", false, "h2");
  Operation back(store, What::kTakeOver, "h1"), on(store, What::kTakeOver, "h2");
  for (Operation* each : {&back, &on}) {
    each->machine.Tick(1 * kSecond);
    each->Answer(each->machine, 1 * kSecond, store);
  }
  EXPECT_EQ(on.Run(), Result::kGood);
  EXPECT_EQ(back.Run(), Result::kInUse);
  EXPECT_EQ(Record(), "h2 owned");
}

TEST_F(NexusChangeTest, TheSourceEndsWhenAnHeirWaits) {
  PutNexus(store, "n1", "h1", true, "h2");
  EXPECT_EQ(Run(What::kDetach, "h1"), Result::kGood);
  EXPECT_EQ(Record(), "h1 heir h2");
  EXPECT_EQ(Run(What::kDetach, "h1"), Result::kGood) << "again";
  EXPECT_EQ(Run(What::kTakeOver, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h2 owned");
}

TEST_F(NexusChangeTest, TheHeirEnds) {
  PutNexus(store, "n1", "h1", true, "h2");
  EXPECT_EQ(Run(What::kDetach, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
}

TEST_F(NexusChangeTest, OnTheSameHostTheKernelDecides) {
  PutNexus(store, "n1", "h1");
  const int64_t before = store.revision();
  EXPECT_EQ(Run(What::kAttachIncoming, "h1", true), Result::kGood);
  EXPECT_EQ(store.revision(), before);
  EXPECT_TRUE(owned);
}

TEST_F(NexusChangeTest, IncomingFromNowhere) {
  PutState();
  EXPECT_EQ(Run(What::kAttachIncoming), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned");
  EXPECT_TRUE(owned);
  EXPECT_TRUE(IsPoweredOn());
}

TEST_F(NexusChangeTest, AnHeirWhoseHostIsDeadIsNone) {
  PutNexus(store, "n1", "h1", true, "h2");
  PutHost(store, "h2", HostRecord::State::kDead);
  EXPECT_EQ(Run(What::kAttachIncoming, "h3"), Result::kGood);
  EXPECT_EQ(Record(), "h1 owned heir h3");
  PutNexus(store, "n1", "h1", true, "h2");
  EXPECT_EQ(Run(What::kDetach, "h1"), Result::kGood);
  EXPECT_EQ(Record(), "");
}

// It has everything but the word of its source, whose host is dead.
TEST_F(NexusChangeTest, TheHeirOfTheDead) {
  PutNexus(store, "n1", "h1", true, "h2");
  PutHost(store, "h1", HostRecord::State::kDead);
  EXPECT_EQ(Run(What::kTakeOver, "h2"), Result::kGood);
  EXPECT_EQ(Record(), "h2 owned remains h1/i1");
}

// ---------------------------------------------------------------- What is left behind

TEST_F(NexusChangeTest, RemainsStayUntilTheyAreGone) {
  Put(store, kKeys.OfNexus("lu", KeyOf("n1")),
      Encode(NexusRecord{NexusOf("n1"), "h1", true, "", "", "n", {{"h2", "i1"}}}));
  PutHost(store, "h2", HostRecord::State::kDead);
  EXPECT_EQ(Run(What::kDetach), Result::kGood);
  EXPECT_EQ(Record(), " remains h2/i1");
  EXPECT_EQ(Run(What::kAttach, "h3"), Result::kGood);
  EXPECT_EQ(Record(), "h3 owned remains h2/i1");
  PutHost(store, "h2", HostRecord::State::kAlive, "", "i2");
  EXPECT_EQ(Run(What::kDetach, "h3"), Result::kGood);
  EXPECT_EQ(Record(), "");
}

// ---------------------------------------------------------------- Answers that do not come

TEST_F(NexusChangeTest, LostAnswers) {
  for (const bool is_applied : {false, true}) {
    Operation attach(store, What::kAttach);
    attach.machine.Tick(1 * kSecond);
    attach.Answer(attach.machine, 1 * kSecond, store);
    attach.Lose(attach.machine, 1 * kSecond, is_applied ? &store : nullptr);
    EXPECT_FALSE(attach.ended);
    EXPECT_EQ(attach.Run(), Result::kGood);
    EXPECT_EQ(Record(), "h1 owned");
    EXPECT_EQ(Run(What::kDetach), Result::kGood);
  }
}

TEST_F(NexusChangeTest, NobodyAnswers) {
  for (const bool is_sent : {false, true}) {
    Operation attach(store, What::kAttach);
    attach.machine.Tick(1 * kSecond);
    if (is_sent) attach.Answer(attach.machine, 1 * kSecond, store);
    for (Time now = 2 * kSecond; !attach.ended && now < 20 * kSecond; now += kSecond) {
      attach.Lose(attach.machine, now, nullptr);
      attach.machine.Tick(now + 500 * kMillisecond);
    }
    EXPECT_EQ(attach.ended, is_sent ? Result::kUnknown : Result::kBusy);
  }
}

TEST_F(NexusChangeTest, NoSpace) {
  Operation attach(store, What::kAttach);
  attach.machine.Tick(1 * kSecond);
  Answer refused;
  refused.outcome = Outcome::kFailed;
  refused.failure = {Failure::Kind::kNoSpace, "etcd says: database space exceeded", ""};
  attach.machine.Answered(1 * kSecond, std::exchange(attach.sent, std::nullopt)->first, refused);
  EXPECT_EQ(attach.ended, Result::kRefused);
  EXPECT_EQ(attach.why, "etcd says: database space exceeded");
}

TEST_F(NexusChangeTest, GarbageIsNoGround) {
  PutState();
  for (const std::string& key : {kKeys.State("lu"), kKeys.OfNexus("lu", KeyOf("n2")),
                                 kKeys.Host("h2"), kKeys.Change("lu")}) {
    const auto* entry = store.Find(key);
    const auto good = entry == nullptr ? std::nullopt : std::optional(entry->value);
    Put(store, key, "{");
    EXPECT_EQ(Run(What::kAttach), Result::kRefused) << key;
    EXPECT_EQ(Record(), "");
    Put(store, key, good);
  }
  // A record that is well-formed, and what is in it is not.
  Put(store, kKeys.State("lu"), Encode(StateRecord{2, {"c1"}, "{}", {}}));
  EXPECT_EQ(Run(What::kAttach), Result::kRefused);
  EXPECT_EQ(Record(), "");
}

}  // namespace
}  // namespace scsi_pr::agent
