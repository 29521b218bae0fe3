// SPDX-License-Identifier: GPL-2.0-or-later
//
// DeviceServer: bytes in, status and bytes out, in the order they came.
#include "server/device_server.h"

#include <future>
#include <nlohmann/json.hpp>

#include "execute.h"
#include "failure_counter.h"
#include "other_process.h"
#include "server/administration.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr {
namespace {

using namespace testing;

class ServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<DeviceServer> Open(const Nexus& nexus) {
    std::shared_ptr<Store> store;
    EXPECT_TRUE(Store::Open(uri_, Store::OpenMode::kCreate, &store).ok());
    std::unique_ptr<DeviceServer> server;
    const Status status = DeviceServer::Open(store, nexus, "test", options_, &server);
    EXPECT_TRUE(status.ok()) << status.message();
    return server;
  }
  static ScsiStatus Send(DeviceServer& server, const PersistentReserveOut& command) {
    return Execute(server, OutCdb(command), OutData(command)).status;
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "lu.pr";
  const std::string uri_ = "file:" + path_;
  FailureCounter listener_;
  DeviceServer::Options options_{.listener = &listener_};
};

constexpr auto kGood = ScsiStatus::kGood;

TEST_F(ServerTest, ChangesAreEffectiveWithTheStatus) {
  Clause("5.6.1: completion");
  const auto a = Open(A());
  const auto b = Open(B());
  EXPECT_EQ(Send(*a, Register(0, kKeyA)), kGood);
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kEA)), kGood);
  EXPECT_TRUE(a->Admits(AccessClass::kWrite));
  EXPECT_FALSE(b->Admits(AccessClass::kRead));
  EXPECT_EQ(Send(*b, Reserve(kKeyB, kEA)), ScsiStatus::kReservationConflict);
}

TEST_F(ServerTest, UnitAttention) {
  Clause("5.6.8.4.3: e");
  const auto a = Open(A());
  const auto b = Open(B());
  Send(*a, Register(0, kKeyA));
  Send(*b, Register(0, kKeyB));
  Send(*a, Clear(kKeyA));
  EXPECT_EQ(b->TakeUnitAttention(), sense::kReservationsPreempted);
  EXPECT_EQ(b->TakeUnitAttention(), std::nullopt);
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
}

// In the order they came, and all before the destructor returns.
TEST_F(ServerTest, Order) {
  constexpr int kCommands = 50;
  std::vector<int> order;
  std::vector<ScsiStatus> statuses;
  auto server = Open(A());
  for (int i = 0; i < kCommands; i++) {
    const Command command = Register(static_cast<uint64_t>(i), static_cast<uint64_t>(i + 1));
    server->Execute(OutCdb(command), OutData(command), [&, i](const Response& response) {
      order.push_back(i);
      statuses.push_back(response.status);
    });
  }
  server.reset();
  ASSERT_EQ(order.size(), static_cast<size_t>(kCommands));
  EXPECT_TRUE(std::ranges::is_sorted(order));
  EXPECT_EQ(statuses, std::vector<ScsiStatus>(kCommands, kGood));
}

// 6.11.3: cut to the allocation length, the length inside not adjusted.
TEST_F(ServerTest, AllocationLength) {
  Clause("6.11.3: ADDITIONAL LENGTH", "6.11.1");
  const auto server = Open(A());
  Send(*server, Register(0, kKeyA));
  const ByteVector whole = {0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0xA};
  for (uint16_t length = 0; length <= 20; length++) {
    const Response response = Execute(*server, InCdb(InAction::kReadKeys, length));
    EXPECT_EQ(response.status, kGood);
    ByteVector expected = whole;
    expected.resize(std::min<size_t>(length, whole.size()));
    EXPECT_EQ(response.data, expected);
  }
}

TEST_F(ServerTest, EveryServiceActionIn) {
  const auto server = Open(A());
  const std::pair<InAction, size_t> kLengths[] = {{InAction::kReadKeys, 8},
                                                  {InAction::kReadReservation, 8},
                                                  {InAction::kReportCapabilities, 8},
                                                  {InAction::kReadFullStatus, 8}};
  for (const auto& [action, length] : kLengths) {
    EXPECT_EQ(Execute(*server, InCdb(action, 65535)).data.size(), length);
  }
}

