// SPDX-License-Identifier: GPL-2.0-or-later
//
// Participant, one step after the other, with an engine in memory.
#include "agent/participant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "participant_fixture.h"

namespace scsi_pr::agent {
namespace {

TEST_F(ParticipantTest, ShutDrainAcknowledge) {
  unit.Intent("c1", true);
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "drain n1", "publish s1 without n1"}));
  EXPECT_EQ(unit.Acknowledged(), "");
  unit.machine.Drained(3 * kSecond);
  unit.Answer(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.Acknowledged(), "c1") << "without another look before";
  unit.AnswerAll(unit.machine, 3 * kSecond, store);
  // It stays shut until the change is seen to be over.
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Take(), Log());
  unit.State("s2");
  unit.Over();
  unit.Look(5 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
}

// Of a command whose client has died, or whose daemon; or it was applied after its time.
TEST_F(ParticipantTest, AChangeThatThisHostDoesNotMakeAnyMore) {
  for (const bool is_intent : {false, true}) {
    const ChangeRecord change{"c1", "h1", is_intent, {}, false, 30 * kSecond};
    Put(store, kKeys.Change("lu"), Encode(change));
    unit.under_way = "c1";
    unit.Look(2 * kSecond);
    EXPECT_NE(store.Find(kKeys.Change("lu")), nullptr);
    unit.under_way = "";
    unit.Look(2 * kSecond);
    EXPECT_EQ(store.Find(kKeys.Change("lu")), nullptr);
  }
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

// Who asks while an older request is under way waits for the next one, and no longer.
TEST_F(ParticipantTest, ALookBesideAnotherIsTheNextRequest) {
  const uint64_t first = unit.machine.Look(2 * kSecond);
  const uint64_t second = unit.machine.Look(2 * kSecond);
  EXPECT_GT(second, first);
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_GE(unit.machine.seen(), second);
}

// What was read before it was shut opens nobody.
TEST_F(ParticipantTest, AnOldReadOpensNobody) {
  unit.machine.Look(2 * kSecond);
  unit.machine.Fence(2 * kSecond, {"c1", "h1", true, Victims({"n1"}), false, 30 * kSecond});
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "fenced c1"}));
  unit.AnswerAll(unit.machine, 2 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without n1"}));
}

// The change has ended here, but may be committed as long as it is there.
TEST_F(ParticipantTest, ReleasedAndNotYetOver) {
  unit.machine.Fence(2 * kSecond, {"c1", "h1", true, Victims({"n1"}), false, 30 * kSecond});
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
    Put(store, key, "{");
    unit.Look(3 * kSecond);
    unit.Look(4 * kSecond);
    EXPECT_EQ(unit.Take().size(), 1u);
    Put(store, key, good);
    unit.Look(5 * kSecond);
    unit.Take();
  }
}

// ---------------------------------------------------------------- What cannot be done now

// A stopped process has the members' lock.
TEST_F(ParticipantTest, ShutComesAgain) {
  unit.is_free = false;
  unit.Intent("c1", false);
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.machine.NextTick(), 2 * kSecond + 10 * kMillisecond);
  unit.machine.Tick(2010 * kMillisecond);
  EXPECT_EQ(unit.Take(), Log());
  EXPECT_EQ(unit.Acknowledged(), "");
  unit.is_free = true;
  unit.machine.Tick(2020 * kMillisecond);
  unit.AnswerAll(unit.machine, 2020 * kMillisecond, store);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "publish s1 without n1"}));
  EXPECT_EQ(unit.Acknowledged(), "c1");
}

TEST_F(ParticipantTest, FenceComesAgain) {
  unit.is_free = false;
  unit.machine.Fence(2 * kSecond, {"c1", "h1", true, Victims({"n1"}), false, 30 * kSecond});
  unit.machine.Tick(2 * kSecond);
  EXPECT_EQ(unit.Take(), Log()) << "not fenced";
  unit.is_free = true;
  unit.machine.Tick(2010 * kMillisecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "fenced c1"}));
}

