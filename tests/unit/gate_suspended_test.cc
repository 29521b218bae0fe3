// SPDX-License-Identifier: GPL-2.0-or-later
//
// Commands that may not enter the gate now, though the state allows them: behind the
// deadline, and while a change is under way.
#include <atomic>
#include <chrono>
#include <thread>

#include "gate/gate.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;
using WhyNot = Admission::WhyNot;

// A deadline, from now on, in nanoseconds.
uint64_t In(std::chrono::nanoseconds time) {
  return BootTime() + static_cast<uint64_t>(time.count());
}
const uint64_t kFar = In(std::chrono::hours(1));

class SuspendedTest : public ::testing::Test {
 protected:
  GateSlot& Attach(size_t index, const Nexus& nexus) {
    gate_->slots[index].Attach(*gate_, nexus, 42, "test", kFullAccess, version_);
    return gate_->slots[index];
  }
  // One nexus is held, or nobody.
  void Publish(const State& state, const std::optional<Nexus>& held = {}, AccessMask keep = 0) {
    scsi_pr::Publish(*gate_, ++version_, state, {}, Holding(held, keep));
  }
  static Publication Holding(const std::optional<Nexus>& held, AccessMask keep = 0) {
    Publication how;
    how.limit = [held, keep](const Nexus& nexus) {
      return nexus == held ? Publication::Limit{keep, true} : Publication::Limit();
    };
    return how;
  }

  std::unique_ptr<Gate> gate_ = std::make_unique<Gate>();
  uint64_t version_ = 1;
};

TEST_F(SuspendedTest, NoDeadlineUnlessSomebodySetsOne) {
  GateSlot& slot = Attach(0, A());
  EXPECT_EQ(gate_->admit_until.load(), kNoDeadline);
  EXPECT_EQ(slot.admit_until(), kNoDeadline);
  EXPECT_TRUE(slot.Enter(AccessClass::kWrite));
}

TEST_F(SuspendedTest, Deadline) {
  GateSlot& slot = Attach(0, A());
  WhyNot why{};
  AdmitUntil(*gate_, kFar);
  const auto in_time = slot.Enter(AccessClass::kWrite, Admission::kFirstTenure, &why);
  ASSERT_TRUE(in_time);
  for (const uint64_t until : {BootTime() - 1, uint64_t{1}, uint64_t{0}}) {
    AdmitUntil(*gate_, until);
    EXPECT_FALSE(slot.Enter(AccessClass::kUnrestricted, Admission::kFirstTenure, &why));
    EXPECT_EQ(why, WhyNot::kDeadline);
    EXPECT_EQ(slot.admission().in_flight(), 1u) << "who is in stays in, who is late is not";
  }
  slot.Leave(*in_time);
  AdmitUntil(*gate_, kFar);
  EXPECT_TRUE(slot.Enter(AccessClass::kWrite)) << "nothing else has changed";
}

// A deadline passes by itself: the publisher may be frozen.
TEST_F(SuspendedTest, DeadlinePasses) {
  GateSlot& slot = Attach(0, A());
  const uint64_t until = In(std::chrono::milliseconds(20));
  AdmitUntil(*gate_, until);
  uint64_t began = 0;
  uint64_t last = 0;
  for (std::optional<Admission::Epoch> epoch; began == 0 || epoch;) {
    last = began;
    began = BootTime();
    epoch = slot.Enter(AccessClass::kWrite);
    if (epoch) slot.Leave(*epoch);
  }
  EXPECT_LE(last, until) << "the last that got in";
  EXPECT_GT(BootTime(), until);
}

// Also those to which a nexus attaches later.
TEST_F(SuspendedTest, AdmitUntilReachesEverySlot) {
  GateSlot& before = Attach(0, A());
  AdmitUntil(*gate_, kFar);
  GateSlot& after = Attach(511, B());
  EXPECT_EQ(before.admit_until(), kFar);
  EXPECT_EQ(after.admit_until(), kFar);
  AdmitUntil(*gate_, 0);
  EXPECT_EQ(before.admit_until(), 0u);
  EXPECT_EQ(after.admit_until(), 0u);
  EXPECT_EQ(Attach(1, C()).admit_until(), 0u);
}

