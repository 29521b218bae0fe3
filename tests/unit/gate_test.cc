// SPDX-License-Identifier: GPL-2.0-or-later
//
// The gate: unit attentions, publication, and both under threads.
#include "gate/gate.h"

#include <glib.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr Sense kConditions[] = {sense::kReservationsPreempted, sense::kReservationsReleased,
                                 sense::kRegistrationsPreempted,
                                 sense::kBusDeviceResetFunctionOccurred};

using Conditions = std::vector<Sense>;

TEST(UnitAttentionQueue, StartsEmpty) {
  UnitAttentionQueue queue;
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST(UnitAttentionQueue, OldestFirst) {
  for (const Sense first : kConditions) {
    for (const Sense second : kConditions) {
      for (const Sense third : kConditions) {
        if (first == second || second == third || first == third) continue;
        UnitAttentionQueue queue;
        queue.Raise(1, first);
        queue.Raise(2, second);
        queue.Raise(3, third);
        EXPECT_EQ(queue.Take(), first);
        EXPECT_EQ(queue.Take(), second);
        EXPECT_EQ(queue.Take(), third);
        EXPECT_EQ(queue.Take(), std::nullopt);
      }
    }
  }
}

// As many as there are have room at once.
TEST(UnitAttentionQueue, AllOfThem) {
  UnitAttentionQueue queue;
  uint64_t version = 1;
  for (const Sense condition : kConditions) queue.Raise(version++, condition);
  for (const Sense condition : kConditions) queue.Raise(version++, condition);
  for (const Sense condition : kConditions) EXPECT_EQ(queue.Take(), condition);
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST(UnitAttentionQueue, PendingOnesAreNotRepeated) {
  UnitAttentionQueue queue;
  queue.Raise(1, kConditions[0]);
  queue.Raise(2, kConditions[1]);
  queue.Raise(3, kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[1]);
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Raise(4, kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[0]) << "reported ones may come again";
}

// A publisher that died is repeated by another.
TEST(UnitAttentionQueue, ExactlyOnceAVersion) {
  UnitAttentionQueue queue;
  queue.Raise(7, kConditions[0]);
  queue.Raise(7, kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[0]);
  queue.Raise(7, kConditions[0]);
  queue.Raise(6, kConditions[1]);
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST(UnitAttentionQueue, Reset) {
  UnitAttentionQueue queue;
  queue.Raise(3, kConditions[0]);
  queue.Reset(5);
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Raise(5, kConditions[0]);
  EXPECT_EQ(queue.Take(), std::nullopt);
  queue.Raise(6, kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[0]);
}

TEST(UnitAttentionQueue, List) {
  UnitAttentionQueue queue;
  EXPECT_EQ(queue.List(), Conditions{});
  queue.Raise(1, kConditions[2]);
  queue.Raise(2, kConditions[0]);
  EXPECT_EQ(queue.List(), (Conditions{kConditions[2], kConditions[0]}));
  EXPECT_EQ(queue.Take(), kConditions[2]) << "listing takes nothing";
}

TEST(UnitAttentionQueue, Insert) {
  UnitAttentionQueue queue;
  queue.Raise(5, kConditions[1]);
  queue.Insert({kConditions[3]}, {kConditions[0]});
  EXPECT_EQ(queue.List(), (Conditions{kConditions[3], kConditions[1], kConditions[0]}));
  const Conditions all(std::begin(kConditions), std::end(kConditions));
  queue.Insert(all, all);
  EXPECT_EQ(queue.List(), all) << "each once, in the order given";
  EXPECT_FALSE(queue.Raise(5, kConditions[1])) << "the version stays";
  EXPECT_TRUE(queue.Raise(6, kConditions[1]));
  EXPECT_EQ(queue.List(), all);
}

TEST(UnitAttentionQueue, CanHold) {
  for (const Sense condition : kConditions) EXPECT_TRUE(UnitAttentionQueue::CanHold(condition));
  EXPECT_FALSE(UnitAttentionQueue::CanHold(sense::kNone));
  EXPECT_FALSE(UnitAttentionQueue::CanHold(sense::kInvalidFieldInCdb));
}

// One version may raise several, all at once: its second call counts as repeated.
TEST(UnitAttentionQueue, SeveralOfOneVersion) {
  UnitAttentionQueue queue;
  EXPECT_TRUE(queue.Raise(7, Conditions{kConditions[1], kConditions[0], kConditions[1]}));
  EXPECT_TRUE(queue.HasRaised(7));
  EXPECT_FALSE(queue.Raise(7, kConditions[2]));
  EXPECT_EQ(queue.List(), (Conditions{kConditions[1], kConditions[0]}));
}

// Of a newer version of ours, say.
TEST(UnitAttentionQueue, UnknownConditionsAreLeftOut) {
  UnitAttentionQueue queue;
  EXPECT_TRUE(queue.Raise(7, sense::kInvalidFieldInCdb));
  EXPECT_EQ(queue.Take(), std::nullopt);
  EXPECT_TRUE(queue.Raise(8, Conditions{{6, 0x3F, 0x0E}, kConditions[2]}));
  queue.Insert({sense::kNone}, {{6, 0xFF, 0xFF}});
  EXPECT_EQ(queue.Take(), kConditions[2]);
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST(UnitAttentionQueue, Replace) {
  UnitAttentionQueue queue;
  queue.Raise(5, kConditions[1]);
  queue.Replace({kConditions[3], kConditions[0]});
  EXPECT_EQ(queue.List(), (Conditions{kConditions[3], kConditions[0]}));
  EXPECT_FALSE(queue.Raise(5, kConditions[1])) << "the version stays";
}

// Another process may write there what it likes.
TEST(UnitAttentionQueue, GarbageIsNothing) {
  std::mt19937_64 random(1);
  const Conditions all(std::begin(kConditions), std::end(kConditions));
  for (int i = 0; i < 20000; i++) {
    UnitAttentionQueue queue;
    const uint64_t garbage = random();
    memcpy(static_cast<void*>(&queue), &garbage, sizeof queue);
    const Conditions listed = queue.List();
    ASSERT_LE(listed.size(), all.size());
    ASSERT_TRUE(std::ranges::all_of(listed, UnitAttentionQueue::CanHold));
    const uint64_t version = (garbage >> 24) + 1;
    ASSERT_TRUE(queue.Raise(version, all));
    ASSERT_EQ(queue.List().size(), all.size()) << "each once";
    ASSERT_FALSE(queue.Raise(version, all)) << "nothing runs over into the version";
    for (const Sense& condition : listed) ASSERT_EQ(queue.Take(), condition);
    queue.Insert(all, all);
    ASSERT_EQ(queue.List(), all);
    for (size_t taken = 0; taken < all.size(); taken++) ASSERT_TRUE(queue.Take());
    ASSERT_EQ(queue.Take(), std::nullopt);
  }
}

// 40 bits of a version are kept; the comparison goes on beyond them.
TEST(UnitAttentionQueue, VersionsBeyondItsBits) {
  constexpr uint64_t kRound = uint64_t{1} << 40;
  UnitAttentionQueue queue;
  queue.Reset(kRound - 1);
  for (const uint64_t version : {kRound, kRound + 1, kRound + 2}) {
    EXPECT_TRUE(queue.Raise(version, kConditions[0]));
    EXPECT_FALSE(queue.Raise(version, kConditions[1]));
    EXPECT_FALSE(queue.Raise(version - 1, kConditions[1]));
    EXPECT_EQ(queue.Take(), kConditions[0]);
    EXPECT_EQ(queue.Take(), std::nullopt);
  }
}

TEST(UnitAttentionQueue, LargestVersion) {
  constexpr uint64_t kLargest = (uint64_t{1} << 40) - 1;
  UnitAttentionQueue queue;
  queue.Reset(kLargest - 5);
  for (uint64_t i = 0; i < 4; i++) queue.Raise(kLargest - 4 + i, kConditions[i]);
  for (const Sense condition : kConditions) EXPECT_EQ(queue.Take(), condition);
  queue.Raise(kLargest, kConditions[0]);
  EXPECT_EQ(queue.Take(), kConditions[0]);
}

// One thread raises, and repeats itself as the successor of a dead publisher
// does; two threads take: each condition of each round arrives exactly once.
TEST(UnitAttentionQueue, ConcurrentRaiseAndTake) {
  constexpr uint64_t kRounds = 300;
  UnitAttentionQueue queue;
  std::atomic<uint64_t> taken{0};
  std::atomic<bool> done{false};
  const auto take = [&] {
    for (bool last = false; !last; std::this_thread::yield()) {
      last = done.load();
      while (queue.Take()) taken++;
    }
  };
  std::thread one(take);
  std::thread two(take);
  uint64_t version = 0;
  for (uint64_t round = 1; round <= kRounds; round++) {
    for (const Sense condition : kConditions) {
      queue.Raise(++version, condition);
      queue.Raise(version, condition);
    }
    // A pending condition is not raised again: wait until all have been taken.
    while (taken.load() < round * std::size(kConditions)) std::this_thread::yield();
  }
  done = true;
  one.join();
  two.join();
  EXPECT_EQ(taken.load(), kRounds * std::size(kConditions));
}

class GateTest : public ::testing::Test {
 protected:
  GateSlot& Attach(size_t index, const Nexus& nexus, const std::string& owner = "test") {
    gate_->slots[index].Attach(*gate_, nexus, 42, owner, kFullAccess, version_);
    return gate_->slots[index];
  }
  void Publish(const State& state, const Attentions& attentions = {}) {
    scsi_pr::Publish(*gate_, ++version_, state, attentions);
  }

  std::unique_ptr<Gate> gate_ = std::make_unique<Gate>();
  uint64_t version_ = 1;
};

TEST_F(GateTest, SlotsStartDetachedAndShut) {
  for (const GateSlot& slot : gate_->slots) {
    EXPECT_FALSE(slot.attached());
    EXPECT_FALSE(slot.admission().Admits(AccessClass::kUnrestricted));
  }
}

TEST_F(GateTest, SlotSaysWhoAttached) {
  const std::string longest = "iscsi:x" + std::string(222, 'y') + ",i,0x00023d000001";
  for (const Nexus& nexus : {A(), MakeNexus(longest, 65535)}) {
    const GateSlot& slot = Attach(3, nexus, "VM a, device disk0");
    EXPECT_TRUE(slot.attached());
    EXPECT_EQ(slot.nexus(), nexus);
    EXPECT_EQ(slot.process_id(), 42u);
    EXPECT_EQ(slot.owner(), "VM a, device disk0");
  }
}

// The next owner's drain does not wait for what the last one had on its way.
TEST_F(GateTest, BeginTenure) {
  GateSlot& slot = Attach(3, A());
  slot.Enter(AccessClass::kWrite);
  EXPECT_FALSE(slot.EndTenure());
  ASSERT_TRUE(slot.BeginDrain(kFullAccess));
  const uint32_t rung = slot.drained().count();
  slot.BeginTenure(43);
  EXPECT_NE(slot.drained().count(), rung) << "whoever waits for it must look";
  EXPECT_EQ(slot.admission().draining(), 0u);
  EXPECT_EQ(slot.process_id(), 43u);
  EXPECT_EQ(slot.attached_nexus(), A());
}

TEST_F(GateTest, AttachmentsDiffer) {
  GateSlot& slot = Attach(0, A());
  const uint64_t first = slot.attachment();
  slot.BeginTenure(43);
  EXPECT_EQ(slot.attachment(), first);
  slot.Detach();
  EXPECT_EQ(slot.attached_nexus(), std::nullopt);
  Attach(0, A());
  EXPECT_NE(slot.attachment(), first);
}

TEST_F(GateTest, OverlongOwnerIsCut) {
  const GateSlot& slot = Attach(0, A(), std::string(100000, 'x'));
  EXPECT_GT(slot.owner().size(), 100u);
  EXPECT_LT(slot.owner().size(), 512u);
  EXPECT_FALSE(gate_->slots[1].attached());
}

// Cut in the middle of a character, or written by somebody else: for people all the same.
TEST_F(GateTest, OwnerIsPrintable) {
  std::string cyrillic = "x";
  for (int i = 0; i < 100; i++) cyrillic += "\xD0\xAF";
  for (const std::string& name : {cyrillic, std::string("a\xFF\x80\nb\x1B[2J")}) {
    const GateSlot& slot = Attach(0, A(), name);
    EXPECT_TRUE(g_utf8_validate(slot.owner().c_str(), -1, nullptr)) << slot.owner();
    EXPECT_TRUE(std::ranges::none_of(slot.owner(), [](unsigned char c) { return c < ' '; }));
    EXPECT_EQ(slot.owner().front(), name.front());
    gate_->slots[0].Detach();
  }
}

// Who lists takes no lock: it sees one attachment or another, never half of each.
TEST_F(GateTest, ReadWhileOthersAttach) {
  GateSlot& slot = gate_->slots[0];
  const Nexus longest = MakeNexus("iscsi:x" + std::string(222, 'y') + ",i,0x00023d000001", 65535);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!done.load()) {
      const auto nexus = slot.attached_nexus();
      if (nexus && *nexus != A() && *nexus != longest) wrong++;
      const std::string owner = slot.owner();
      if (owner != "" && owner != "a" && owner != std::string(150, 'b')) wrong++;
      slot.medium();
    }
  });
  for (int i = 0; i < 3000; i++) {
    Attach(0, i % 2 == 0 ? A() : longest, i % 2 == 0 ? "a" : std::string(150, 'b'));
    slot.Detach();
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST_F(GateTest, DetachedSlotsAdmitNothing) {
  GateSlot& slot = Attach(0, A());
  EXPECT_TRUE(slot.admission().Admits(AccessClass::kWrite));
  slot.Detach();
  EXPECT_FALSE(slot.attached());
  for (AccessClass access : {AccessClass::kUnrestricted, AccessClass::kRead, AccessClass::kWrite,
                             AccessClass::kReservation}) {
    EXPECT_FALSE(slot.admission().Admits(access));
  }
}

TEST_F(GateTest, PublishShowsTheStateToEverySlot) {
  GateSlot& a = Attach(0, A());
  GateSlot& d = Attach(511, D());
  Publish(ReservedByA(kEA));
  EXPECT_TRUE(a.admission().Admits(AccessClass::kWrite));
  EXPECT_FALSE(d.admission().Admits(AccessClass::kWrite));
  EXPECT_FALSE(d.admission().Admits(AccessClass::kRead));
  EXPECT_TRUE(d.admission().Admits(AccessClass::kUnrestricted));
  EXPECT_TRUE(d.admission().Admits(AccessClass::kReservation));
  EXPECT_EQ(gate_->published.load(), version_);
  Publish(ReservedByA(kWE));
  EXPECT_TRUE(d.admission().Admits(AccessClass::kRead));
  EXPECT_FALSE(d.admission().Admits(AccessClass::kWrite));
  Publish(State{});
  EXPECT_TRUE(d.admission().Admits(AccessClass::kWrite));
}

TEST_F(GateTest, PublishTellsOnlyWhomItNames) {
  GateSlot& a = Attach(0, A());
  GateSlot& b = Attach(1, B());
  Nexus other_port = B();
  other_port.target_port = 2;
  GateSlot& b2 = Attach(2, other_port);
  Publish(State{}, {{B(), kConditions[0]}, {C(), kConditions[0]}});
  EXPECT_EQ(b.unit_attentions().Take(), kConditions[0]);
  EXPECT_EQ(a.unit_attentions().Take(), std::nullopt);
  EXPECT_EQ(b2.unit_attentions().Take(), std::nullopt);
}

TEST_F(GateTest, RepeatedPublishTellsOnce) {
  GateSlot& b = Attach(1, B());
  const Attentions told = {{B(), kConditions[2]}};
  scsi_pr::Publish(*gate_, 9, State{}, told);
  EXPECT_EQ(b.unit_attentions().Take(), kConditions[2]);
  scsi_pr::Publish(*gate_, 9, State{}, told);
  EXPECT_EQ(b.unit_attentions().Take(), std::nullopt);
}

// A preemption is counted, other news are not.
TEST_F(GateTest, TellCountsPreemptions) {
  GateSlot& b = Attach(1, B());
  EXPECT_TRUE(b.Tell(9, {sense::kReservationsReleased}));
  EXPECT_EQ(b.preemptions(), 0u);
  EXPECT_TRUE(b.Tell(10, {sense::kRegistrationsPreempted, sense::kReservationsReleased}));
  EXPECT_FALSE(b.Tell(10, {sense::kRegistrationsPreempted, sense::kReservationsReleased}));
  EXPECT_FALSE(b.Tell(11, {}));
  EXPECT_EQ(b.preemptions(), 1u);
  EXPECT_TRUE(b.Tell(11, {sense::kReservationsPreempted}));
  EXPECT_EQ(b.preemptions(), 2u);
  EXPECT_EQ(b.unit_attentions().List().size(), 3u);
}

// Who attaches after a change does not hear of it, even if it is repeated.
TEST_F(GateTest, NewcomersHearNothingOld) {
  Publish(State{}, {{B(), kConditions[0]}});
  GateSlot& b = Attach(1, B());
  scsi_pr::Publish(*gate_, version_, State{}, {{B(), kConditions[0]}});
  EXPECT_EQ(b.unit_attentions().Take(), std::nullopt);
}

// Threads admit while a publisher changes: what one sees is always one of the
// states, and the last one once it is published.
TEST_F(GateTest, AdmitWhilePublishing) {
  Clause("5.6.1: indivisible");
  GateSlot& d = Attach(0, D());
  std::atomic<uint64_t> published{0};  // even: everything is allowed
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  const auto admit = [&] {
    while (!done.load()) {
      const uint64_t before = published.load();
      const bool admitted = d.admission().Admits(AccessClass::kWrite);
      const uint64_t after = published.load();
      // `published` counts up when a publication starts and when it has ended.
      const bool still = before == after && before % 2 == 0;
      if (still && admitted != (before % 4 == 0)) wrong++;
      d.unit_attentions().Take();
      if (!d.admission().Admits(AccessClass::kReservation)) wrong++;
    }
  };
  std::thread one(admit);
  std::thread two(admit);
  const State reserved = ReservedByA(kWE);
  for (int i = 0; i < 5000; i++) {
    published++;
    Publish(i % 2 == 0 ? reserved : State{}, {{D(), kConditions[i % 3]}});
    published++;
  }
  done = true;
  one.join();
  two.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace scsi_pr