TEST_F(ParticipantTest, PublishComesAgain) {
  PutNexus(store, "n1", "h1");
  unit.is_free = false;
  unit.State("s2");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.machine.published_version(), 2u);
  EXPECT_EQ(unit.Ack().published, 0u) << "not published";
  unit.is_free = true;
  unit.machine.Tick(2010 * kMillisecond);
  unit.AnswerAll(unit.machine, 2010 * kMillisecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
  EXPECT_EQ(unit.machine.published_version(), 3u);
  EXPECT_EQ(unit.Ack().published, 3u);
}

// What was read before something else had to be shut is not published when it can be.
TEST_F(ParticipantTest, AnOldReadIsNotPublishedLater) {
  unit.is_free = false;
  unit.State("s2");
  unit.Look(2 * kSecond);
  unit.machine.Fence(2 * kSecond, {"c1", "h1", true, Victims({"n1"}), false, 30 * kSecond});
  unit.is_free = true;
  unit.machine.Tick(2010 * kMillisecond);
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "fenced c1"}));
}

// ---------------------------------------------------------------- Who is attached

TEST_F(ParticipantTest, WhoIsAttachedIsTold) {
  PutNexus(store, "n1", "h1");
  PutNexus(store, "n2", "h2");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.attached, (Log{"n1@h1", "n2@h2"}));
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"})) << "n1 is opened";
  unit.attached.clear();
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.attached, Log()) << "no news";
  // It has gone on elsewhere, when this host was dead.
  PutNexus(store, "n1", "h2");
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.attached, (Log{"n1@h2", "n2@h2"}));
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"})) << "n1 is shut";
  PutNexus(store, "n2", "h2", false);
  unit.Look(5 * kSecond);
  EXPECT_EQ(unit.Take(), Log()) << "that is not for this host";
}

// Its slot is a new one, though it was this host's nexus before.
TEST_F(ParticipantTest, WhoAttachesAnewIsOpened) {
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  unit.Take();
  Put(store, kKeys.OfNexus("lu", KeyOf("n1")),
      Encode(NexusRecord{NexusOf("n1"), "h1", true, "", "VM n1", "another", {}}));
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"publish s1 without"}));
}

TEST_F(ParticipantTest, ARecordOfAnotherNexusIsGarbage) {
  Put(store, kKeys.OfNexus("lu", KeyOf("n2")),
      Encode(NexusRecord{NexusOf("n1"), "h1", true, "", "", "n", {}}));
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"failed: a nexus's record is damaged: it is that of another nexus"}));
}

// ---------------------------------------------------------------- What is published

TEST_F(ParticipantTest, ForeignVersionsAreAcknowledged) {
  EXPECT_EQ(unit.machine.published_version(), 2u);
  unit.State("s2");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Ack().published, 0u) << "nobody is attached here";
  PutNexus(store, "n1", "h2", true, "h1");
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Ack().published, 3u) << "the heir is";
  const int64_t before = store.revision();
  unit.Look(4 * kSecond);
  EXPECT_EQ(store.revision(), before) << "once";
}

TEST_F(ParticipantTest, OwnVersionsAreNotAcknowledged) {
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Ack().published, 2u);
  unit.State("s2", "c1");
  unit.machine.Release(3 * kSecond, "c1");
  unit.AnswerAll(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.machine.published_version(), 3u);
  EXPECT_EQ(unit.Ack().published, 2u);
  // The other one is missing then.
  unit.State("s3", "c2");
  unit.State("s4", "c3");
  unit.machine.Release(4 * kSecond, "c3");
  unit.AnswerAll(unit.machine, 4 * kSecond, store);
  EXPECT_EQ(unit.Ack().published, 5u);
}

// Who has made it waits for nobody here.
TEST_F(ParticipantTest, VersionsThatConcernNobodyHereAreNotAcknowledged) {
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Ack().published, 2u);
  unit.foreign_to_all = {"s2", "s3", "s6"};
  for (const char* document : {"s2", "s3"}) {
    unit.State(document);
    unit.Look(3 * kSecond);
    EXPECT_EQ(unit.Take().back(), std::string("publish ") + document + " without");
  }
  EXPECT_EQ(unit.Ack().published, 2u);
  unit.State("s4");
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Ack().published, 5u);
  // One that is awaited still is not forgotten for one that is not.
  unit.State("s5");
  unit.is_free = false;
  unit.Look(5 * kSecond);
  unit.State("s6");
  unit.is_free = true;
  unit.Look(6 * kSecond);
  EXPECT_EQ(unit.Ack().published, 7u);
}

