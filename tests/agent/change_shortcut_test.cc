// SPDX-License-Identifier: GPL-2.0-or-later
//
// What saves Change a request: news of what others have written, and a presumption of what there
// is.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "change_fixture.h"

namespace scsi_pr::agent {
namespace {

// Whether it is about to write the state.
bool IsCommitting(const Command& command) {
  return command.sent && !command.sent->second.writes.empty() &&
         command.sent->second.writes[0].key == kKeys.State("lu");
}

// ---------------------------------------------------------------- News

TEST(ChangeNews, OfTheLastAcknowledgementAreEnoughToCommit) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.Start();
  command.machine.Fenced(1 * kSecond);
  EXPECT_FALSE(command.sent) << "it waits";
  command.Acknowledge("h2");
  command.Hear(1030 * kMillisecond, kKeys.Ack("lu", "h2"));
  ASSERT_TRUE(IsCommitting(command));
  command.AnswerAll(command.machine, 1030 * kMillisecond, store);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

// What is asked meanwhile was asked before.
TEST(ChangeNews, AReadingUnderWayIsNotWaitedFor) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  command.machine.Fenced(1 * kSecond);
  command.machine.Tick(2 * kSecond);
  ASSERT_TRUE(command.sent);
  EXPECT_TRUE(command.sent->second.writes.empty());
  command.Acknowledge("h2");
  command.Hear(2 * kSecond, kKeys.Ack("lu", "h2"));
  EXPECT_TRUE(IsCommitting(command));
}

// This host's own commands are still on their way.
TEST(ChangeNews, OwnVictimsAreWaitedForAllTheSame) {
  SimulatedStore store;
  Command command(store, {"n1", "n2"}, true);
  command.Start();
  command.Acknowledge("h2");
  command.Hear(1030 * kMillisecond, kKeys.Ack("lu", "h2"));
  EXPECT_FALSE(command.sent);
  command.machine.Fenced(2 * kSecond);
  EXPECT_TRUE(IsCommitting(command));
}

// The commit compares what it rests on: whoever has told it was wrong.
TEST(ChangeNews, OfAnAcknowledgementThatIsNotThereCommitNothing) {
  SimulatedStore store;
  Command command(store, {"n2"}, true);
  command.Start();
  command.machine.Fenced(1 * kSecond);
  command.machine.Hear(1030 * kMillisecond,
                       {{kKeys.Ack("lu", "h2"), Encode(AckRecord{"c1", 0}), store.revision() + 1}});
  ASSERT_TRUE(IsCommitting(command));
  command.Answer(command.machine, 1030 * kMillisecond, store);
  EXPECT_FALSE(command.sent) << "once";
  EXPECT_FALSE(command.IsCommitted());
  EXPECT_FALSE(command.ended);
  command.Acknowledge("h2");
  command.Tick(2 * kSecond);
  EXPECT_EQ(command.ended, Change::Result::kGood);
}

TEST(ChangeNews, OfAnotherChangesAcknowledgementAreNone) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  command.machine.Fenced(1 * kSecond);
  Put(store, kKeys.Ack("lu", "h2"), Encode(AckRecord{"c0", 1}));
  command.Hear(1030 * kMillisecond, kKeys.Ack("lu", "h2"));
  EXPECT_FALSE(command.sent);
}

TEST(ChangeNews, OfAGateThatShowsItAreEnoughForGood) {
  SimulatedStore store;
  Command command(store);
  command.Publish({"h2", "h3"}, 1);
  command.Start();
  EXPECT_FALSE(command.ended);
  command.Publish({"h2", "h3"}, 2);
  command.Hear(1030 * kMillisecond, kKeys.Ack("lu", "h2"));
  EXPECT_FALSE(command.ended);
  command.Hear(1030 * kMillisecond, kKeys.Ack("lu", "h3"));
  EXPECT_EQ(command.ended, Change::Result::kGood);
  EXPECT_EQ(command.log.back(), "over");
}

// Somebody has lost patience.
TEST(ChangeNews, ThatItWasTakenAwayAreRead) {
  SimulatedStore store;
  Command command(store, {"n2"});
  command.Start();
  Put(store, kKeys.Change("lu"), std::nullopt);
  command.Hear(1030 * kMillisecond, kKeys.Change("lu"));
  EXPECT_FALSE(command.ended) << "only what is read counts";
  command.Tick(1030 * kMillisecond);
  EXPECT_EQ(command.ended, Change::Result::kBusy);
}

// ---------------------------------------------------------------- A presumption

// Of what there is, in a store that has the state already.
struct ChangePresumption : ::testing::Test {
  ChangePresumption() { State("before"); }
  void State(const std::string& document) {
    state = StateRecord::Next(state, "c0", document, {});
    Put(store, kKeys.State("lu"), Encode(*state));
    presumption.state = state;
    presumption.state_revision = store.revision();
  }
  // With the nexuses that the command's constructor attaches.
  std::unique_ptr<Command> Begin(const std::vector<std::string>& victims) {
    { const Command attaches(store); }
    for (const std::string name : {"n1", "n2", "n3"}) {
      presumption.nexuses[KeyOf(name)] = Get<NexusRecord>(store, kKeys.OfNexus("lu", KeyOf(name)));
    }
    auto command = std::make_unique<Command>(store, victims, false, "",
                                             std::make_shared<Declarations>(), presumption);
    command->machine.Tick(1 * kSecond);
    EXPECT_EQ(command->log, Log{"decide"});
    EXPECT_FALSE(command->sent) << "nothing was asked for that";
    return command;
  }
  std::string Document() const { return Get<StateRecord>(store, kKeys.State("lu")).document; }

