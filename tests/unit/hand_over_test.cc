// SPDX-License-Identifier: GPL-2.0-or-later
//
// Handing a nexus over (docs/design.md) as far as one process can show it:
// ownership, and the state of a memory: store that travels. Source and destination
// of a file: store are in tests/process, the texts in hand_over_text_test.cc.
#include "hand_over.h"
#include "fake_agent.h"
#include "other_process.h"

#include <thread>

#include "temporary_directory.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kGood = ScsiStatus::kGood;
const ByteVector kReserve6 = {0x16, 0, 0, 0, 0, 0};

class HandOverTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (GetParam() == std::string("cluster")) host_ = std::make_unique<OneHost>();
  }
  std::string Uri() const {
    if (host_) return "cluster:" + host_->cluster.name;
    return GetParam() == std::string("file") ? "file:" + (directory_ / "lu.pr")
                                             : "memory:hand-over-test";
  }
  std::unique_ptr<DeviceServer> Open(const Nexus& nexus, NexusListener* listener = nullptr) {
    return testing::Open(Uri(), nexus, false, listener, host_ ? host_->runtime.path() : "");
  }

  const TemporaryDirectory directory_;
  std::unique_ptr<OneHost> host_;  // of a cluster: store
};

INSTANTIATE_TEST_SUITE_P(Uri, HandOverTest, ::testing::Values("memory", "file", "cluster"),
                         [](const auto& scheme) { return std::string(scheme.param); });

TEST_P(HandOverTest, NobodyIsAdmittedUntilItIsTaken) {
  const auto a = Open(A());
  EXPECT_TRUE(a->IsOwner());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  for (int i = 0; i < 200; i++) {  // more often than there are numbers for tenures
    HandOver(*a);
    EXPECT_FALSE(a->IsOwner());
    EXPECT_FALSE(Writes(*a));
    EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
    EXPECT_TRUE(Writes(*a));
  }
}

TEST_P(HandOverTest, NothingIsDoneForWhoIsNotTheOwner) {
  const auto a = Open(A());
  const auto b = Open(B());
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), ScsiStatus::kBusy);
  EXPECT_EQ(Execute(*a, InCdb(InAction::kReadKeys, 100)).status, ScsiStatus::kBusy);
  a->ResetOccurred(Reset::kNexusLoss);
  a->ResetOccurred(Reset::kLogicalUnit);
  Settle(*a);
  EXPECT_FALSE(Writes(*b)) << "the legacy reservation stays with the nexus";
  b->ResetOccurred(Reset::kLogicalUnit);
  Settle(*b);
  EXPECT_TRUE(Writes(*b));
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kBusDeviceResetFunctionOccurred);
}

// SPC-2 5.5.1: whoever takes over holds it, and loses it with the nexus.
TEST_P(HandOverTest, LegacyReservationEndsWithTheNewOwner) {
  auto a = Open(A());
  const auto b = Open(B());
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  HandOver(*a);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_FALSE(Writes(*b));
  a.reset();
  EXPECT_TRUE(Writes(*b));
}

TEST_P(HandOverTest, CommandsOnTheirWayForbidIt) {
  const auto a = Open(A());
  const auto epoch = a->Enter(AccessClass::kWrite);
  ASSERT_TRUE(epoch);
  std::string text;
  EXPECT_EQ(a->HandOver(&text).code(), Status::Code::kBusy);
  EXPECT_TRUE(a->IsOwner());
  EXPECT_TRUE(Writes(*a));
  a->Leave(*epoch);
  HandOver(*a);
}

TEST_P(HandOverTest, SubmittedCommandsEndFirst) {
  const auto a = Open(A());
  std::vector<ScsiStatus> statuses;
  for (uint64_t key = 0; key < 20; key++) {
    a->Execute(OutCdb(Register(key, key + 1)), OutData(Register(key, key + 1)),
               [&](const Response& response) { statuses.push_back(response.status); });
  }
  HandOver(*a);
  EXPECT_EQ(statuses, std::vector<ScsiStatus>(20, kGood));
}

