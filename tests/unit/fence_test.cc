// SPDX-License-Identifier: GPL-2.0-or-later
//
// PREEMPT AND ABORT (SPC-3 5.6.8.5) on a store: shut, drain, commit, in every
// case that has victims in this process. Those in other processes are in
// tests/process.
#include "gate/fence.h"

#include <future>

#include "attached_store.h"

namespace scsi_pr {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class FenceTest : public AttachedStoreTest {};

INSTANTIATE_TEST_SUITE_P(Uri, FenceTest, ::testing::Values("memory", "file", "cluster"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(FenceTest, NothingOnItsWay) {
  RegisterAll();
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_FALSE(Writes(b()));
  EXPECT_TRUE(Writes(a()));
  EXPECT_TRUE(Writes(c()));
  EXPECT_EQ(b().slot->unit_attentions().Take(), sense::kRegistrationsPreempted);
  EXPECT_TRUE(Eventually([&] { return b().aborts == 1 && b().preemptions == 1; }));
  EXPECT_EQ(c().aborts, 0);
}

// 5.6.8.5 c): every task of the preempted nexus ends before GOOD. Until then
// it is listed as before.
TEST_P(FenceTest, WaitsForWhatIsOnItsWay) {
  Clause("5.6.8.5: ending them");
  RegisterAll();
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  const State before = Read();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  auto fencing = std::async(std::launch::async,
                            [&] { return Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)); });
  EXPECT_TRUE(Eventually([&] { return !Writes(b()); })) << "shut";
  EXPECT_EQ(fencing.wait_for(50ms), std::future_status::timeout);
  EXPECT_EQ(Read(), before) << "reading goes on, and shows the victim";
  EXPECT_TRUE(Writes(c())) << "no convoy";
  EXPECT_TRUE(Writes(a()));
  b().slot->Leave(*write);
  EXPECT_EQ(fencing.get(), ScsiStatus::kGood);
  EXPECT_EQ(Read().Find(B()), nullptr);
}

// What has not reached the medium is aborted, not waited for.
TEST_P(FenceTest, OwnersAbortWhatTheyCan) {
  RegisterAll();
  EXPECT_TRUE(b().Park(*b().slot));
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(b().aborts, 1);
}

// Truth over liveness: not GOOD, and nothing has changed.
TEST_P(FenceTest, GivesUpWithNothingChanged) {
  RegisterAll();
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  const State before = Read();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = 30ms;
  Outcome outcome;
  const Status status = Try(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), &outcome);
  EXPECT_EQ(status.code(), Status::Code::kBusy);
  EXPECT_NE(status.message().find(std::to_string(getpid()) + " (owner)"), std::string::npos)
      << status.message();
  EXPECT_EQ(Read(), before);
  EXPECT_TRUE(Writes(b()));
  EXPECT_FALSE(b().slot->IsAwaited(*write)) << "nobody may abort it any more";
  EXPECT_EQ(b().slot->unit_attentions().Take(), std::nullopt);
  EXPECT_EQ(fencings_.told, (std::vector<std::string>{"begun", "given up"})) << "not late";
  b().slot->Leave(*write);
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_FALSE(Writes(b()));
}

// 5.6.8.5 f) is for PREEMPT AND ABORT alone, and for one that succeeds.
TEST_P(FenceTest, TellsTheFencedWhenItIsCommitted) {
  RegisterAll();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = 30ms;
  Outcome outcome;
  EXPECT_FALSE(Try(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), &outcome).ok());
  b().slot->Leave(*write);
  EXPECT_EQ(Send(A(), Preempt(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(Eventually([&] { return b().preemptions == 1; }));
  EXPECT_EQ(b().fencings, 0);

  EXPECT_EQ(Send(B(), Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(Eventually([&] { return b().fencings == 1; }));
  EXPECT_EQ(a().fencings, 0);
  EXPECT_EQ(c().fencings, 0);
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(Eventually([&] { return a().fencings == 1; })) << "itself";
}

TEST_P(FenceTest, TellsWhenItIsLate) {
  RegisterAll();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  waiting_.abort_timeout = Fence::kLate + 200ms;
  Outcome outcome;
  EXPECT_FALSE(Try(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), &outcome).ok());
  EXPECT_EQ(fencings_.told, (std::vector<std::string>{"begun", "late", "given up"}));
  ASSERT_EQ(fencings_.awaited.size(), 1u);
  EXPECT_EQ(fencings_.awaited[0].nexus, B());
  b().slot->Leave(*write);
}

TEST_P(FenceTest, CanBeCancelled) {
  RegisterAll();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  const auto start = Clock::now();
  waiting_.cancelled = [&] { return Clock::now() > start + 50ms; };
  Outcome outcome;
  EXPECT_EQ(Try(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO), &outcome).code(), Status::Code::kBusy);
  EXPECT_LT(Clock::now() - start, waiting_.abort_timeout / 2);
  EXPECT_TRUE(Writes(b()));
  b().slot->Leave(*write);
}

// 5.6.8.4.3, own key: its earlier tasks end, later ones are not even delayed.
TEST_P(FenceTest, Self) {
  RegisterAll();
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  const auto write = a().slot->Enter(AccessClass::kWrite);
  auto fencing = std::async(std::launch::async,
                            [&] { return Send(A(), PreemptAndAbort(kKeyA, kKeyA, kEARO)); });
  EXPECT_TRUE(Eventually([&] { return a().slot->IsAwaited(*write); }));
  const auto later = a().slot->Enter(AccessClass::kWrite);
  EXPECT_TRUE(later);
  EXPECT_FALSE(a().slot->IsAwaited(*later));
  a().slot->Leave(*write);
  EXPECT_EQ(fencing.get(), ScsiStatus::kGood);
  a().slot->Leave(*later);
  EXPECT_TRUE(Writes(a()));
}

// Table 36: all registrants with key 0 preempts every other nexus.
TEST_P(FenceTest, AllRegistrantsWithKeyZero) {
  RegisterAll();
  EXPECT_EQ(Send(B(), Reserve(kKeyB, kWEAR)), ScsiStatus::kGood);
  for (Owner* owner : {&b(), &c()}) EXPECT_TRUE(owner->Park(*owner->slot));
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, 0, kWEAR)), ScsiStatus::kGood);
  EXPECT_FALSE(Writes(b()));
  EXPECT_FALSE(Writes(c()));
  EXPECT_TRUE(Writes(a()));
}

