// SPDX-License-Identifier: GPL-2.0-or-later
//
// DeviceServer::TryExecute(): an emulator's thread carries out what waits for nothing,
// and nothing else.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "failure_counter.h"
#include "hand_over.h"
#include "other_process.h"
#include "spc/opcodes.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

constexpr auto kGood = ScsiStatus::kGood;

// The server's thread has nothing to do: then what needs no store is done at once.
void AwaitIdle(DeviceServer& server) {
  const ByteVector report = {opcode::kMaintenanceIn,
                             service_action::kReportSupportedOperationCodes,
                             0,
                             0,
                             0,
                             0,
                             0,
                             0,
                             0,
                             0,
                             0,
                             0};
  Response response;
  while (!server.TryExecute(report, {}, &response)) std::this_thread::yield();
}

class AtOnceTest : public ::testing::Test {
 protected:
  std::unique_ptr<DeviceServer> OpenAs(const Nexus& nexus) {
    return Open("file:" + path_, nexus, false, &listener_);
  }
  static bool Try(DeviceServer& server, const ByteVector& cdb, const ByteVector& data_out,
                  Response* response) {
    AwaitIdle(server);
    return server.TryExecute(cdb, data_out, response);
  }
  static bool Try(DeviceServer& server, const Command& command) {
    Response response;
    return Try(server, OutCdb(command), OutData(command), &response);
  }
  static bool TryToRead(DeviceServer& server) {
    Response response;
    return Try(server, InCdb(InAction::kReadKeys, 100), {}, &response);
  }
  static size_t Registrations(DeviceServer& server) {
    return StateOf(server).at("registrations").size();
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "lu.pr";
  FailureCounter listener_;
};

TEST_F(AtOnceTest, WhatIsInMemory) {
  const auto a = OpenAs(A());
  const auto b = OpenAs(B());
  EXPECT_TRUE(Try(*a, Register(0, kKeyA)));
  EXPECT_TRUE(Try(*a, Reserve(kKeyA, kEA)));
  EXPECT_FALSE(b->Admits(AccessClass::kRead));
  EXPECT_TRUE(TryToRead(*b));
  Response refused;
  const auto reserve = Reserve(kKeyB, kEA);
  EXPECT_TRUE(Try(*b, OutCdb(reserve), OutData(reserve), &refused));
  EXPECT_EQ(refused.status, ScsiStatus::kReservationConflict);
  EXPECT_EQ(b->Inspect().at("statistics").at("conflicts"), 1) << "counted as all are";
  EXPECT_TRUE(Try(*a, Clear(kKeyA)));
  EXPECT_TRUE(b->Admits(AccessClass::kRead));
}

// The same end, whichever way a command goes.
TEST_F(AtOnceTest, SameAsOnTheServersThread) {
  const auto a = OpenAs(A());
  const auto b = OpenAs(B());
  Send(*a, Register(0, kKeyA));
  Send(*a, Reserve(kKeyA, kWE));
  for (const InAction action : {InAction::kReadKeys, InAction::kReadReservation,
                                InAction::kReportCapabilities, InAction::kReadFullStatus}) {
    Response now;
    ASSERT_TRUE(Try(*b, InCdb(action, 100), {}, &now));
    const Response later = ExecuteOnItsThread(*b, InCdb(action, 100));
    EXPECT_EQ(now.data, later.data);
  }
  const auto conflict = Register(kKeyB, kKeyA);
  Response now;
  ASSERT_TRUE(Try(*b, OutCdb(conflict), OutData(conflict), &now));
  EXPECT_EQ(now.status, ExecuteOnItsThread(*b, OutCdb(conflict), OutData(conflict)).status);
}

// 5.6.3: it has to be on the disk before GOOD. So has the change that ends that.
TEST_F(AtOnceTest, NotWhatMustSurvive) {
  const auto server = OpenAs(A());
  auto command = Register(0, kKeyA);
  command.aptpl = true;
  EXPECT_FALSE(Try(*server, command));
  EXPECT_EQ(Registrations(*server), 0u) << "nothing was done";
  EXPECT_EQ(Send(*server, command), kGood);
  EXPECT_FALSE(Try(*server, Register(kKeyA, kKeyB)));
  EXPECT_TRUE(TryToRead(*server));
}

TEST_F(AtOnceTest, NotWhatFences) {
  const auto a = OpenAs(A());
  const auto b = OpenAs(B());
  Send(*a, Register(0, kKeyA));
  Send(*b, Register(0, kKeyB));
  EXPECT_FALSE(Try(*a, PreemptAndAbort(kKeyA, kKeyB, kEA)));
  EXPECT_EQ(Registrations(*a), 2u);
  EXPECT_TRUE(Try(*a, Preempt(kKeyA, kKeyB, kEA))) << "no command has to end";
  EXPECT_EQ(Registrations(*a), 1u);
}

TEST_F(AtOnceTest, NotBesideAnotherChange) {
  const auto server = OpenAs(A());
  OtherProcess other(path_);
  ASSERT_EQ(other.locks().TryLockChange(), Locked::kYes);
  EXPECT_FALSE(Try(*server, Register(0, kKeyA)));
  EXPECT_TRUE(TryToRead(*server));
  other.locks().UnlockChange();
  ASSERT_EQ(other.locks().TryLockMembers(), Locked::kYes);
  EXPECT_FALSE(Try(*server, Register(0, kKeyA)));
  other.locks().UnlockMembers();
  EXPECT_TRUE(Try(*server, Register(0, kKeyA)));
}

// Else who comes again and again would get it before all who wait.
TEST_F(AtOnceTest, NotBeforeWhoWaits) {
  const auto a = OpenAs(A());
  const auto b = OpenAs(B());
  OtherProcess other(path_);
  ASSERT_EQ(other.locks().TryLockChange(), Locked::kYes);
  std::promise<ScsiStatus> ended;
  std::thread waits([&] { ended.set_value(Send(*b, Register(0, kKeyB))); });
  Gate& gate = other.locks().gate();
  while (gate.contended_until.load() == 0) std::this_thread::yield();
  other.locks().UnlockChange();
  EXPECT_EQ(ended.get_future().get(), kGood);
  waits.join();
  gate.contended_until.store(~uint64_t{0});
  EXPECT_FALSE(Try(*a, Register(0, kKeyA)));
  EXPECT_TRUE(TryToRead(*a));
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  gate.contended_until.store(0);
  EXPECT_TRUE(Try(*a, Register(kKeyA, kKeyB)));
}

// Who died behind the commit has left it to others to publish.
TEST_F(AtOnceTest, NotBehindADeath) {
  const auto server = OpenAs(A());
  OtherProcess other(path_);
  other.Commit(State());
  EXPECT_FALSE(TryToRead(*server));
  EXPECT_FALSE(Try(*server, Register(0, kKeyA)));
  EXPECT_EQ(Send(*server, Register(0, kKeyA)), kGood);
  EXPECT_TRUE(TryToRead(*server));
}

// In the order they came.
TEST_F(AtOnceTest, NotBeforeAnEarlierOne) {
  const auto server = OpenAs(A());
  std::promise<void> go_on;
  server->Administer([&](Store&, const Store::Waiting&) { go_on.get_future().wait(); });
  Response response;
  EXPECT_FALSE(server->TryExecute(InCdb(InAction::kReadKeys, 100), {}, &response));
  go_on.set_value();
  EXPECT_TRUE(TryToRead(*server));
}

// Listeners are told on the server's thread, and so is that a failure is over.
TEST_F(AtOnceTest, NotWhileTheStoreFails) {
  const auto server = OpenAs(A());
  OtherProcess other(path_);
  other.Spoil();
  EXPECT_FALSE(TryToRead(*server));
  EXPECT_FALSE(Try(*server, Register(0, kKeyA)));
  EXPECT_EQ(listener_.failures, 0);
  EXPECT_EQ(Send(*server, Register(0, kKeyA)), ScsiStatus::kCheckCondition);
  EXPECT_EQ(listener_.failures, 1);
  other.Heal();
  EXPECT_FALSE(Try(*server, Register(0, kKeyA)));
  EXPECT_EQ(Send(*server, Register(0, kKeyA)), kGood);
  EXPECT_TRUE(Try(*server, Register(kKeyA, kKeyB)));
}

}  // namespace
}  // namespace scsi_pr