// A PREEMPT AND ABORT that waits for others would hold a migration up.
TEST_P(HandOverTest, WhatWaitsForOthersEndsInBusy) {
  const auto a = Open(A());
  const auto b = Open(B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  const auto epoch = b->Enter(AccessClass::kWrite);
  ASSERT_TRUE(epoch);
  std::promise<ScsiStatus> ended;
  const Command fence = PreemptAndAbort(kKeyA, kKeyB, kWERO);
  a->Execute(OutCdb(fence), OutData(fence),
             [&](const Response& response) { ended.set_value(response.status); });
  while (!b->IsBeingFenced()) std::this_thread::yield();
  HandOver(*a);
  EXPECT_EQ(ended.get_future().get(), ScsiStatus::kBusy);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  b->Leave(*epoch);
  EXPECT_EQ(Send(*a, fence), kGood) << "only then was it in a hurry";
}

TEST_P(HandOverTest, FencedMeanwhile) {
  const auto a = Open(A());
  const auto b = Open(B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood) << "waits for nobody";
  EXPECT_EQ(TakeOver(*a), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken) << "said once";
  HandOver(*a);
  EXPECT_EQ(Send(*b, Register(kKeyB, kKeyC)), kGood);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken) << "what does not concern its tasks";
}

// Who is not the owner hears what may concern its tasks, and the rest later.
TEST_P(HandOverTest, Listener) {
  struct Listener : NexusListener {
    void AbortTasks() override { aborts++; }
    void Fenced() override { fencings++; }
    void Preempted() override { preemptions++; }
    std::atomic<int> aborts{0}, fencings{0}, preemptions{0};
  } listener;
  const auto a = Open(A(), &listener);
  const auto b = Open(B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  HandOver(*a);
  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood);
  const auto eventually = [](const std::atomic<int>& count) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (count == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return count.load();
  };
  EXPECT_EQ(eventually(listener.aborts), 1);
  EXPECT_EQ(listener.fencings, 0);
  EXPECT_EQ(listener.preemptions, 0);
  EXPECT_EQ(TakeOver(*a), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(eventually(listener.fencings), 1);
  EXPECT_EQ(eventually(listener.preemptions), 1);
}

// A store that fails: the migration does, and the VM goes on where it is.
TEST(HandOver, FailingStore) {
  const TemporaryDirectory directory;
  const std::string path = directory / "lu.pr";
  const auto a = Open("file:" + path, A());
  OtherProcess other(path);
  other.Spoil();
  std::string text;
  EXPECT_EQ(a->HandOver(&text).code(), Status::Code::kCorrupt);
  EXPECT_TRUE(Writes(*a));
  other.Heal();
  HandOver(*a);
}

TEST(HandOver, StateOfAMemoryStoreTravels) {
  const auto a = Open("memory:source", A());
  const auto b = Open("memory:source", B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kEARO)), kGood);
  EXPECT_EQ(Send(*a, Preempt(kKeyA, kKeyB, kEARO)), kGood);
  const std::string text_a = HandOver(*a);
  const std::string text_b = HandOver(*b);

  const auto a2 = Open("memory:destination", A(), true);
  const auto b2 = Open("memory:destination", B(), true);
  EXPECT_FALSE(a2->IsOwner());
  EXPECT_FALSE(Writes(*a2));
  EXPECT_TRUE(a2->Arrive(text_a).ok());
  EXPECT_TRUE(b2->Arrive(text_b).ok());
  EXPECT_EQ(TakeOver(*a2), Ownership::kTaken);
  EXPECT_EQ(TakeOver(*b2), Ownership::kTaken);
  EXPECT_EQ(StateOf(*a2), StateOf(*a));
  EXPECT_TRUE(Writes(*a2));
  EXPECT_FALSE(Writes(*b2));
  EXPECT_EQ(b2->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(b2->TakeUnitAttention(), std::nullopt);
  EXPECT_EQ(a2->TakeUnitAttention(), std::nullopt);
}