// Several nexuses with one key, and a registration for all target ports.
TEST_P(FenceTest, EveryNexusThatIsPreempted) {
  EXPECT_EQ(Send(A(), Register(0, kKeyA)), ScsiStatus::kGood);
  PersistentReserveOut all_ports = Register(0, kKeyB);
  all_ports.all_tg_pt = true;
  EXPECT_EQ(Send(B(), all_ports), ScsiStatus::kGood);
  EXPECT_EQ(Send(C(), Register(0, kKeyB)), ScsiStatus::kGood);
  Owner& other_port = Attach(At(B(), 7));
  EXPECT_EQ(Send(A(), Reserve(kKeyA, kWERO)), ScsiStatus::kGood);
  for (Owner* owner : {&b(), &c(), &other_port}) {
    EXPECT_TRUE(owner->Park(*owner->slot));
  }
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  for (Owner* owner : {&b(), &c(), &other_port}) {
    EXPECT_FALSE(Writes(*owner));
    EXPECT_EQ(owner->aborts, 1);
  }
}

// PREEMPT alone lets tasks complete (5.6.8.4.1).
TEST_P(FenceTest, PreemptWaitsForNobody) {
  RegisterAll();
  const auto write = b().slot->Enter(AccessClass::kWrite);
  EXPECT_EQ(Send(A(), Preempt(kKeyA, kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(b().aborts, 0);
  b().slot->Leave(*write);
}

// Nobody runs the victim.
TEST_P(FenceTest, VictimIsNotAttached) {
  RegisterAll();
  EXPECT_EQ(Send(D(), Register(0, kKeyD)), ScsiStatus::kGood);
  EXPECT_EQ(Send(A(), PreemptAndAbort(kKeyA, kKeyD, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(Read().Find(D()), nullptr);
}

// What is parked, or was handed over, learns of every fencing, however many there were.
TEST_P(FenceTest, ManyFencings) {
  const auto parked = a().slot->Enter(AccessClass::kWrite);
  a().slot->Leave(*parked);
  HandedOver handed;
  ASSERT_TRUE(store_->HandOver(a().slot, true, &handed).ok());
  EXPECT_FALSE(store_->MayBeFencedSince(*a().slot, handed));
  for (int fencings = 1; fencings <= 65536; fencings++) {
    ASSERT_TRUE(a().slot->BeginDrain(kFullAccess));
    a().slot->EndFencing(false);
    ASSERT_TRUE(a().slot->admission().HasDrained(*parked)) << fencings;
    ASSERT_TRUE(store_->MayBeFencedSince(*a().slot, handed)) << fencings;
  }
}

// Two that fence each other: one succeeds, the other has lost its registration.
TEST_P(FenceTest, EachOther) {
  for (int i = 0; i < 10; i++) {
    RegisterAll();
    auto one = std::async(std::launch::async,
                          [&] { return Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO)); });
    auto two = std::async(std::launch::async,
                          [&] { return Send(B(), PreemptAndAbort(kKeyB, kKeyA, kWERO)); });
    const bool first = one.get() == ScsiStatus::kGood;
    const bool second = two.get() == ScsiStatus::kGood;
    EXPECT_NE(first, second);
    EXPECT_EQ(Send(C(), Clear(kKeyC)), ScsiStatus::kGood);
  }
}

}  // namespace
}  // namespace scsi_pr
