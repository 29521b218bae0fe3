// SPDX-License-Identifier: GPL-2.0-or-later
//
// Power loss at every write (SPC-3 5.6.3): whatever of a process's writes the disk
// has not synced may be gone, torn or out of order, and the store is sound all the
// same. With APTPL every change that ended in GOOD is there; one that had not
// ended is there as a whole or not at all.
#include <functional>
#include <utility>

#include "../unit/temporary_directory.h"
#include "../unit/testing.h"
#include "core/legacy.h"
#include "disk_model.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;

// A store whose every write is recorded, with a mark wherever a change has ended.
class RecordedStore {
 public:
  void Open() {
    watching_ = std::make_unique<Watching>(path_, &recorder_);
    ASSERT_TRUE(Store::Open("file:" + path_, Store::OpenMode::kCreate, &store_).ok());
    Ended();
  }
  void Attach(const Nexus& nexus) {
    slots_.emplace_back();
    ASSERT_TRUE(
        store_->Attach(nexus, "test", Store::AttachMode::kNew, nullptr, &slots_.back()).ok());
    Ended();
  }
  void Send(const Nexus& nexus, const PersistentReserveOut& command) {
    Update(
        [&](const State& state) { return Apply(state, store_->capabilities(), nexus, command); });
  }
  void Send(const Nexus& nexus, LegacyAction action) {
    Update([&](const State& state) { return ApplyLegacy(state, nexus, action); });
  }
  void Close() {
    for (GateSlot* slot : slots_) store_->Detach(slot);
    slots_.clear();
    store_.reset();
    watching_.reset();
  }

  // As rm does.
  void RemoveFile() {
    std::filesystem::remove(path_);
    recorder_.Removed(path_);
    removed_ = events().size();
  }
  void Refuse(const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    EXPECT_FALSE(
        store_
            ->Update([&](const State& state) { return Apply(state, kAborts, nexus, command); }, {},
                     &outcome)
            .ok());
    made_anew_ = events().size();
  }
  // Whether the store's file had been removed, and not been made anew yet, after that event.
  bool IsThere(size_t event) const { return event < removed_ - 1 || event + 1 >= made_anew_; }

  const std::vector<DiskEvent>& events() const { return recorder_.events(); }
  // After each mark, in order.
  const std::vector<State>& states() const { return states_; }

 private:
  void Update(const Store::Transition& transition) {
    Outcome outcome;
    ASSERT_TRUE(store_->Update(transition, {}, &outcome).ok());
    ASSERT_EQ(outcome.status, ScsiStatus::kGood);
    Ended();
  }
  void Ended() {
    recorder_.Mark("ended");
    std::shared_ptr<const Record> snapshot;
    ASSERT_TRUE(store_->Read(&snapshot).ok());
    states_.push_back(snapshot->state);
  }

  const TemporaryDirectory directory_;
  const RuntimeDirectoryOfTest runtime_;
  const std::string path_ = directory_ / "lu.pr";
  DiskRecorder recorder_{directory_.path()};
  std::unique_ptr<Watching> watching_;  // while it is open
  std::shared_ptr<Store> store_;
  std::vector<GateSlot*> slots_;
  std::vector<State> states_;
  size_t removed_ = 0;
  size_t made_anew_ = 0;
};

// What has ended at a moment of the recording, and what may be found after a
// power loss then.
class Expectation {
 public:
  explicit Expectation(const std::vector<State>& states) : states_(states) {}

  void Ended() {
    ended_++;
    const size_t last = ended_ - 1;
    const bool durable = last == 0 || states_[last].aptpl || states_[last - 1].aptpl;
    if (durable) oldest_ = last;
  }
  bool made() const { return ended_ > 0; }
  bool Allows(const State& found) const {
    if (!made()) return found == State{};
    // The last durable one, those after it, and the one under way.
    for (size_t i = oldest_; i < states_.size() && i <= ended_; i++) {
      if (IsWhatIsLeftOf(states_[i], found)) return true;
    }
    return false;
  }

 private:
  // What the power on makes of both is the same.
  static bool IsWhatIsLeftOf(const State& state, const State& found) {
    return AfterPowerOn(found) == AfterPowerOn(state);
  }

  const std::vector<State>& states_;
  size_t ended_ = 0;
  size_t oldest_ = 0;
};