// Paused before and behind the migration, and migrated once more.
TEST(HandOver, WithoutEverHavingRun) {
  const auto a = Open("memory:", A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  const auto b = Open("memory:", A(), true);
  EXPECT_TRUE(b->Arrive(HandOver(*a)).ok());
  const auto c = Open("memory:", A(), true);
  EXPECT_TRUE(c->Arrive(HandOver(*b)).ok());
  EXPECT_EQ(TakeOver(*c), Ownership::kTaken);
  EXPECT_EQ(StateOf(*c), StateOf(*a));
}

// loadvm: the state of a memory: store goes back with its VM.
TEST(HandOver, SnapshotOfAMemoryStore) {
  const auto a = Open("memory:", A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  const auto then = StateOf(*a);
  const std::string snapshot = HandOver(*a);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kWE)), kGood);
  EXPECT_EQ(Send(*a, Register(kKeyA, 0)), kGood);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_EQ(StateOf(*a), then);
}

// loadvm: a file: store keeps what others have made of it.
TEST(HandOver, SnapshotOfAFileStore) {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + (directory / "lu.pr");
  auto a = Open(uri, A());
  const auto b = Open(uri, B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kWERO)), kGood);
  const std::string snapshot = HandOver(*a);
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken) << "nothing has changed since";
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);

  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWERO)), kGood);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_TRUE(a->Arrive(snapshot).ok());
  EXPECT_EQ(TakeOver(*a), Ownership::kTakenMaybeFenced);
  EXPECT_FALSE(Writes(*a));
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted)
      << "the guest that has come back does not know";
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);

  // The same in a process that starts anew.
  a.reset();
  const auto again = Open(uri, A(), true);
  EXPECT_TRUE(again->Arrive(snapshot).ok());
  EXPECT_EQ(TakeOver(*again), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(again->TakeUnitAttention(), sense::kRegistrationsPreempted);
}

// Saved to a file, and restored when the process is gone: what had not been
// reported then still is to be.
TEST(HandOver, SavedUnitAttentions) {
  const TemporaryDirectory directory;
  const std::string uri = "file:" + (directory / "lu.pr");
  const auto b = Open(uri, B());
  auto a = Open(uri, A());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*b, Register(0, kKeyB)), kGood);
  EXPECT_EQ(Send(*b, Clear(kKeyB)), kGood);
  const std::string saved = HandOver(*a);
  a.reset();
  a = Open(uri, A(), true);
  EXPECT_TRUE(a->Arrive(saved).ok());
  EXPECT_EQ(TakeOver(*a), Ownership::kTaken);
  EXPECT_EQ(a->TakeUnitAttention(), sense::kReservationsPreempted);
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
}

// Threads that send while the nexus is handed over and taken again: nobody is
// in while nobody owns it.
TEST(HandOver, UnderLoad) {
  const auto server = Open("memory:", A());
  std::atomic<bool> owned{true};
  std::atomic<bool> stop{false};
  std::atomic<int> violations{0};
  std::atomic<int> passed{0};
  const auto send = [&] {
    while (!stop) {
      const auto epoch = server->Enter(AccessClass::kWrite);
      if (!epoch) {
        std::this_thread::yield();
        continue;
      }
      violations += !owned;
      passed++;
      server->Leave(*epoch);
    }
  };
  std::thread one(send);
  std::thread two(send);
  int handed = 0;
  while (handed < 200) {
    std::string text;
    if (!server->HandOver(&text).ok()) continue;  // somebody was in
    owned = false;
    handed++;
    std::this_thread::yield();
    owned = true;
    EXPECT_EQ(TakeOver(*server), Ownership::kTaken);
  }
  stop = true;
  one.join();
  two.join();
  EXPECT_EQ(violations, 0);
  EXPECT_GT(passed, 0);
}

}  // namespace
}  // namespace scsi_pr