TEST_F(ServerTest, Refusals) {
  const auto server = Open(A());
  struct Row {
    ByteVector cdb, data;
    Sense sense;
  };
  const Row kRows[] = {
      {{}, {}, sense::kInvalidCommandOperationCode},
      {ByteVector(10), {}, sense::kInvalidCommandOperationCode},
      {{0x5E}, {}, sense::kInvalidFieldInCdb},
      {{0x5E, 4, 0, 0, 0, 0, 0, 0, 8, 0}, {}, sense::kInvalidFieldInCdb},
      {{0x5F, 7, 0, 0, 0, 0, 0, 0, 24, 0}, ByteVector(24), sense::kInvalidFieldInParameterList},
      {{0x5F, 8, 0, 0, 0, 0, 0, 0, 24, 0},
       ByteVector(24),
       sense::kInvalidReleaseOfPersistentReservation},
      {{0x5F, 9, 0, 0, 0, 0, 0, 0, 24, 0}, ByteVector(24), sense::kInvalidFieldInCdb},
      {{0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0}, {}, sense::kParameterListLengthError},
      {{0x5F, 0, 0, 0, 0, 0, 0, 0, 23, 0}, ByteVector(23), sense::kParameterListLengthError},
      {{0x16, 0x10, 0, 0, 0, 0}, {}, sense::kInvalidFieldInCdb},
      {{0x57, 0x10, 0, 0, 0, 0, 0, 0, 0, 0}, {}, sense::kInvalidFieldInCdb},
  };
  for (const Row& row : kRows) {
    const Response response = Execute(*server, row.cdb, row.data);
    EXPECT_EQ(response.status, ScsiStatus::kCheckCondition);
    EXPECT_EQ(response.sense, row.sense);
    EXPECT_TRUE(response.data.empty());
  }
}

// 5.6.2, through all four operation codes.
TEST_F(ServerTest, ReserveAndReleaseOfSpc2) {
  Clause("5.6.2: holder", "5.6.2: all other cases");
  const auto a = Open(A());
  const auto b = Open(B());
  Send(*a, Register(0, kKeyA));
  Send(*a, Reserve(kKeyA, kWE));
  for (uint8_t code : {0x16, 0x17, 0x56, 0x57}) {
    EXPECT_EQ(Execute(*a, {code, 0, 0, 0, 0, 0, 0, 0, 0, 0}).status, kGood);
    EXPECT_EQ(Execute(*b, {code, 0, 0, 0, 0, 0, 0, 0, 0, 0}).status,
              ScsiStatus::kReservationConflict);
  }
  EXPECT_FALSE(b->Admits(AccessClass::kWrite)) << "RELEASE released nothing";
}

constexpr auto kConflict = ScsiStatus::kReservationConflict;
const ByteVector kReserve6 = {0x16, 0, 0, 0, 0, 0};
const ByteVector kRelease6 = {0x17, 0, 0, 0, 0, 0};

