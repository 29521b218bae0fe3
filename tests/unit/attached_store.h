// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store, of memory, of a file or of a cluster, to which A, B and C are attached.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "eventually.h"
#include "fake_agent.h"
#include "store/store.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr::testing {

// An owner that lets every command leave that it is told to abort.
class Owner : public NexusListener {
 public:
  void AbortTasks() override {
    aborts++;
    const std::lock_guard lock(mutex);
    if (slot != nullptr && parked) slot->Leave(*std::exchange(parked, std::nullopt));
  }
  // A command that it can abort. False: the gate is shut.
  bool Park(GateSlot& gate) {
    const std::lock_guard lock(mutex);
    parked = gate.Enter(AccessClass::kWrite);
    return parked.has_value();
  }
  void Fenced() override { fencings++; }
  void Preempted() override { preemptions++; }
  void Changed(uint64_t, uint32_t last_generation, uint64_t count) override {
    generation = last_generation;
    changes += count;
  }
  void StoreFailed(const Status& status) override {
    const std::lock_guard lock(mutex);
    failures.push_back(status.message());
  }
  std::vector<std::string> TakeFailures() {
    const std::lock_guard lock(mutex);
    return std::exchange(failures, {});
  }

  GateSlot* slot = nullptr;
  std::optional<Admission::Epoch> parked;  // guarded by `mutex`
  std::atomic<int> aborts{0};
  std::atomic<int> fencings{0};
  std::atomic<int> preemptions{0};
  std::atomic<uint32_t> generation{0};
  std::atomic<uint64_t> changes{0};
  std::mutex mutex;
  std::vector<std::string> failures;
};

// How the fencings went of who makes them.
struct Fencings : FencingListener {
  void FencingBegun() override { told.emplace_back("begun"); }
  void DrainLate(const std::vector<Attachment>& pending) override {
    told.emplace_back("late");
    awaited = pending;
  }
  void Proved(const std::vector<HostProof>& by) override {
    told.emplace_back("proved");
    proofs = by;
  }
  void FencingEnded(std::chrono::milliseconds, const Status& status) override {
    told.emplace_back(status.ok() ? "committed" : "given up");
  }

  std::vector<std::string> told;
  std::vector<Attachment> awaited;
  std::vector<HostProof> proofs;
};

class AttachedStoreTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    std::string uri = "memory:attached-store-test";
    Store::OpenOptions options(Store::OpenMode::kCreate);
    if (IsFile()) uri = "file:" + path_;
    if (Kind() == "cluster") {
      host_ = std::make_unique<OneHost>();
      uri = "cluster:" + host_->cluster.name;
      options = host_->Options();
    }
    const Status status = Store::Open(uri, options, &store_);
    ASSERT_TRUE(status.ok()) << status.message();
    for (const Nexus& nexus : {A(), B(), C()}) Attach(nexus);
  }
  void TearDown() override {
    for (const auto& owner : owners_) store_->Detach(owner->slot);
  }

  Owner& Attach(const Nexus& nexus) {
    owners_.push_back(std::make_unique<Owner>());
    Owner& owner = *owners_.back();
    EXPECT_TRUE(store_->Attach(nexus, "owner", Store::AttachMode::kNew, &owner, &owner.slot).ok());
    return owner;
  }
  Owner& a() { return *owners_[0]; }
  Owner& b() { return *owners_[1]; }
  Owner& c() { return *owners_[2]; }

  Status Try(const Nexus& nexus, const PersistentReserveOut& command, Outcome* outcome) {
    return store_->Update(
        [&](const State& state) { return Apply(state, store_->capabilities(), nexus, command); },
        waiting_, outcome);
  }
  ScsiStatus Send(const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    const Status status = Try(nexus, command, &outcome);
    EXPECT_TRUE(status.ok()) << status.message();
    return outcome.status;
  }
  void RegisterAll() {
    EXPECT_EQ(Send(A(), Register(0, kKeyA)), ScsiStatus::kGood);
    EXPECT_EQ(Send(B(), Register(0, kKeyB)), ScsiStatus::kGood);
    EXPECT_EQ(Send(C(), Register(0, kKeyC)), ScsiStatus::kGood);
  }
  State Read() {
    std::shared_ptr<const Record> snapshot;
    EXPECT_TRUE(store_->Read(&snapshot).ok());
    return snapshot->state;
  }
  static bool Writes(Owner& owner) {
    const auto epoch = owner.slot->Enter(AccessClass::kWrite);
    if (epoch) owner.slot->Leave(*epoch);
    return epoch.has_value();
  }

  static std::string Kind() { return GetParam(); }
  static bool IsFile() { return Kind() == "file"; }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "lu.pr";
  std::unique_ptr<OneHost> host_;  // of a cluster: store
  std::shared_ptr<Store> store_;
  std::vector<std::unique_ptr<Owner>> owners_;
  Fencings fencings_;
  Store::Waiting waiting_{.listener = &fencings_};
};

}  // namespace scsi_pr::testing
