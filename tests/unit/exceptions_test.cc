// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever a store, a change or a listener throws: the thread of a device server lives on, who
// waits is told, and the next command is carried out.
#include <gtest/gtest.h>

#include <stdexcept>

#include "attached_store.h"
#include "hand_over.h"
#include "server/administration.h"
#include "server/device_server.h"

namespace scsi_pr {
namespace {

using namespace testing;

// Another store, but for what throws while `throws` is set.
class ThrowingStore : public Store {
 public:
  explicit ThrowingStore(std::shared_ptr<Store> store)
      : Store("memory:"), store_(std::move(store)) {}

  Capabilities capabilities() const override { return store_->capabilities(); }
  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode, NexusListener* listener,
                GateSlot** slot) override {
    return Throw(), store_->Attach(nexus, owner, mode, listener, slot);
  }
  void Detach(GateSlot* slot) override { store_->Detach(slot); }
  Status Identify(StoreIdentity* identity) override { return Throw(), store_->Identify(identity); }
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override {
    return Throw(), store_->HandOver(slot, is_owner, handed);
  }
  Status Arrive(GateSlot* slot, HandedOver* handed) override {
    return Throw(), store_->Arrive(slot, handed);
  }
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override {
    return store_->TakeOver(slot, tenure);
  }
  bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const override {
    return store_->MayBeFencedSince(slot, handed);
  }
  Status SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) override {
    return Throw(), store_->SetMedium(slot, medium, name);
  }
  Status Read(std::shared_ptr<const Record>* record) override {
    return Throw(), store_->Read(record);
  }
  Status Look(Snapshot* snapshot) override { return Throw(), store_->Look(snapshot); }
  std::vector<Attachment> Attached() override { return store_->Attached(); }
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override {
    return Throw(), store_->Update(transition, waiting, outcome);
  }
  bool TryRead(std::shared_ptr<const Record>* record) override {
    return Throw(), store_->TryRead(record);
  }
  bool TryUpdate(const Transition& transition, Outcome* outcome) override {
    return Throw(), store_->TryUpdate(transition, outcome);
  }

  bool throws = false;

 private:
  void Throw() const {
    if (throws) throw std::runtime_error("thrown by a test");
  }

  const std::shared_ptr<Store> store_;
};

class ExceptionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::shared_ptr<Store> memory;
    ASSERT_TRUE(Store::Open("memory:", Store::OpenMode::kCreate, &memory).ok());
    store_ = std::make_shared<ThrowingStore>(memory);
    a_ = Open(A(), {.listener = &listener_});
  }
  std::unique_ptr<DeviceServer> Open(const Nexus& nexus, DeviceServer::Options options) {
    std::unique_ptr<DeviceServer> server;
    EXPECT_TRUE(DeviceServer::Open(store_, nexus, "test", std::move(options), &server).ok());
    return server;
  }

  Owner listener_;
  std::shared_ptr<ThrowingStore> store_;
  std::unique_ptr<DeviceServer> a_;
};

TEST_F(ExceptionsTest, CommandsEndInInternalTargetFailure) {
  store_->throws = true;
  const Command command = Register(0, kKeyA);
  for (const Response& response : {Execute(*a_, OutCdb(command), OutData(command)),
                                   Execute(*a_, InCdb(InAction::kReadKeys, 8))}) {
    EXPECT_EQ(response.status, ScsiStatus::kCheckCondition);
    EXPECT_EQ(response.sense, sense::kInternalTargetFailure);
  }
  const std::vector<std::string> told = listener_.TakeFailures();
  ASSERT_EQ(told.size(), 2u);
  EXPECT_NE(told[0].find("thrown by a test"), std::string::npos) << "the administrator is told why";
  store_->throws = false;
  EXPECT_EQ(Send(*a_, command), ScsiStatus::kGood);
}

TEST_F(ExceptionsTest, InspectionShowsAnError) {
  store_->throws = true;
  const nlohmann::json info = a_->Inspect();
  EXPECT_NE(info.at("error").get<std::string>().find("thrown by a test"), std::string::npos);
  EXPECT_EQ(info.at("store"), "memory:");
}

TEST_F(ExceptionsTest, HandingOverFailsAndTheOwnerStays) {
  std::string text;
  store_->throws = true;
  EXPECT_EQ(a_->HandOver(&text).code(), Status::Code::kIo);
  EXPECT_TRUE(Writes(*a_));
  store_->throws = false;
  EXPECT_TRUE(a_->HandOver(&text).ok());
}

// The right to change is given back, and the gate is as it was.
TEST_F(ExceptionsTest, TransitionThatThrows) {
  std::promise<void> done;
  a_->Administer([&](Store& store, const Store::Waiting&) {
    Outcome outcome;
    EXPECT_THROW(
        static_cast<void>(store.Update(
            [](const State&) -> Outcome { throw std::runtime_error("by a test"); }, {}, &outcome)),
        std::runtime_error);
    done.set_value();
    throw 1;  // of no type that says anything
  });
  done.get_future().get();
  EXPECT_EQ(Send(*a_, Register(0, kKeyA)), ScsiStatus::kGood);
  EXPECT_TRUE(Writes(*a_));
}

TEST_F(ExceptionsTest, ListenerThatThrowsWhenAFencingBegins) {
  struct Throws : NexusListener {
    void AbortTasks() override {}
    void Preempted() override {}
    void FencingBegun() override { throw std::runtime_error("by a test"); }
  } listener;
  DeviceServer::Options options;
  options.listener = &listener;
  const auto b = Open(B(), std::move(options));
  ASSERT_EQ(Send(*a_, Register(0, kKeyA)), ScsiStatus::kGood);
  ASSERT_EQ(Send(*b, Register(0, kKeyB)), ScsiStatus::kGood);
  EXPECT_EQ(Send(*b, PreemptAndAbort(kKeyB, kKeyA, kWE)), ScsiStatus::kCheckCondition);
  EXPECT_TRUE(Writes(*a_));
  EXPECT_EQ(Send(*a_, Register(kKeyA, 1)), ScsiStatus::kGood) << "its registration has stayed";
}

}  // namespace
}  // namespace scsi_pr
