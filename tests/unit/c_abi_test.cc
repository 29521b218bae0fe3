// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs the checks of c_abi_test.c, which a C compiler has compiled.
#include "c_abi_test.h"

#include <cstring>
#include <future>

#include "fake_agent.h"
#include "scsi-pr/scsi-pr.h"
#include "store/store.h"
#include "temporary_directory.h"
#include "testing.h"

namespace {

// What the gate says to a command that leaves again at once.
ScsiPrAdmission Pass(ScsiPrDevice* device, std::vector<uint8_t> cdb) {
  cdb.resize(10);
  ScsiPrTask task = {};
  const ScsiPrAdmission admission = scsi_pr_enter(device, cdb.data(), cdb.size(), &task);
  EXPECT_EQ(task.entered, admission == SCSI_PR_ADMITTED);
  scsi_pr_leave(device, &task);
  return admission;
}

// Neither of these is a conflict, nor counted as one: the command may run a moment later.
TEST(CAbi, Suspended) {
  using scsi_pr::AccessClass;
  using scsi_pr::Bit;
  using scsi_pr::Store;
  constexpr uint8_t kInquiry = 0x12;
  constexpr uint8_t kReserveOut = 0x5F;
  constexpr uint8_t kWrite = 0x2A;
  ScsiPrConfig config = {};
  config.store = "memory:c-abi-suspended";
  config.initiator = "naa.5000000000000001";
  config.target_port = 1;
  config.owner = "test";
  ScsiPrError error = {};
  ScsiPrDevice* device = scsi_pr_device_new(&config, &error);
  ASSERT_NE(device, nullptr) << error.message;
  std::shared_ptr<Store> store;
  ASSERT_TRUE(Store::Open(config.store, Store::OpenMode::kCreate, &store).ok());
  // The next slot is that of who attaches next.
  scsi_pr::GateSlot* after = nullptr;
  ASSERT_TRUE(
      store->Attach(scsi_pr::testing::B(), "test", Store::AttachMode::kNew, nullptr, &after).ok());
  scsi_pr::GateSlot& slot = after[-1];
  ASSERT_TRUE(slot.attached());

  for (const uint64_t until : {uint64_t{0}, scsi_pr::BootTime()}) {
    slot.SetAdmitUntil(until);
    EXPECT_EQ(Pass(device, {kWrite}), SCSI_PR_SUSPENDED);
    EXPECT_EQ(Pass(device, {kInquiry}), SCSI_PR_SUSPENDED);
    EXPECT_EQ(Pass(device, {kReserveOut}), SCSI_PR_EXECUTE) << "the store knows";
  }
  EXPECT_EQ(slot.admission().in_flight(), 0u);
  slot.SetAdmitUntil(scsi_pr::kNoDeadline);
  EXPECT_EQ(Pass(device, {kWrite}), SCSI_PR_ADMITTED);

  slot.Hold(Bit(AccessClass::kUnrestricted) | Bit(AccessClass::kReservation));
  EXPECT_EQ(Pass(device, {kWrite}), SCSI_PR_SUSPENDED);
  EXPECT_EQ(Pass(device, {kInquiry}), SCSI_PR_ADMITTED);
  EXPECT_EQ(Pass(device, {kReserveOut}), SCSI_PR_EXECUTE);
  slot.Hold(0);
  EXPECT_EQ(Pass(device, {kReserveOut}), SCSI_PR_SUSPENDED);

  char* info = scsi_pr_inspect(device);
  EXPECT_NE(strstr(info, "\"conflicts\":0"), nullptr) << info;
  EXPECT_NE(strstr(info, "\"suspended\":6"), nullptr) << info;
  scsi_pr_text_free(info);
  slot.SetAccess(Bit(AccessClass::kRead));
  EXPECT_EQ(Pass(device, {kWrite}), SCSI_PR_CONFLICT);
  store->Detach(after);
  scsi_pr_device_free(device);
}

// An administrator fences, and a host had not answered.
TEST(CAbi, Proved) {
  scsi_pr::testing::OneHost host;
  host.agent.proofs =
      nlohmann::json::array({{{"host", "h2"}, {"proof", "storage"}, {"text", "/usr/bin/fence"}}});
  std::vector<std::string> proved;
  ScsiPrEvents events = {};
  events.proved = [](void* opaque, const char* json) {
    static_cast<std::vector<std::string>*>(opaque)->emplace_back(json);
  };
  const std::string store = "cluster:" + host.cluster.name;
  ScsiPrConfig config = {};
  config.store = store.c_str();
  config.runtime_dir = host.runtime.path().c_str();
  config.initiator = "naa.5000000000000001";
  config.target_port = 1;
  config.owner = "test";
  config.events = &events;
  config.opaque = &proved;
  ScsiPrError error = {};
  ScsiPrDevice* device = scsi_pr_device_new(&config, &error);
  ASSERT_NE(device, nullptr) << error.message;
  scsi_pr::State state;
  state.registrations.push_back({scsi_pr::testing::A(), scsi_pr::testing::kKeyA});
  host.agent.ChangeState(state);
  std::promise<std::string> done;
  const auto on_done = [](void* opaque, const ScsiPrError* why) {
    static_cast<std::promise<std::string>*>(opaque)->set_value(why != nullptr ? why->message : "");
  };
  scsi_pr_preempt(device, scsi_pr::testing::kKeyA, on_done, &done);
  EXPECT_EQ(done.get_future().get(), "");
  EXPECT_EQ(proved, std::vector<std::string>(
                        {R"([{"host":"h2","proof":"storage","text":"/usr/bin/fence"}])"}));
  scsi_pr_device_free(device);
}

TEST(CAbi, DevicesOfOneMemoryStore) {
  EXPECT_STREQ(c_abi_check_devices("memory:c-abi-test"), nullptr);
}
TEST(CAbi, DevicesOfOneFileStore) {
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_devices(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, Resets) {
  EXPECT_STREQ(c_abi_check_reset("memory:c-abi-reset"), nullptr);
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_reset(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, Administration) {
  const scsi_pr::testing::TemporaryDirectory directory;
  EXPECT_STREQ(c_abi_check_administration(("file:" + (directory / "lu.pr")).c_str()), nullptr);
}
TEST(CAbi, HandOver) { EXPECT_STREQ(c_abi_check_hand_over(), nullptr); }
TEST(CAbi, FencedSince) { EXPECT_STREQ(c_abi_check_fenced_since("memory:c-abi-since"), nullptr); }
TEST(CAbi, Reports) { EXPECT_STREQ(c_abi_check_reports(), nullptr); }
TEST(CAbi, Errors) { EXPECT_STREQ(c_abi_check_errors(), nullptr); }
TEST(CAbi, SameNexusTwice) { EXPECT_STREQ(c_abi_check_same_nexus("memory:c-abi-same"), nullptr); }

}  // namespace
