// SPDX-License-Identifier: GPL-2.0-or-later
//
// What Participant makes of what a watch tells, and what may be presumed.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "participant_fixture.h"

namespace scsi_pr::agent {
namespace {

// ---------------------------------------------------------------- News

struct ParticipantNews : ParticipantTest {
  // As the watch tells of what is there now, or is not.
  News Of(const std::string& key) const {
    const auto* entry = store.Find(key);
    if (entry == nullptr) return {key, std::nullopt, store.revision()};
    return {key, entry->value, entry->revision};
  }
  void Hear(const News& news) { unit.machine.Hear(2 * kSecond, {news}); }
};

TEST_F(ParticipantNews, OfAnIntentAreAcknowledgedAtOnce) {
  unit.Intent("c1", false);
  Hear(Of(kKeys.Change("lu")));
  EXPECT_EQ(unit.Take(), (Log{"shut n1"}));
  ASSERT_TRUE(unit.sent);
  EXPECT_FALSE(unit.sent->second.writes.empty()) << "no reading before";
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "c1");
  EXPECT_EQ(unit.Take(), Log());
  unit.machine.Tick(2200 * kMillisecond);
  unit.AnswerAll(unit.machine, 2200 * kMillisecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without n1"})) << "nor is the end of it missed";
}

TEST_F(ParticipantNews, OfAnIntentThatAbortsWaitForTheDrain) {
  unit.Intent("c1", true);
  Hear(Of(kKeys.Change("lu")));
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "drain n1"}));
  EXPECT_FALSE(unit.sent);
  unit.machine.Drained(3 * kSecond);
  unit.Answer(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "c1");
}

// A reading under way was sent before it; who waits for that one is not forgotten.
TEST_F(ParticipantNews, OfAnIntentDoNotWaitForAReading) {
  const uint64_t ticket = unit.machine.Look(2 * kSecond);
  unit.Intent("c1", false);
  Hear(Of(kKeys.Change("lu")));
  ASSERT_TRUE(unit.sent);
  EXPECT_FALSE(unit.sent->second.writes.empty());
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "c1");
  EXPECT_GE(unit.machine.seen(), ticket);
}
TEST_F(ParticipantNews, AReadingThatWasGivenUpIsMadeAgain) {
  const uint64_t ticket = unit.machine.Look(2 * kSecond);
  unit.Intent("c1", true);  // there is nothing to be acknowledged yet
  Hear(Of(kKeys.Change("lu")));
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_GE(unit.machine.seen(), ticket);
}

// Who is shut by a word that was wrong is opened by the next reading; nothing is acknowledged.
TEST_F(ParticipantNews, OfAnIntentThatIsNotThereChangeNothing) {
  unit.Intent("c1", false);
  const News news = Of(kKeys.Change("lu"));
  unit.Over();
  Hear(news);
  EXPECT_EQ(unit.Take(), (Log{"shut n1"}));
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "");
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
}

TEST_F(ParticipantNews, ThatWereReadAlreadyAreNone) {
  unit.Intent("c1", false);
  const News news = Of(kKeys.Change("lu"));
  unit.Over();
  unit.Look(2 * kSecond);
  unit.Take();
  Hear(news);
  EXPECT_EQ(unit.Take(), Log());
  EXPECT_FALSE(unit.sent);
}

// A word alone opens nobody.
TEST_F(ParticipantNews, ThatAChangeIsOverAreRead) {
  unit.Intent("c1", false);
  unit.Look(2 * kSecond);
  unit.Take();
  unit.State("s2", "c1");
  unit.Over();
  Hear(Of(kKeys.Change("lu")));
  EXPECT_EQ(unit.Take(), Log());
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
}

TEST_F(ParticipantNews, OfAStateAreReadButForTheCommitOfThisHost) {
  unit.State("s2");
  unit.is_committing = true;
  Hear(Of(kKeys.State("lu")));
  EXPECT_FALSE(unit.sent) << "its answer says it";
  unit.is_committing = false;
  Hear(Of(kKeys.State("lu")));
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
}

TEST_F(ParticipantNews, OfWhatDoesNotConcernThisHostAreNotRead) {
  Put(store, kKeys.Ack("lu", "h2"), Encode(AckRecord{"c1", 1}));
  Hear(Of(kKeys.Ack("lu", "h2")));
  Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c1", "h2", false, {}, false, 30 * kSecond}));
  Hear(Of(kKeys.Change("lu")));
  EXPECT_FALSE(unit.sent) << "it has begun, nothing more";
  PutNexus(store, "n1", "h1");
  Hear(Of(kKeys.OfNexus("lu", KeyOf("n1"))));
  EXPECT_TRUE(unit.sent);
}

// What nobody here makes is taken away.
TEST_F(ParticipantNews, OfAChangeThatThisHostDoesNotMakeAreRead) {
  for (const bool is_under_way : {true, false}) {
    Put(store, kKeys.Change("lu"), Encode(ChangeRecord{"c1", "h1", true, {}, false, 30 * kSecond}));
    unit.under_way = is_under_way ? "c1" : "";
    Hear(Of(kKeys.Change("lu")));
    EXPECT_EQ(unit.sent.has_value(), !is_under_way);
  }
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
}

// ---------------------------------------------------------------- What may be presumed

TEST_F(ParticipantNews, WhatIsShownMayBePresumed) {
  const Reading* there = unit.machine.current();
  ASSERT_NE(there, nullptr);
  EXPECT_EQ(there->state->document, "s1");
  unit.State("s2");
  Hear(Of(kKeys.State("lu")));
  EXPECT_EQ(unit.machine.current(), nullptr) << "it is read";
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  ASSERT_NE(unit.machine.current(), nullptr);
  EXPECT_EQ(unit.machine.current()->state->document, "s2");
}

TEST_F(ParticipantNews, NothingIsPresumedBesideAChange) {
  unit.Intent("c1", false);
  Hear(Of(kKeys.Change("lu")));
  EXPECT_EQ(unit.machine.current(), nullptr);
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.machine.current(), nullptr);
  unit.Over();
  unit.Look(3 * kSecond);
  EXPECT_NE(unit.machine.current(), nullptr);
  unit.machine.Fence(3 * kSecond, {"c2", "h1", true, Victims({"n1"}), false, 30 * kSecond});
  EXPECT_EQ(unit.machine.current(), nullptr);
}

TEST_F(ParticipantNews, NothingIsPresumedByWhoIsShut) {
  unit.machine.Close();
  EXPECT_EQ(unit.machine.current(), nullptr);
}

}  // namespace
}  // namespace scsi_pr::agent
