// SPDX-License-Identifier: GPL-2.0-or-later
//
// Change, one step after the other, with an engine in memory.
#include "agent/change.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "change_fixture.h"

namespace scsi_pr::agent {
namespace {

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
}

// It may go on there, and then must be shut.
TEST(Change, TheHeirsHostIsAsked) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  PutNexus(store, "n2", "h2", true, "h3");
  command.Start();
  command.machine.Fenced(2 * kSecond);
  command.Acknowledge("h2");
  command.Tick(2 * kSecond);
  EXPECT_FALSE(command.IsCommitted());
  command.Acknowledge("h3");
  command.Tick(3 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// Who has detached has nothing under way.
TEST(Change, WhoIsGoneIsNotWaitedFor) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.Start();
  command.machine.Fenced(2 * kSecond);
  command.Tick(2 * kSecond);
  EXPECT_FALSE(command.ended);
  Put(store, kKeys.OfNexus("lu", KeyOf("n2")), std::nullopt);
  command.Tick(3 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// Nor the host from which it was handed over, when that is dead.
TEST(Change, ADeadHostThatHasHandedOverIsNotInTheWay) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  PutNexus(store, "n2", "h2", false, "h3");
  PutHost(store, "h2", HostRecord::State::kDead);
  command.Start();
  command.machine.Fenced(2 * kSecond);
  command.Acknowledge("h3");
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// It went on elsewhere when its host was dead, and its commands may be in there still.
TEST(Change, RemainsAreWaitedFor) {
  for (const std::string incarnation : {"i1", "i2"}) {
    SimulatedStore store;
    Command command(store, {"n2"}, true);
    PutHost(store, "h4", HostRecord::State::kDead);
    Put(store, kKeys.OfNexus("lu", KeyOf("n2")),
        Encode(NexusRecord{NexusOf("n2"), "h2", true, "", "", "n", {{"h4", "i1"}}}));
    command.Start();
    command.machine.Fenced(2 * kSecond);
    command.Acknowledge("h2");
    command.Tick(2 * kSecond);
    EXPECT_FALSE(command.ended);
    // Who joins anew has drained.
    PutHost(store, "h4", HostRecord::State::kAlive, "", incarnation);
    command.Tick(3 * kSecond);
    EXPECT_EQ(command.ended.has_value(), incarnation == "i2");
  }
}

// ---------------------------------------------------------------- Publication

TEST(Change, GoodWaitsForTheGatesOfOthers) {
  SimulatedStore store;
  Command command(store);
  command.Publish({"h2", "h3"}, 1);
  command.Start();
  EXPECT_TRUE(command.IsCommitted());
  EXPECT_EQ(command.machine.version(), 2u);
  EXPECT_EQ(command.log, (Log{"decide", "committed"}));
  command.Publish({"h2"}, 7);
  command.machine.Hear(1100 * kMillisecond, {});
  command.Tick(1100 * kMillisecond);
  EXPECT_FALSE(command.ended);
  command.Publish({"h3"}, 2);
  command.machine.Hear(1200 * kMillisecond, {});
  command.Tick(1200 * kMillisecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_EQ(command.log.back(), "over");
}

// Their gates allow what they did before, and there is nothing to tell.
TEST(Change, GoodDoesNotWaitForWhomItDoesNotConcern) {
  SimulatedStore store;
  Command command(store);
  command.decision.concerned = {KeyOf("n1"), KeyOf("n3")};
  command.Publish({"h2", "h3"}, 1);
  command.Start();
  EXPECT_FALSE(command.ended);
  command.Publish({"h3"}, 2);
  command.machine.Hear(1100 * kMillisecond, {});
  command.Tick(1100 * kMillisecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

TEST(Change, GoodWaitsForASecondAtMost) {
  SimulatedStore store;
  Command command(store);
  command.Publish({"h2", "h3"}, 1);
  command.Start();
  command.machine.Tick(1500 * kMillisecond);
  EXPECT_FALSE(command.ended);
  // Also if the engine does not answer.
  EXPECT_TRUE(command.sent);
  EXPECT_EQ(command.machine.NextTick(), 2 * kSecond);
  command.machine.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_TRUE(command.machine.is_over());
  command.AnswerAll(command.machine, 3 * kSecond, store);
  EXPECT_EQ(command.log.back(), "over") << "the answer that comes says nothing more";
}

TEST(Change, GoodDoesNotWaitForTheDead) {
  SimulatedStore store;
  Command command(store);
  command.Publish({"h2", "h3"}, 1);
  PutHost(store, "h2", HostRecord::State::kDead);
  Put(store, kKeys.OfNexus("lu", KeyOf("n3")), std::nullopt);
  command.Start();
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// What is committed says what it has to tell, to those who are there.
TEST(Change, UnitAttentionsAreTold) {
  SimulatedStore store;
  Command command(store);
  const UnitAttention told{NexusOf("n2"), sense::kReservationsReleased, std::nullopt};
  command.decision.unit_attentions = {told,
                                      {NexusOf("n9"), sense::kReservationsReleased, std::nullopt}};
  command.Start();
  EXPECT_EQ(Get<StateRecord>(store, kKeys.State("lu")).told, (std::vector<Told>{{2, {told}}}));
}

TEST(Change, AGarbledAcknowledgementIsNone) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.Start();
  command.machine.Fenced(2 * kSecond);
  Put(store, kKeys.Ack("lu", "h2"), "{");
  command.Tick(2 * kSecond);
  EXPECT_FALSE(command.ended);
  EXPECT_FALSE(command.IsCommitted());
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

// By scsi-pr forget-host; nor is that a proof.
TEST(Change, AForgottenHostIsADeadOne) {
  for (const bool aborts : {false, true}) {
    SimulatedStore store;
    Command command(store, {"n2"}, aborts);
    Put(store, kKeys.Host("h2"), std::nullopt);
    Put(store, kKeys.OfNexus("lu", KeyOf("n3")), std::nullopt);
    command.Start();
    command.machine.Fenced(1 * kSecond);
    command.Tick(1 * kSecond);
    EXPECT_EQ(command.ended.has_value(), !aborts);
  }
}

// PREEMPT AND ABORT needs a proof that nothing of it is under way.
TEST(Change, ADeadHostIsNoProofForAnAbort) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  PutHost(store, "h2", HostRecord::State::kDead);
  command.Start();
  command.machine.Fenced(1 * kSecond);
  command.Tick(19 * kSecond);
  EXPECT_FALSE(command.ended);
  command.Tick(20 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kBusy);
  command.Tick(20 * kSecond);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
  EXPECT_EQ(command.needed.front(), "h2");
  EXPECT_TRUE(command.machine.proofs().empty());

  SimulatedStore another;
  Command confirmed(another, {"n2"}, true);
  PutHost(another, "h2", HostRecord::State::kDead, "confirmed");
  confirmed.Start();
  confirmed.machine.Fenced(2 * kSecond);
  confirmed.Tick(2 * kSecond);
  EXPECT_EQ(confirmed.ended, Change::Result::kGood);
  EXPECT_TRUE(confirmed.needed.empty());
  EXPECT_EQ(confirmed.machine.proofs(), (std::vector<HostProof>{{"h2", "confirmed"}}));
}

// What a dead host has taken away from nobody, or has drained itself, rests on no proof.
TEST(Change, AnAcknowledgementIsNoProof) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.Start();
  command.Acknowledge("h2");
  PutHost(store, "h2", HostRecord::State::kDead, "watchdog");
  command.machine.Fenced(2 * kSecond);
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_TRUE(command.machine.proofs().empty());

  SimulatedStore plain;
  Command preempt(plain, {"n2"});
  PutHost(plain, "h2", HostRecord::State::kDead);
  preempt.Start();
  preempt.machine.Fenced(2 * kSecond);
  preempt.Tick(2 * kSecond);
  EXPECT_EQ(preempt.ended, Change::Result::kGood);
  EXPECT_TRUE(preempt.needed.empty() && preempt.machine.proofs().empty());
}

TEST(Change, SomebodyElseIsAtIt) {
  SimulatedStore store;
  Command command(store);
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c0", "h2", false, {}, false}));
  command.Start();
  EXPECT_EQ(command.ended, Change::Result::kForeign);
  EXPECT_NE(store.Find(kKeys.Change("lu")), nullptr);
}

// Its host has died with it: nobody else would end it before its patience has.
TEST(Change, ADeadHostIsAtIt) {
  SimulatedStore store;
  Command command(store);
  PutHost(store, "h2", HostRecord::State::kDead);
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c0", "h2", true, {}, false}));
  command.Start();
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

TEST(Change, AnotherOneOfThisHostIsAtIt) {
  SimulatedStore store;
  Command command(store);
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c0", "h1", true, {}, false}));
  command.Start();
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood) << "nobody is making it any more";
}

// Each try meets it; together they find out that its host is dead.
TEST(Change, ASilentHostIsAtIt) {
  SimulatedStore store;
  Command first(store);
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c0", "h2", true, {}, false}));
  first.Start();
  EXPECT_EQ(first.ended, Change::Result::kForeign);
  EXPECT_EQ(first.machine.foreign(), "c0");
  const auto state = [&] { return Get<HostRecord>(store, kKeys.Host("h2")).state; };
  EXPECT_EQ(state(), HostRecord::State::kAlive) << "it has just begun";
  const auto declarations = std::make_shared<Declarations>();  // the daemon's
  std::optional<Change::Result> ended;
  for (Time now = 2 * kSecond; now < 15 * kSecond && ended != Change::Result::kGood;
       now += kSecond) {
    Command command(store, {}, false, "c0", declarations);
    command.machine.Tick(now);
    for (int i = 0; i < 3; i++) {
      command.AnswerAll(command.machine, now, store);
      if (command.log == Log{"decide"}) command.machine.Decided(now, command.decision);
    }
    ended = command.ended;
  }
  EXPECT_EQ(ended, Change::Result::kGood);
  EXPECT_EQ(state(), HostRecord::State::kDead);
}

TEST(Change, TakenAway) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  Put(store, kKeys.Change("lu"), std::nullopt);
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
    EXPECT_EQ(Get<StateRecord>(store, kKeys.State("lu")).version, 2u) << "once";
    EXPECT_EQ(command.machine.version(), 2u);
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
       {kKeys.State("lu"), kKeys.OfNexus("lu", KeyOf("n1")), kKeys.Host("h2")}) {
    SimulatedStore store;
    Command command(store, {"n2"});
    Put(store, key, "{");
    command.Start();
    EXPECT_EQ(command.ended, Change::Result::kRefused) << key;
    EXPECT_EQ(command.failure.kind, Failure::Kind::kBadAnswer);
  }
}

}  // namespace
}  // namespace scsi_pr::agent