// Once admission has been ended, no nexus that attaches meanwhile gets in.
TEST_F(SuspendedTest, AttachWhileAdmissionEnds) {
  std::atomic<bool> done{false};
  std::thread other([&] {
    while (!done.load()) {
      Attach(0, A());
      gate_->slots[0].Detach();
    }
  });
  int wrong = 0;
  for (int i = 0; i < 3000; i++) {
    AdmitUntil(*gate_, kFar);
    std::this_thread::yield();
    AdmitUntil(*gate_, 0);
    for (int tries = 0; tries < 10; tries++) {
      wrong += gate_->slots[0].Enter(AccessClass::kWrite).has_value();
    }
  }
  done = true;
  other.join();
  EXPECT_EQ(wrong, 0);
}

// Admission ends, then a drain begins and ends: nobody is inside, though the access is as
// it was.
TEST_F(SuspendedTest, NobodyIsInsideAfterTheDeadlineAndADrain) {
  GateSlot& slot = Attach(0, A());
  std::atomic<int> inside{0};
  std::atomic<bool> over{false};
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  const auto work = [&] {
    while (!stop.load()) {
      const auto epoch = slot.Enter(AccessClass::kWrite);
      if (!epoch) continue;
      inside++;
      wrong += over.load();
      inside--;
      slot.Leave(*epoch);
    }
  };
  std::thread one(work);
  std::thread two(work);
  for (int i = 0; i < 1000; i++) {
    AdmitUntil(*gate_, kFar);
    std::this_thread::yield();
    AdmitUntil(*gate_, 0);
    ASSERT_TRUE(slot.BeginDrain(kFullAccess));
    while (slot.admission().draining() != 0) std::this_thread::yield();
    over = true;
    for (int look = 0; look < 10; look++) wrong += inside.load() != 0;
    over = false;
  }
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(slot.admission().in_flight(), 0u);
}

// A change may take away what is outside `keep`: that is shut, and no conflict yet.
TEST_F(SuspendedTest, Held) {
  GateSlot& d = Attach(0, D());
  const auto refusal = [&d](AccessClass access) {
    return d.admission().Refuses(access, Admission::kFirstTenure);
  };
  Publish(ReservedByA(kWE));
  EXPECT_EQ(refusal(AccessClass::kWrite), WhyNot::kNoAccess);
  EXPECT_FALSE(d.is_held());
  d.Hold(AllowedAccess(ReservedByA(kEA), D()));
  EXPECT_TRUE(d.is_held());
  WhyNot why{};
  EXPECT_FALSE(d.Enter(AccessClass::kRead, Admission::kFirstTenure, &why));
  EXPECT_EQ(why, WhyNot::kHeld);
  EXPECT_TRUE(d.Enter(AccessClass::kTestUnitReady)) << "it keeps that";
  d.Hold(kFullAccess);
  EXPECT_EQ(refusal(AccessClass::kRead), WhyNot::kHeld) << "nothing is given";
  d.Hold(0);
  EXPECT_EQ(refusal(AccessClass::kReservation), WhyNot::kHeld);
  Publish(ReservedByA(kWE));
  EXPECT_FALSE(d.is_held());
  EXPECT_EQ(refusal(AccessClass::kRead), std::nullopt);
  EXPECT_EQ(refusal(AccessClass::kWrite), WhyNot::kNoAccess);
}

// Who attaches where somebody else publishes waits for that.
TEST_F(SuspendedTest, AttachedHeld) {
  GateSlot& a = gate_->slots[0];
  a.Attach(*gate_, A(), 42, "test", kHeld, version_);
  EXPECT_EQ(a.admission().Refuses(AccessClass::kReservation, Admission::kFirstTenure),
            WhyNot::kHeld);
  Publish(State{});
  EXPECT_EQ(a.admission().access(), kFullAccess);
}