// The host is up again: the store is what the expectation says, and works.
void ExpectAfterPowerLoss(const SimulatedDisk& disk, const Expectation& expectation,
                          SimulatedDisk::Loss loss, uint32_t seed) {
  std::mt19937 random(seed);
  const TemporaryDirectory directory;
  const RuntimeDirectoryOfTest runtime;
  const std::string path = directory / "lu.pr";
  disk.WriteAfterPowerLoss(directory.path(), loss, random);
  NoSync fast;
  const Watching watching(path, &fast);
  std::shared_ptr<Store> store;
  const Status opened = Store::Open("file:" + path, Store::OpenMode::kExisting, &store);
  if (!expectation.made() && opened.code() == Status::Code::kInvalid) return;  // no store yet
  ASSERT_TRUE(opened.ok()) << opened.message();
  std::shared_ptr<const Record> snapshot;
  ASSERT_TRUE(store->Read(&snapshot).ok());
  const State found = snapshot->state;
  EXPECT_TRUE(expectation.Allows(found)) << ::testing::PrintToString(found);
  GateSlot* slot = nullptr;
  ASSERT_TRUE(
      store->Attach(C(), "after the power loss", Store::AttachMode::kNew, nullptr, &slot).ok());
  ASSERT_TRUE(store->Read(&snapshot).ok());
  EXPECT_EQ(snapshot->state, AfterPowerOn(found));
  EXPECT_EQ(slot->admission().access(), AllowedAccess(snapshot->state, C()));
  const Command command = RegisterIgnore(kKeyC).Aptpl();
  Outcome outcome;
  EXPECT_TRUE(store
                  ->Update([&](const State& state) { return Apply(state, kDurable, C(), command); },
                           {}, &outcome)
                  .ok());
  store->Detach(slot);
}

// Cuts the power after each event of the recording for which `here` is true.
void ExpectSurvival(const RecordedStore& recorded, int seeds,
                    const std::function<bool(size_t)>& here) {
  using Loss = SimulatedDisk::Loss;
  SimulatedDisk disk;
  Expectation expectation(recorded.states());
  const std::vector<DiskEvent>& events = recorded.events();
  for (size_t i = 0; i < events.size() && !::testing::Test::HasFailure(); i++) {
    disk.Play(events[i]);
    if (events[i].kind == DiskEvent::Kind::kMark) expectation.Ended();
    if (!here(i)) continue;
    SCOPED_TRACE("after event " + std::to_string(i));
    ExpectAfterPowerLoss(disk, expectation, Loss::kEverything, 0);
    ExpectAfterPowerLoss(disk, expectation, Loss::kNothing, 0);
    for (int seed = 1; seed <= seeds; seed++) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      ExpectAfterPowerLoss(disk, expectation, Loss::kAnything, static_cast<uint32_t>(seed));
    }
  }
}

bool Everywhere(size_t) { return true; }

// Every kind of change, durable from the first one on.
TEST(PowerLoss, EveryChangeWithAptpl) {
  Clause("5.6.3: power cycle with APTPL");
  RecordedStore store;
  store.Open();
  store.Attach(A());
  store.Attach(B());
  store.Send(A(), Register(0, kKeyA).Aptpl());
  store.Send(B(), Register(0, kKeyB).Aptpl());
  store.Send(A(), Reserve(kKeyA, kEARO));
  store.Send(B(), Preempt(kKeyB, kKeyA, kWERO));
  store.Send(A(), Register(0, kKeyA).Aptpl());
  store.Send(A(), PreemptAndAbort(kKeyA, kKeyB, kWERO));
  store.Send(A(), Move(kKeyA, kKeyB, B()));
  store.Send(B(), Release(kKeyB, kWERO));
  store.Send(B(), Clear(kKeyB));
  store.Close();
  ExpectSurvival(store, 3, Everywhere);
}