// SPC-2, through all four operation codes.
TEST_F(ServerTest, LegacyReservation) {
  const ByteVector kReserves[] = {kReserve6, {0x56, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
  const ByteVector kReleases[] = {kRelease6, {0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0}};
  const auto a = Open(A());
  const auto b = Open(B());
  for (const ByteVector& reserve : kReserves) {
    for (const ByteVector& release : kReleases) {
      EXPECT_EQ(Execute(*a, reserve).status, kGood);
      EXPECT_EQ(Execute(*b, reserve).status, kConflict);
      EXPECT_EQ(Execute(*b, release).status, kGood);
      EXPECT_FALSE(b->Admits(AccessClass::kTestUnitReady)) << "it released nothing";
      EXPECT_EQ(Execute(*a, release).status, kGood);
      EXPECT_TRUE(b->Admits(AccessClass::kWrite));
    }
  }
}

// SPC-2 5.5.1: from the holder too.
TEST_F(ServerTest, PersistentReserveUnderLegacyReservation) {
  const auto a = Open(A());
  const auto b = Open(B());
  Execute(*a, kReserve6);
  for (DeviceServer* server : {a.get(), b.get()}) {
    for (uint8_t action = 0; action < 4; action++) {
      const Response in = Execute(*server, InCdb(static_cast<InAction>(action), 100));
      EXPECT_EQ(in.status, kConflict);
      EXPECT_TRUE(in.data.empty());
    }
    EXPECT_EQ(Send(*server, Register(0, kKeyA)), kConflict);
  }
}

// Whoever leaves takes its reservation along, before it is gone.
TEST_F(ServerTest, LegacyReservationEndsWithTheServer) {
  auto a = Open(A());
  const auto b = Open(B());
  Execute(*a, kReserve6);
  EXPECT_FALSE(b->Admits(AccessClass::kRead));
  a.reset();
  EXPECT_TRUE(b->Admits(AccessClass::kWrite));
  EXPECT_EQ(b->TakeUnitAttention(), std::nullopt);
}

// Behind what was submitted; a reservation command is behind it in turn.
TEST_F(ServerTest, Resets) {
  const auto a = Open(A());
  const auto b = Open(B());
  Execute(*a, kReserve6);
  b->ResetOccurred(Reset::kNexusLoss);
  EXPECT_EQ(Execute(*b, kReserve6).status, kConflict) << "not its own";
  a->ResetOccurred(Reset::kNexusLoss);
  Execute(*a, kRelease6);
  EXPECT_EQ(Execute(*b, kReserve6).status, kGood);
  a->ResetOccurred(Reset::kLogicalUnit);
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  EXPECT_EQ(b->TakeUnitAttention(), sense::kBusDeviceResetFunctionOccurred);
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt);
  a->ResetOccurred(Reset::kLogicalUnit);
  Execute(*a, kRelease6);
  EXPECT_EQ(a->TakeUnitAttention(), std::nullopt) << "its own reset is no news";
}

// Nothing held, nothing to do: not even a store that fails is asked.
TEST_F(ServerTest, ResetsWithoutALegacyReservation) {
  const auto a = Open(A());
  Send(*a, Register(0, kKeyA));
  OtherProcess other(path_);
  other.Spoil();
  for (Reset reset : {Reset::kNexusLoss, Reset::kLogicalUnit}) a->ResetOccurred(reset);
  EXPECT_EQ(Execute(*a, InCdb(InAction::kReadKeys, 8)).sense, sense::kInternalTargetFailure);
  EXPECT_EQ(listener_.failures, 1) << "told by what is first to find the store so";
  other.Heal();
  EXPECT_EQ(Send(*a, Reserve(kKeyA, kWE)), kGood) << "registrations stay";
}

// The holder's process was killed, and this one sends nothing but I/O.
TEST_F(ServerTest, RefusedCommandsFindOutThatTheHolderIsGone) {
  std::shared_ptr<Store> store;
  ASSERT_TRUE(Store::Open(uri_, Store::OpenMode::kCreate, &store).ok());
  const auto b = Open(B());
  GateSlot* slot = nullptr;
  ASSERT_TRUE(store->Attach(A(), "test", Store::AttachMode::kNew, nullptr, &slot).ok());
  Outcome outcome;
  ASSERT_TRUE(
      store
          ->Update(
              [](const State& state) { return ApplyLegacy(state, A(), LegacyAction::kReserve); },
              {}, &outcome)
          .ok());
  const auto look = [&] {
    for (int i = 0; i < 3; i++) b->Refused(Admission::WhyNot::kNoAccess);
    Settle(*b);
  };
  look();
  EXPECT_FALSE(b->Admits(AccessClass::kWrite)) << "it lives";
  store->Detach(slot);
  EXPECT_FALSE(b->Admits(AccessClass::kWrite)) << "nobody has looked";
  b->Refused(Admission::WhyNot::kNoAccess);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!b->Admits(AccessClass::kWrite) && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_TRUE(b->Admits(AccessClass::kWrite));
}

// SPC-4 5.13.5.3.2.
TEST_F(ServerTest, LostInformation) {
  std::shared_ptr<Store> store;
  ASSERT_TRUE(Store::Open(uri_, Store::OpenMode::kCreate, &store).ok());
  const auto a = Open(A());
  Send(*a, Register(0, kKeyA));
  EXPECT_EQ(a->Refuses(AccessClass::kTestUnitReady), std::nullopt);
  Outcome outcome;
  const auto lose = [](State state) {
    state.information_lost = true;
    return Unchanged(state, ScsiStatus::kGood);
  };
  ASSERT_TRUE(store->Update(lose, {}, &outcome).ok());
  EXPECT_EQ(a->Refuses(AccessClass::kTestUnitReady), Admission::WhyNot::kInformationLost);
  EXPECT_TRUE(a->Admits(AccessClass::kWriteBuffer));
  const Response keys = Execute(*a, InCdb(InAction::kReadKeys, 100));
  EXPECT_EQ(keys.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(keys.sense, sense::kPersistentReservationInformationLost);
  EXPECT_EQ(Execute(*a, kReserve6).sense, sense::kPersistentReservationInformationLost);
  EXPECT_EQ(Send(*a, ReplaceLost(kKeyB, kWE)), kGood);
  EXPECT_TRUE(a->Admits(AccessClass::kWrite));
}

TEST_F(ServerTest, Inspect) {
  const auto server = Open(A());
  Send(*server, Register(0, kKeyA));
  const nlohmann::json info = server->Inspect();
  EXPECT_EQ(info.at("initiator"), A().initiator.ToText());
  EXPECT_EQ(info.at("target-port"), 1);
  EXPECT_EQ(info.at("state").at("registrations").at(0).at("key"), "0x000000000000000a");
  const nlohmann::json attached = info.at("attached").at(0);
  EXPECT_EQ(attached.at("owner"), "test");
  EXPECT_EQ(attached.at("live"), true);
  EXPECT_EQ(attached.at("commands"), 0);
  EXPECT_EQ(attached.at("being-fenced"), false);
  EXPECT_FALSE(info.contains("error"));
}

// A store that fails: a check condition, and the reason for people.
TEST_F(ServerTest, FailingStore) {
  const auto server = Open(A());
  EXPECT_EQ(Send(*server, Register(0, kKeyA)), kGood);
  OtherProcess other(path_);
  other.Spoil();
  const Response out = Execute(*server, OutCdb(Clear(kKeyA)), OutData(Clear(kKeyA)));
  EXPECT_EQ(out.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(out.sense, sense::kInternalTargetFailure);
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).sense, sense::kInternalTargetFailure);
  other.Heal();
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).data.size(), 16u);
}