// A drain of what is held refuses as before; one of what is not makes it a conflict, as ever.
TEST_F(SuspendedTest, DrainOfAHeldSlot) {
  for (const bool held : {false, true}) {
    GateSlot& b = Attach(0, B());
    const auto write = b.Enter(AccessClass::kWrite);
    if (held) b.Hold(Bit(AccessClass::kRead));
    ASSERT_TRUE(b.BeginDrain(Bit(AccessClass::kRead)));
    EXPECT_TRUE(b.is_being_fenced());
    EXPECT_TRUE(b.IsAwaited(*write));
    EXPECT_EQ(b.admission().Refuses(AccessClass::kWrite, Admission::kFirstTenure),
              held ? WhyNot::kHeld : WhyNot::kNoAccess);
    b.Leave(*write);
    EXPECT_EQ(b.admission().draining(), 0u);
    EXPECT_EQ(b.is_held(), held);
    b.Detach();
  }
}

// Another change is published while one is under way that may take something from B.
TEST_F(SuspendedTest, PublishLeavesHeldOnesShut) {
  GateSlot& a = Attach(0, A());
  GateSlot& b = Attach(1, B());
  const AccessMask keep = Bit(AccessClass::kRead) | Bit(AccessClass::kReservation);
  b.Hold(keep);
  Publish(State{}, B(), keep);
  EXPECT_EQ(b.admission().access(), keep | kHeld);
  EXPECT_EQ(a.admission().access(), kFullAccess);
  Publish(ReservedByA(kEA), B(), keep);
  EXPECT_EQ(b.admission().access(), Bit(AccessClass::kReservation) | kHeld) << "what both allow";
  Publish(State{}, A(), keep);
  EXPECT_EQ(b.admission().access(), kFullAccess);
  EXPECT_EQ(a.admission().access(), keep | kHeld) << "also who was not held before";
}

// Who was lost, say: less than the state allows, and not held.
TEST_F(SuspendedTest, PublishWithALimit) {
  GateSlot& b = Attach(1, B());
  Publication how;
  how.limit = [](const Nexus&) { return Publication::Limit{Bit(AccessClass::kRead), false}; };
  scsi_pr::Publish(*gate_, 9, State{}, {}, how);
  EXPECT_EQ(b.admission().access(), Bit(AccessClass::kRead));
}

// The fencing of a held one goes on through the publication of another version.
TEST_F(SuspendedTest, PublishLeavesTheFencingOfHeldOnes) {
  for (const bool committed : {false, true}) {
    GateSlot& b = Attach(1, B());
    GateSlot& c = Attach(2, C());
    const uint32_t before = b.fencings();
    const auto write = b.Enter(AccessClass::kWrite);
    for (GateSlot* slot : {&b, &c}) {
      slot->Hold(0);
      ASSERT_TRUE(slot->BeginDrain(0));
    }
    Publish(State{}, B());
    EXPECT_TRUE(b.IsAwaited(*write));
    EXPECT_FALSE(c.is_being_fenced()) << "given up";
    b.Leave(*write);
    Publication how;
    how.committed = committed;
    scsi_pr::Publish(*gate_, ++version_, State{}, {}, how);
    EXPECT_FALSE(b.is_being_fenced());
    EXPECT_EQ(b.fencings() - before, committed);
    EXPECT_EQ(c.fencings(), 0u);
    EXPECT_EQ(gate_->fencing.load(), 0u);
    b.Detach();
    c.Detach();
  }
}

// Whoever publishes again and again opens a held slot at no time.
TEST_F(SuspendedTest, NoWindowWhilePublishing) {
  GateSlot& b = Attach(1, B());
  b.Hold(0);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!done.load()) {
      WhyNot why{};
      const auto epoch = b.Enter(AccessClass::kWrite, Admission::kFirstTenure, &why);
      if (epoch || why != WhyNot::kHeld) wrong++;
    }
  });
  for (int i = 0; i < 2000; i++) {
    Publish(i % 2 == 0 ? State{} : ReservedByA(kEA), B());
    b.Hold(0);
    ASSERT_TRUE(b.BeginDrain(0));
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

}  // namespace
}  // namespace scsi_pr
