// SPDX-License-Identifier: GPL-2.0-or-later
//
// DeviceServer: bytes in, status and bytes out, in the order they came.
#include "server/device_server.h"

#include <future>
#include <nlohmann/json.hpp>

#include "store/range_lock.h"
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
    const Status status = DeviceServer::Open(store, nexus, "test", &server);
    EXPECT_TRUE(status.ok()) << status.message();
    return server;
  }
  static Response Execute(DeviceServer& server, ByteVector cdb, ByteVector data = {}) {
    std::promise<Response> promise;
    server.Execute(std::move(cdb), std::move(data),
                   [&](const Response& response) { promise.set_value(response); });
    return promise.get_future().get();
  }
  static ScsiStatus Send(DeviceServer& server, const PersistentReserveOut& command) {
    return Execute(server, OutCdb(command), OutData(command)).status;
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "lu.pr";
  const std::string uri_ = "file:" + path_;
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
      {{0x5F, 8, 0, 0, 0, 0, 0, 0, 24, 0}, ByteVector(24), sense::kInvalidFieldInCdb},
      {{0x5F, 0, 0, 0, 0, 0, 0, 0, 24, 0}, {}, sense::kParameterListLengthError},
      {{0x5F, 0, 0, 0, 0, 0, 0, 0, 23, 0}, ByteVector(23), sense::kParameterListLengthError},
      {{0x16, 0, 0, 0, 0, 0}, {}, sense::kInvalidCommandOperationCode},
      {{0x57, 0, 0, 0, 0, 0, 0, 0, 0, 0}, {}, sense::kInvalidCommandOperationCode},
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

TEST_F(ServerTest, Inspect) {
  const auto server = Open(A());
  Send(*server, Register(0, kKeyA));
  std::promise<nlohmann::json> promise;
  server->Inspect([&](const nlohmann::json& info) { promise.set_value(info); });
  const nlohmann::json info = promise.get_future().get();
  EXPECT_EQ(info.at("initiator"), A().initiator.ToText());
  EXPECT_EQ(info.at("target-port"), 1);
  EXPECT_EQ(info.at("state").at("registrations").at(0).at("key"), "0x000000000000000a");
  EXPECT_EQ(info.at("attached").at(0).at("owner"), "test");
  EXPECT_FALSE(info.contains("error"));
}

// A store that fails: a check condition, and the reason for people.
TEST_F(ServerTest, FailingStore) {
  const auto server = Open(A());
  EXPECT_EQ(Send(*server, Register(0, kKeyA)), kGood);
  EXPECT_TRUE(server->last_status().ok());
  std::filesystem::rename(path_, directory_ / "aside");
  const Response out = Execute(*server, OutCdb(Clear(kKeyA)), OutData(Clear(kKeyA)));
  EXPECT_EQ(out.status, ScsiStatus::kCheckCondition);
  EXPECT_EQ(out.sense, sense::kInternalTargetFailure);
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).sense,
            sense::kInternalTargetFailure);
  EXPECT_FALSE(server->last_status().ok());
  std::filesystem::rename(directory_ / "aside", path_);
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).data.size(), 16u);
  EXPECT_TRUE(server->last_status().ok());
}

// Another process holds the change lock (byte 0 of store/file_store.h) and
// does not let go: BUSY in time, nothing changed. This one waits kPatience.
TEST_F(ServerTest, BusyWhenAnotherProcessDoesNotFinish) {
  // Another open file description counts as another process. Closing it drops
  // this process's SQLite locks: it goes after the server.
  std::unique_ptr<RangeLock> other;
  const auto server = Open(A());
  Send(*server, Register(0, kKeyA));
  ASSERT_TRUE(RangeLock::Open(path_, &other).ok());
  ASSERT_TRUE(other->TryLock(0));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Send(*server, Clear(kKeyA)), ScsiStatus::kBusy);
  EXPECT_GE(std::chrono::steady_clock::now() - start, Store::kPatience);
  EXPECT_EQ(server->last_status().code(), Status::Code::kBusy);
  EXPECT_TRUE(server->Admits(AccessClass::kWrite)) << "admission does not wait";
  other->Unlock(0);
  EXPECT_EQ(Execute(*server, InCdb(InAction::kReadKeys, 100)).data.size(), 16u);
}

}  // namespace
}  // namespace scsi_pr