// A reset whose effect the store keeps away from is no command that could say so.
TEST_F(ServerTest, ResetsTellThatTheStoreFails) {
  const auto a = Open(A());
  EXPECT_EQ(Execute(*a, kReserve6).status, kGood);
  OtherProcess other(path_);
  other.Spoil();
  a->ResetOccurred(Reset::kNexusLoss);
  Settle(*a);
  EXPECT_EQ(a->Inspect().contains("error"), true);
  EXPECT_EQ(listener_.failures, 1);
  other.Heal();
}

nlohmann::json OutCounts(const nlohmann::json& statistics) {
  return statistics.at("persistent-reserve-out");
}

TEST_F(ServerTest, Statistics) {
  const auto a = Open(A());
  const auto b = Open(B());
  const nlohmann::json before = a->Inspect().at("statistics");
  EXPECT_EQ(before.at("conflicts"), 0);
  EXPECT_EQ(before.at("fencings"), 0);
  EXPECT_TRUE(OutCounts(before).empty());

  Send(*a, Register(0, kKeyA));
  Send(*a, Register(kKeyA, kKeyB));
  Send(*a, Register(0, kKeyA));  // conflicts
  Execute(*a, {0x5F, 0x00, 0, 0, 0, 0, 0, 0, 23, 0}, ByteVector(23));
  Execute(*a, {0x5F, 0x1F, 0, 0, 0, 0, 0, 0, 24, 0}, ByteVector(24));
  Send(*b, Register(0, kKeyC));
  Send(*a, PreemptAndAbort(kKeyB, kKeyC, kWE));
  Execute(*b, kReserve6);  // conflicts: somebody is registered
  b->Refused(Admission::WhyNot::kNoAccess);
  b->Refused(Admission::WhyNot::kHeld);
  b->Refused(Admission::WhyNot::kDeadline);
  b->Refused(Admission::WhyNot::kNotOwner);
  b->Refused(Admission::WhyNot::kInformationLost);
  const nlohmann::json of_a = a->Inspect().at("statistics");
  EXPECT_EQ(of_a.at("conflicts"), 1);
  EXPECT_EQ(OutCounts(of_a),
            (nlohmann::json{{{"action", "register"}, {"count", 4}, {"failed", 2}},
                            {{"action", "preempt-and-abort"}, {"count", 1}, {"failed", 0}}}));
  EXPECT_EQ(of_a.at("fencings"), 1);
  EXPECT_EQ(of_a.at("fencings-failed"), 0);
  EXPECT_EQ(b->Inspect().at("statistics").at("conflicts"), 2);
  EXPECT_EQ(b->Inspect().at("statistics").at("suspended"), 2);
}

