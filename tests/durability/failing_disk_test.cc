// SPDX-License-Identifier: GPL-2.0-or-later
//
// A disk that fails at every call of every change: the change is refused and
// nothing has happened, for whoever looks and after whatever death; and when the
// disk works again, so does the store.
#include "../process/fixture.h"
#include "aftermath.h"
#include "changes.h"
#include "core/document.h"
#include "faults.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;

// A and B are this process's, C another one's, whose disk does not fail.
class FailingDiskTest : public ProcessTest {
 protected:
  void SetUp() override {
    Store::OpenOptions options(Store::OpenMode::kCreate);
    options.runtime_directory = runtime_.path();
    ASSERT_TRUE(Store::Open(uri_, options, &store_).ok());
    ASSERT_TRUE(store_->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &a_).ok());
    ASSERT_TRUE(store_->Attach(B(), "b", Store::AttachMode::kNew, nullptr, &b_).ok());
    c_ = Attached(3);
  }
  void TearDown() override {
    store_->Detach(a_);
    store_->Detach(b_);
    store_.reset();
  }

  Status Send(const Change::Function& change, ScsiStatus* status) {
    Outcome outcome;
    const Status result = store_->Update(change, {}, &outcome);
    *status = outcome.status;
    return result;
  }
  void Good(const Change::Function& change) {
    ScsiStatus status{};
    const Status result = Send(change, &status);
    ASSERT_TRUE(result.ok()) << result.message();
    ASSERT_EQ(status, ScsiStatus::kGood);
  }
  void Prepare(const Change& change) {
    Good(MakeEmpty);
    for (const auto& each : change.before) Good(each);
    while (a_->unit_attentions().Take() || b_->unit_attentions().Take() ||
           c_->Ask("attention") != "none") {
    }
  }

  // All that anybody can see.
  std::string Seen() {
    std::shared_ptr<const Record> snapshot;
    const Status status = store_->Read(&snapshot);
    EXPECT_TRUE(status.ok()) << status.message();
    return EncodeDocument(snapshot->state) + " A " + std::to_string(a_->admission().access()) +
           " B " + std::to_string(b_->admission().access()) + "\nfor C: " + c_->Ask("state") + " " +
           c_->Ask("admits") + ", " + c_->Ask("attention");
  }
  State Read() {
    std::shared_ptr<const Record> snapshot;
    EXPECT_TRUE(store_->Read(&snapshot).ok());
    return snapshot->state;
  }
  // The change under the fault at its `at`th call; false if it has fewer. If it
  // is refused, nothing has happened.
  bool Attempt(const Change& change, const Fault& fault, int at);
  void AtEveryCall(const Change& change, const Fault& fault);

  FaultyDisk disk_;
  const Watching watching_{path_, &disk_};
  std::shared_ptr<Store> store_;
  GateSlot* a_ = nullptr;
  GateSlot* b_ = nullptr;
  std::unique_ptr<Child> c_;
};

bool FailingDiskTest::Attempt(const Change& change, const Fault& fault, int at) {
  SCOPED_TRACE("call " + std::to_string(at));
  const State before = Read();
  const std::string seen = Seen();
  disk_.Arm(fault, at);
  ScsiStatus status{};
  const Status result = Send(change.change, &status);
  disk_.Disarm();
  if (result.ok()) {
    EXPECT_EQ(status, ScsiStatus::kGood);
    EXPECT_EQ(FoundAfterDeathOfAll(path_, runtime_), AfterPowerOn(Read()));
    if (disk_.hit()) Prepare(change);
    return disk_.hit();
  }
  EXPECT_EQ(result.code(), Status::Code::kIo) << result.message();
  EXPECT_FALSE(result.hint().empty()) << result.message();
  EXPECT_EQ(c_->Ask("state"), EncodeDocument(before)) << "another process sees the change";
  EXPECT_EQ(Seen(), seen);
  EXPECT_EQ(FoundAfterDeathOfAll(path_, runtime_), AfterPowerOn(before))
      << "a refused change has come to life";
  EXPECT_EQ(a_->unit_attentions().Take(), std::nullopt);
  EXPECT_EQ(b_->unit_attentions().Take(), std::nullopt);
  return true;
}

void FailingDiskTest::AtEveryCall(const Change& change, const Fault& fault) {
  SCOPED_TRACE(change.name + ", " + fault.name);
  Prepare(change);
  for (int at = 1; Attempt(change, fault, at) && !HasFailure(); at++) ASSERT_LT(at, 1000);
}

TEST_F(FailingDiskTest, NothingHasChanged) {
  for (const Change& change : AllChanges()) {
    for (const Fault& fault : kFaults) {
      AtEveryCall(change, fault);
      if (HasFailure()) return;
    }
  }
}

// Whatever the disk has of it: its sync has failed.
TEST_F(FailingDiskTest, ARefusedChangeIsTakenBack) {
  AtEveryCall(AllChanges().front(), {"a sync fails", EIO, false, true});
}

}  // namespace
}  // namespace scsi_pr