  SimulatedStore store;
  std::optional<StateRecord> state;
  Change::Presumption presumption;
};

TEST_F(ChangePresumption, TheIntentIsTheFirstWrite) {
  const auto command = Begin({"n2"});
  const int64_t before = store.revision();
  command->machine.Decided(1 * kSecond, command->decision);
  EXPECT_EQ(command->log, Log{"decide"}) << "nobody is shut for what may be foreign";
  command->Answer(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->log, (Log{"decide", "fence n2"}));
  EXPECT_TRUE(Get<ChangeRecord>(store, kKeys.Change("lu")).is_intent);
  command->machine.Fenced(1 * kSecond);
  command->Acknowledge("h2");
  command->Hear(1 * kSecond, kKeys.Ack("lu", "h2"));
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(Document(), "next");
  EXPECT_EQ(store.revision() - before, 3) << "intent, acknowledgement, commit";
}

TEST_F(ChangePresumption, OfAStateThatIsNotInForceAnyMoreIsDecidedAgain) {
  const auto command = Begin({"n2"});
  Put(store, kKeys.State("lu"), Encode(StateRecord::Next(state, "c9", "another", {})));
  command->machine.Decided(1 * kSecond, command->decision);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->log, (Log{"decide", "decide"}));
  EXPECT_FALSE(Get<ChangeRecord>(store, kKeys.Change("lu")).is_intent) << "it has begun";
  EXPECT_EQ(Document(), "another");
}

// A change under way of another host.
TEST_F(ChangePresumption, SomebodyElseWasFaster) {
  const auto command = Begin({"n2"});
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c9", "h2", true, {}, false}));
  command->machine.Decided(1 * kSecond, command->decision);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->ended, Change::Result::kForeign);
  EXPECT_EQ(command->machine.foreign(), "c9");
  EXPECT_EQ(command->log, (Log{"decide", "over"}));
  EXPECT_EQ(Get<ChangeRecord>(store, kKeys.Change("lu")).id, "c9");
}

// It may have lost something by this change, and is not in the intent.
TEST_F(ChangePresumption, SomebodyHasAttachedMeanwhile) {
  const auto command = Begin({"n2"});
  PutNexus(store, "n4", "h3");
  command->machine.Decided(1 * kSecond, command->decision);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->ended, Change::Result::kForeign) << "another try";
  command->Tick(1 * kSecond);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
  EXPECT_EQ(Document(), "before");
  EXPECT_EQ(command->log, (Log{"decide", "over"}));
}

// Nobody loses anything now, and who attaches meanwhile must not either.
TEST_F(ChangePresumption, WithoutAVictimItBegins) {
  const auto command = Begin({});
  command->machine.Decided(1 * kSecond, command->decision);
  command->Answer(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->log, (Log{"decide", "decide"}));
  EXPECT_FALSE(Get<ChangeRecord>(store, kKeys.Change("lu")).is_intent);
  command->machine.Decided(1 * kSecond, command->decision);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(Document(), "next");
}

TEST_F(ChangePresumption, ThatNothingChangesIsConfirmedByAReading) {
  const auto command = Begin({});
  const int64_t before = store.revision();
  command->decision.changes = false;
  command->machine.Decided(1 * kSecond, command->decision);
  EXPECT_FALSE(command->ended);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->ended, Change::Result::kGood);
  EXPECT_EQ(store.revision(), before) << "nothing is written";
}

TEST_F(ChangePresumption, ThatNothingChangesIsDecidedAgainByAnotherState) {
  const auto command = Begin({});
  Put(store, kKeys.State("lu"), Encode(StateRecord::Next(state, "c9", "another", {})));
  command->decision.changes = false;
  command->machine.Decided(1 * kSecond, command->decision);
  command->AnswerAll(command->machine, 1 * kSecond, store);
  EXPECT_EQ(command->log, (Log{"decide", "decide"}));
  EXPECT_FALSE(command->ended);
}

// The claim is applied, and nobody hears of it; or it never arrives.
TEST_F(ChangePresumption, AClaimWithoutAnAnswer) {
  for (const bool is_applied : {true, false}) {
    const auto command = Begin({"n2"});
    command->machine.Decided(1 * kSecond, command->decision);
    command->Lose(command->machine, 1 * kSecond, is_applied ? &store : nullptr);
    command->Tick(2 * kSecond);
    const auto change = Get<ChangeRecord>(store, kKeys.Change("lu"));
    EXPECT_EQ(change.id, "c1");
    EXPECT_EQ(change.is_intent, is_applied);
    EXPECT_EQ(command->log.back(), is_applied ? "fence n2" : "decide");
    Put(store, kKeys.Change("lu"), std::nullopt);
  }
}

TEST_F(ChangePresumption, TheEngineStaysAway) {
  const auto command = Begin({"n2"});
  command->machine.Decided(1 * kSecond, command->decision);
  for (Time now = 1 * kSecond; command->sent && now < 40 * kSecond; now += kSecond) {
    command->Lose(command->machine, now, nullptr);
    command->machine.Tick(now + kSecond / 2);
  }
  EXPECT_EQ(command->ended, Change::Result::kBusy) << "nothing can have changed";
  EXPECT_EQ(command->log.back(), "over");
}

}  // namespace
}  // namespace scsi_pr::agent