// Somebody has made this host his heir meanwhile, whom it does concern.
TEST_F(ParticipantTest, WhoComesIsAwaited) {
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  unit.foreign_to_all = {"s2"};
  unit.State("s2");
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Ack().published, 2u);
  unit.foreign_to_all.clear();
  PutNexus(store, "n2", "h2", true, "h1");
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Ack().published, 3u);
}

// The answer to the commit is a reading.
TEST_F(ParticipantTest, WhatIsCommittedIsShownByItsAnswer) {
  struct Read {
    int64_t revision;
    Reading there;
  };
  const auto read = [this] {
    const Answer answer = store.Apply({{}, {}, {{kKeys.Unit("lu"), true}}});
    Read found{answer.revision, {}};
    EXPECT_TRUE(DecodeReading(answer, kKeys, "lu", &found.there).ok());
    return found;
  };
  unit.machine.Fence(2 * kSecond, {"c1", "h1", true, Victims({"n1"}), false, 30 * kSecond});
  EXPECT_EQ(unit.Take(), (Log{"shut n1", "fenced c1"}));
  const uint64_t epoch = unit.machine.epoch();
  unit.State("s2", "c1");
  const Read first = read();
  unit.machine.Committed(2 * kSecond, "c1", epoch, first.revision, first.there);
  EXPECT_EQ(unit.Take(), (Log{"publish s2 without"}));
  EXPECT_EQ(unit.machine.published_version(), 3u);

  // Not by one that is older than what has been read, or than what had to be shut.
  unit.State("s3", "c2");
  const Read old = read();
  unit.State("s4", "x");
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Take(), (Log{"publish s4 without"}));
  unit.machine.Committed(3 * kSecond, "c2", unit.machine.epoch(), old.revision, old.there);
  EXPECT_EQ(unit.Take(), Log());
  unit.AnswerAll(unit.machine, 3 * kSecond, store);
  EXPECT_EQ(unit.machine.published_version(), 5u);
  const uint64_t before = unit.machine.epoch();
  unit.State("s5", "c3");
  const Read other = read();
  unit.Intent("c4", false);
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Take().front(), "shut n1");
  unit.machine.Committed(4 * kSecond, "c3", before, other.revision, other.there);
  EXPECT_EQ(unit.Take(), Log());
}

TEST_F(ParticipantTest, OneAcknowledgementDoesNotDestroyTheOther) {
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  unit.Intent("c1", false);
  unit.Look(3 * kSecond);
  EXPECT_EQ(unit.Ack(), (AckRecord{"c1", 2}));
  unit.State("s2", "c1");
  unit.Over();
  unit.Look(4 * kSecond);
  EXPECT_EQ(unit.Ack(), (AckRecord{"c1", 3}));
  // Applied late, it destroys nothing either.
  unit.State("s3", "c2");
  unit.machine.Look(5 * kSecond);
  unit.Answer(unit.machine, 5 * kSecond, store);
  const Transaction late = unit.sent->second;
  unit.Lose(unit.machine, 5 * kSecond, nullptr);
  unit.Intent("c3", false);
  unit.Look(6 * kSecond);
  EXPECT_EQ(unit.Ack().id, "c3");
  store.Apply(late);
  EXPECT_EQ(unit.Ack().id, "c3");
}

TEST_F(ParticipantTest, ClosedNothingIsPublished) {
  unit.machine.Close();
  EXPECT_EQ(unit.machine.published_version(), 0u);
  PutNexus(store, "n1", "h1");
  unit.Look(2 * kSecond);
  EXPECT_EQ(unit.Ack().published, 0u);
}

TEST(Participant, AStateThatNobodyHasChanged) {
  SimulatedStore store;
  Unit unit(store);
  unit.machine.Open(1 * kSecond);
  unit.AnswerAll(unit.machine, 1 * kSecond, store);
  EXPECT_EQ(unit.Take(), (Log{"publish nothing without"}));
  EXPECT_EQ(unit.machine.published_version(), StateRecord::kFirstVersion);
}

}  // namespace
}  // namespace scsi_pr::agent
