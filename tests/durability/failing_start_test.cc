// SPDX-License-Identifier: GPL-2.0-or-later
//
// A disk that fails at every call while a store is made, opened, attached to and
// closed: an error that says so, never an empty state, never something half made;
// and when the disk works again, so does the next attempt.
#include <filesystem>
#include <functional>

#include "../process/child.h"
#include "../unit/temporary_directory.h"
#include "../unit/testing.h"
#include "faults.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;
namespace fs = std::filesystem;

class FailingStartTest : public ::testing::Test {
 protected:
  // Opens the store and attaches A; `*state` is what is found then.
  static Status Use(const std::string& path, State* state) {
    std::shared_ptr<Store> store;
    if (Status s = Store::Open("file:" + path, Store::OpenMode::kCreate, &store); !s.ok()) return s;
    GateSlot* slot = nullptr;
    if (Status s = store->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &slot); !s.ok())
      return s;
    std::shared_ptr<const Record> snapshot;
    const Status status = store->Read(&snapshot);
    *state = snapshot->state;
    store->Detach(slot);
    return status;
  }

  // `make` puts what is there before into a directory; `expected` is the state
  // that every attempt which does not fail finds.
  static void AtEveryCall(const std::function<void(const std::string&)>& make,
                          const State& expected) {
    for (const Fault& fault : kFaults) {
      SCOPED_TRACE(fault.name);
      int at = 1;
      while (Attempt(make, expected, fault, at) && !HasFailure()) ASSERT_LT(++at, 1000);
      if (HasFailure()) return;
    }
  }

 private:
  static bool Attempt(const std::function<void(const std::string&)>& make, const State& expected,
                      const Fault& fault, int at) {
    SCOPED_TRACE("call " + std::to_string(at));
    const TemporaryDirectory directory;
    const RuntimeDirectoryOfTest runtime;
    const std::string path = directory / "lu.pr";
    make(path);
    FaultyDisk disk;
    const Watching watching(path, &disk);
    disk.Arm(fault, at);
    State state;
    const Status status = Use(path, &state);
    disk.Disarm();
    if (status.ok()) {
      EXPECT_EQ(state, expected);
    } else {
      EXPECT_EQ(status.code(), Status::Code::kIo) << status.message();
      EXPECT_NE(status.message().find(directory.path()), std::string::npos) << status.message();
      EXPECT_FALSE(status.hint().empty()) << status.message();
    }
    EXPECT_TRUE(Use(path, &state).ok());
    EXPECT_EQ(state, expected);
    if (!disk.kept_a_file()) ExpectTidy(directory.path());
    return disk.hit();
  }
  // Nothing is left of a store or a gate that was not finished.
  static void ExpectTidy(const std::string& directory) {
    for (const auto& entry : fs::directory_iterator(directory)) {
      EXPECT_EQ(entry.path().string().find(".new-"), std::string::npos) << entry.path();
    }
  }
};

void Nothing(const std::string&) {}

// A reserves with APTPL.
void ReservedByA(const std::string& path) {
  std::shared_ptr<Store> store;
  ASSERT_TRUE(Store::Open("file:" + path, Store::OpenMode::kCreate, &store).ok());
  GateSlot* slot = nullptr;
  ASSERT_TRUE(store->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &slot).ok());
  for (const Command& command : {Register(0, kKeyA).Aptpl(), Reserve(kKeyA, kWE)}) {
    Outcome outcome;
    ASSERT_TRUE(
        store
            ->Update([&](const State& state) { return Apply(state, kDurable, A(), command); }, {},
                     &outcome)
            .ok());
  }
  store->Detach(slot);
}

// Of another initiator, left by a process that was killed: what was in force is still in
// memory.
void KilledHolder(const std::string& path) {
  Child holder("file:" + path, 1);
  ASSERT_EQ(holder.Ask("attach"), "ok");
  ASSERT_EQ(holder.Ask("out 6 0 1 0 1"), "status 0");  // REGISTER AND IGNORE with APTPL
  ASSERT_EQ(holder.Ask("out 1 1 0 1 0"), "status 0");  // RESERVE
  holder.Kill();
}

TEST_F(FailingStartTest, NewStore) { AtEveryCall(Nothing, State{}); }

const State kReserved = Given().Registered(A(), kKeyA).Reserved(kWE, A()).Aptpl();

TEST_F(FailingStartTest, ExistingStore) { AtEveryCall(ReservedByA, kReserved); }

TEST_F(FailingStartTest, StoreOfAKilledProcess) {
  const Nexus holder = MakeNexus("naa.5000000000000011");
  AtEveryCall(KilledHolder, Given().Registered(holder, 1).Reserved(kWE, holder).Aptpl());
}

// Between the look of this process and its making of the store.
class AnotherIsFaster : public FileWatcher {
 public:
  explicit AnotherIsFaster(std::string path) : path_(std::move(path)) {}
  int Before(const FileCall& call) override {
    if (call.kind != FileCall::Kind::kOpen || call.path != path_ || another_) return 0;
    another_ = std::make_unique<Child>("file:" + path_, 2);
    EXPECT_EQ(another_->opened(), "ok");
    return ENOENT;  // it was not there yet
  }
  bool was_here() const { return another_ != nullptr; }

 private:
  const std::string path_;
  std::unique_ptr<Child> another_;
};

TEST_F(FailingStartTest, TwoMakeTheStoreAtATime) {
  const TemporaryDirectory directory;
  const RuntimeDirectoryOfTest runtime;
  const std::string path = directory / "lu.pr";
  AnotherIsFaster another(path);
  const Watching watching(path, &another);
  State state;
  const Status status = Use(path, &state);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(another.was_here());
}

}  // namespace
}  // namespace scsi_pr