// 5.6.3: the last valid APTPL counts. The change that turns it off is durable.
TEST(PowerLoss, AptplTurnedOffAndOn) {
  Clause("5.6.3: the last APTPL", "5.6.3: power cycle without APTPL");
  RecordedStore store;
  store.Open();
  store.Attach(A());
  store.Send(A(), Register(0, kKeyA).Aptpl());
  store.Send(A(), Reserve(kKeyA, kWE));
  store.Send(A(), Register(kKeyA, kKeyA));
  store.Send(A(), RegisterIgnore(kKeyB));
  store.Send(A(), RegisterIgnore(kKeyC));
  store.Send(A(), RegisterIgnore(kKeyA).Aptpl());
  store.Send(A(), RegisterIgnore(kKeyB).Aptpl());
  store.Close();
  ExpectSurvival(store, 3, Everywhere);
}

// APTPL off all the time: nothing is owed, but the store stays sound.
TEST(PowerLoss, WithoutAptpl) {
  RecordedStore store;
  store.Open();
  store.Attach(A());
  store.Attach(B());
  store.Send(A(), LegacyAction::kReserve);
  store.Send(A(), LegacyAction::kRelease);
  store.Send(A(), Register(0, kKeyA));
  store.Send(A(), Reserve(kKeyA, kEA));
  store.Send(B(), Register(0, kKeyB));
  store.Send(B(), PreemptAndAbort(kKeyB, kKeyA, kEA));
  store.Close();
  ExpectSurvival(store, 3, Everywhere);
}

// Closed and opened again.
TEST(PowerLoss, OpenedAgain) {
  RecordedStore store;
  for (const uint64_t key : {kKeyA, kKeyB, kKeyC}) {
    store.Open();
    store.Attach(A());
    store.Send(A(), RegisterIgnore(key).Aptpl());
    store.Close();
  }
  ExpectSurvival(store, 3, Everywhere);
}

// Records that need more room than the file has, or than the one before them had.
TEST(PowerLoss, RecordsOfEverySize) {
  RecordedStore store;
  store.Open();
  store.Attach(A());
  uint64_t number = 1;
  for (const size_t count : {1, 20, 60, 3, 100, 100}) {
    std::vector<Nexus> many;
    for (size_t i = 0; i < count; i++) many.push_back(NumberedNexus(number++));
    store.Send(A(), Register(0, kKeyA).List(many).Aptpl());
    store.Send(A(), RegisterIgnore(kKeyB).Aptpl());
    store.Send(A(), Clear(kKeyB));
  }
  store.Close();
  ExpectSurvival(store, 6, Everywhere);
}

// The file was removed while in use: it is made anew for the next change.
TEST(PowerLoss, MadeAnew) {
  RecordedStore store;
  store.Open();
  store.Attach(A());
  store.Send(A(), Register(0, kKeyA).Aptpl());
  store.Send(A(), Reserve(kKeyA, kWE));
  store.RemoveFile();
  store.Refuse(A(), RegisterIgnore(kKeyB).Aptpl());
  store.Send(A(), RegisterIgnore(kKeyC).Aptpl());
  store.Close();
  ExpectSurvival(store, 3, [&](size_t i) { return store.IsThere(i); });
}

// One write and one sync for a change that needs no more room than there is, and no
// touch at all for one that need not survive.
TEST(PowerLoss, WritesOfAChange) {
  RecordedStore store;
  store.Open();
  store.Attach(A());
  store.Send(A(), RegisterIgnore(kKeyA).Aptpl());
  store.Send(A(), RegisterIgnore(kKeyB).Aptpl());
  const auto counts = [&](const Command& command) {
    const size_t before = store.events().size();
    store.Send(A(), command);
    std::pair<int, int> found;
    for (size_t i = before; i < store.events().size(); i++) {
      if (store.events()[i].kind == DiskEvent::Kind::kWrite) found.first++;
      if (store.events()[i].kind == DiskEvent::Kind::kSync) found.second++;
    }
    return found;
  };
  EXPECT_EQ(counts(RegisterIgnore(kKeyC).Aptpl()), std::pair(1, 1));
  EXPECT_EQ(counts(Reserve(kKeyC, kWE)), std::pair(1, 1));
  EXPECT_EQ(counts(RegisterIgnore(kKeyA)), std::pair(1, 1)) << "APTPL off must survive, too";
  EXPECT_EQ(counts(RegisterIgnore(kKeyB)), std::pair(0, 0));
  EXPECT_EQ(counts(Release(kKeyB, kWE)), std::pair(0, 0));
  store.Close();
}

}  // namespace
}  // namespace scsi_pr