// How long it waited, and that a fencing that was given up counts as failed.
TEST_F(ServerTest, StatisticsOfFencings) {
  options_.abort_timeout = std::chrono::milliseconds(30);
  const auto a = Open(A());
  const auto b = Open(B());
  Send(*a, Register(0, kKeyA));
  Send(*b, Register(0, kKeyB));
  const auto write = b->Enter(AccessClass::kWrite);
  EXPECT_EQ(Send(*a, PreemptAndAbort(kKeyA, kKeyB, kWE)), ScsiStatus::kBusy);
  b->Leave(*write);
  EXPECT_EQ(Send(*a, PreemptAndAbort(kKeyA, kKeyB, kWE)), kGood);
  const nlohmann::json statistics = a->Inspect().at("statistics");
  EXPECT_EQ(statistics.at("fencings"), 2);
  EXPECT_EQ(statistics.at("fencings-failed"), 1);
  EXPECT_GE(statistics.at("longest-drain-time"), 30);
  EXPECT_LE(statistics.at("last-drain-time"), statistics.at("longest-drain-time"));
}

// While the server waits for others, whoever looks does not.
TEST_F(ServerTest, InspectDoesNotQueue) {
  options_.abort_timeout = std::chrono::seconds(30);
  struct Listener : NexusListener {
    void AbortTasks() override {}
    void Preempted() override {}
    void FencingBegun() override { begun.set_value(); }
    std::promise<void> begun;
  } listener;
  options_.listener = &listener;
  const auto a = Open(A());
  options_.listener = &listener_;
  const auto b = Open(B());
  Send(*a, Register(0, kKeyA));
  Send(*b, Register(0, kKeyB));
  const auto write = b->Enter(AccessClass::kWrite);
  std::promise<ScsiStatus> ended;
  const PersistentReserveOut fencing = PreemptAndAbort(kKeyA, kKeyB, kWE);
  a->Execute(OutCdb(fencing), OutData(fencing),
             [&](const Response& response) { ended.set_value(response.status); });
  listener.begun.get_future().wait();
  // The gate of B is shut right after that.
  while (a->Inspect().at("attached").at(1).at("being-fenced") == false) std::this_thread::yield();
  EXPECT_EQ(a->Inspect().at("state").at("registrations").size(), 2u) << "not committed";
  b->Leave(*write);
  EXPECT_EQ(ended.get_future().get(), kGood);
  EXPECT_EQ(a->Inspect().at("state").at("registrations").size(), 1u);
}

// By way of a device server, behind its commands, and counted as its own.
TEST_F(ServerTest, Administer) {
  const auto a = Open(A());
  const ByteVector cdb = OutCdb(Register(0, kKeyA));
  a->Execute(cdb, OutData(Register(0, kKeyA)), [](const Response&) {});
  std::promise<Status> promise;
  a->Administer([&](Store& store, const Store::Waiting& waiting) {
    promise.set_value(administration::Preempt(store, kKeyA, waiting));
  });
  EXPECT_TRUE(promise.get_future().get().ok());
  EXPECT_EQ(a->TakeUnitAttention(), sense::kRegistrationsPreempted);
  EXPECT_EQ(a->Inspect().at("statistics").at("fencings"), 1);
}

// Another process holds the change lock (byte 0 of store/file_store.h) and
// does not let go: BUSY in time, nothing changed. This one waits kPatience.
TEST_F(ServerTest, BusyWhenAnotherProcessDoesNotFinish) {
  const auto server = Open(A());
  Send(*server, Register(0, kKeyA));
  OtherProcess other(path_);
  ASSERT_EQ(other.locks().TryLockChange(), Locked::kYes);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Send(*server, Clear(kKeyA)), ScsiStatus::kBusy);
  EXPECT_GE(std::chrono::steady_clock::now() - start, Store::kPatience);
  EXPECT_TRUE(server->Admits(AccessClass::kWrite)) << "admission does not wait";
  other.locks().UnlockChange();
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).data.size(), 16u);
}

}  // namespace
}  // namespace scsi_pr
