// SPDX-License-Identifier: GPL-2.0-or-later
//
// A nexus of a cluster: store goes from host to host, and to another process of its own host.
#include <future>

#include "cluster_store_fixture.h"
#include "core/document.h"
#include "gate/fence.h"

namespace scsi_pr {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;
using Fault = FakeAgent::Fault;

// Source and destination are two hosts, each with a gate of its own.
TEST_F(ClusterStoreTest, ToAnotherHost) {
  auto source = OpenServer(1, A());
  const auto witness = OpenServer(2, B());
  EXPECT_EQ(testing::Send(*source, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*witness, Register(0, kKeyB)), ScsiStatus::kGood);
  const auto destination = OpenServer(2, A(), true);
  EXPECT_EQ(other_.LastRequest("attach").at("incoming"), true);
  EXPECT_EQ(destination->TakeOver(), Ownership::kNotTaken) << "while the source has it";
  std::string identity;
  EXPECT_TRUE(source->Identify(&identity).ok());
  EXPECT_TRUE(destination->Recognize(identity).ok());
  const std::string text = testing::HandOver(*source);
  EXPECT_FALSE(testing::Writes(*source));
  EXPECT_TRUE(destination->Arrive(text).ok());
  EXPECT_FALSE(testing::Writes(*destination));
  EXPECT_EQ(TakeOver(*destination), Ownership::kTaken) << "nobody has changed anything";
  EXPECT_TRUE(testing::Writes(*destination));
  EXPECT_FALSE(testing::Writes(*source));
  EXPECT_EQ(source->TakeOver(), Ownership::kNotTaken);
  source.reset();
  EXPECT_TRUE(testing::Writes(*destination));
  EXPECT_TRUE(agent_.IsAttached(A()));
}

TEST_F(ClusterStoreTest, BackWhereItCameFrom) {
  const auto source = OpenServer(1, A());
  auto destination = OpenServer(2, A(), true);
  EXPECT_TRUE(destination->Arrive(testing::HandOver(*source)).ok());
  destination.reset();  // the migration has failed
  EXPECT_EQ(TakeOver(*source), Ownership::kTaken);
  EXPECT_TRUE(testing::Writes(*source));
}

TEST_F(ClusterStoreTest, FencedOnTheWay) {
  const auto source = OpenServer(1, A());
  const auto fencer = OpenServer(2, B());
  EXPECT_EQ(testing::Send(*source, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*fencer, Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*fencer, Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  const auto destination = OpenServer(2, A(), true);
  const std::string text = testing::HandOver(*source);
  EXPECT_EQ(testing::Send(*fencer, PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_TRUE(destination->Arrive(text).ok());
  EXPECT_EQ(TakeOver(*destination), Ownership::kTakenMaybeFenced);
  EXPECT_FALSE(testing::Writes(*destination));
  EXPECT_EQ(destination->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(destination->TakeUnitAttention(), std::nullopt) << "once";
}

TEST_F(ClusterStoreTest, FencedBehindItsArrival) {
  const auto source = OpenServer(1, A());
  const auto fencer = OpenServer(2, B());
  EXPECT_EQ(testing::Send(*source, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*fencer, Register(0, kKeyB)), ScsiStatus::kGood);
  const auto destination = OpenServer(2, A(), true);
  EXPECT_TRUE(destination->Arrive(testing::HandOver(*source)).ok());
  EXPECT_EQ(testing::Send(*fencer, PreemptAndAbort(kKeyB, kKeyA, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(TakeOver(*destination), Ownership::kTakenMaybeFenced);
  EXPECT_EQ(destination->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(destination->TakeUnitAttention(), std::nullopt) << "once";
}

// What the source has not reported goes with the VM; what others do meanwhile is told behind it.
TEST_F(ClusterStoreTest, UnitAttentionsTravel) {
  const auto source = OpenServer(1, A());
  const auto other = OpenServer(2, B());
  EXPECT_EQ(testing::Send(*source, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*other, Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*other, Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*other, Release(kKeyB, kWERO)), ScsiStatus::kGood);
  const auto destination = OpenServer(2, A(), true);
  const std::string text = testing::HandOver(*source);
  EXPECT_EQ(testing::Send(*other, Clear(kKeyB)), ScsiStatus::kGood);
  EXPECT_TRUE(destination->Arrive(text).ok());
  EXPECT_EQ(TakeOver(*destination), Ownership::kTakenMaybeFenced);
  std::vector<Sense> told;
  while (const auto sense = destination->TakeUnitAttention()) told.push_back(*sense);
  ASSERT_FALSE(told.empty());
  EXPECT_EQ(told[0], sense::kReservationsReleased);
  EXPECT_EQ(std::ranges::count(told, sense::kReservationsPreempted), 1);
}

TEST_F(ClusterStoreTest, WhatWasReportedIsNotReportedAgain) {
  const auto source = OpenServer(1, A());
  const auto other = OpenServer(2, B());
  EXPECT_EQ(testing::Send(*source, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*other, Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(testing::Send(*other, Reserve(kKeyB, kWERO)), ScsiStatus::kGood);
  const auto destination = OpenServer(2, A(), true);
  EXPECT_EQ(testing::Send(*other, Release(kKeyB, kWERO)), ScsiStatus::kGood);
  EXPECT_EQ(source->TakeUnitAttention(), sense::kReservationsReleased);
  EXPECT_TRUE(destination->Arrive(testing::HandOver(*source)).ok());
  EXPECT_EQ(TakeOver(*destination), Ownership::kTaken);
  EXPECT_EQ(destination->TakeUnitAttention(), std::nullopt);
}

// Two processes of one host: the kernel's lock decides, and the record follows.
TEST_F(ClusterStoreTest, WithinAHost) {
  const auto first = OpenSecond();
  const auto second = OpenSecond();
  GateSlot* slot = nullptr;
  ASSERT_TRUE(first->Attach(A(), "source", Store::AttachMode::kNew, nullptr, &slot).ok());
  GateSlot* joined = nullptr;
  ASSERT_TRUE(
      second->Attach(A(), "destination", Store::AttachMode::kIncoming, nullptr, &joined).ok());
  EXPECT_EQ(joined - &second->gate().slots[0], slot - &first->gate().slots[0]);
  EXPECT_EQ(agent_.LastRequest("attach").at("joined"), true);
  Admission::Tenure tenure = 0;
  EXPECT_FALSE(second->TakeOver(joined, &tenure));
  HandedOver handed;
  ASSERT_TRUE(first->HandOver(slot, true, &handed).ok());
  ASSERT_TRUE(second->Arrive(joined, &handed).ok());
  EXPECT_TRUE(Eventually([&] { return second->TakeOver(joined, &tenure); }));
  EXPECT_TRUE(joined->Enter(AccessClass::kWrite, tenure));
  EXPECT_FALSE(second->MayBeFencedSince(*joined, handed));
  Admission::Tenure mine = 0;
  EXPECT_FALSE(first->TakeOver(slot, &mine));
  first->Detach(slot);
  EXPECT_TRUE(Eventually([&] { return agent_.Count("detach") == 1; }));
  EXPECT_TRUE(agent_.IsAttached(A()));
  second->Detach(joined);
  EXPECT_TRUE(Eventually([&] { return !agent_.IsAttached(A()); }));
}

// Handing over waits for nobody: what the daemon has to know it hears when it is back.
TEST_F(ClusterStoreTest, HandedOverWhileTheDaemonIsAway) {
  const auto source = OpenServer(1, A());
  const auto destination = OpenServer(2, A(), true);
  agent_.Stop();
  const auto start = Clock::now();
  const std::string text = testing::HandOver(*source);
  EXPECT_TRUE(destination->Arrive(text).ok());
  EXPECT_EQ(destination->TakeOver(), Ownership::kNotTaken);
  EXPECT_LT(Clock::now() - start, 1s);
  agent_.Start();
  EXPECT_EQ(TakeOver(*destination), Ownership::kTaken);
  EXPECT_TRUE(testing::Writes(*destination));
}

TEST_F(ClusterStoreTest, TakingOverNeverWaits) {
  const auto source = OpenServer(1, A());
  agent_.Expect("hand-over", {Fault::kBusy, Fault::kNotKnown, Fault::kEndBehind});
  testing::HandOver(*source);
  EXPECT_TRUE(Eventually([&] { return agent_.Count("hand-over") == 4; })) << "until it is done";
  agent_.Expect("take-over", {Fault::kSilent});
  const auto start = Clock::now();
  for (int i = 0; i < 100; i++) EXPECT_EQ(source->TakeOver(), Ownership::kNotTaken);
  EXPECT_LT(Clock::now() - start, 1s);
  EXPECT_TRUE(Eventually([&] { return agent_.Count("take-over") == 1; })) << "one at a time";
  testing::HandOver(*source);
  agent_.Stop();
  agent_.Start();
  EXPECT_EQ(TakeOver(*source), Ownership::kTaken);
  EXPECT_TRUE(testing::Writes(*source));
}

TEST_F(ClusterStoreTest, OtherStoresAreNotRecognized) {
  const auto server = OpenServer(1, A());
  const auto memory = testing::Open("memory:", A());
  std::string text;
  EXPECT_TRUE(memory->Identify(&text).ok());
  EXPECT_EQ(server->Recognize(text).code(), Code::kInvalid);
  EXPECT_TRUE(server->Identify(&text).ok());
  const Status status = memory->Recognize(text);
  EXPECT_EQ(status.code(), Code::kInvalid);
  EXPECT_NE(status.message().find("cluster:quorum"), std::string::npos) << status.message();
}

}  // namespace
}  // namespace scsi_pr
