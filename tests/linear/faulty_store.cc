// SPDX-License-Identifier: GPL-2.0-or-later
#include "faulty_store.h"

#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

namespace scsi_pr::linear {

namespace {

using RecordPointer = std::shared_ptr<const Record>;

Outcome Become(const State& state) {
  Outcome outcome;
  outcome.state = state;
  return outcome;
}

// The store as it is.
class Wrapper : public Store {
 public:
  explicit Wrapper(std::shared_ptr<Store> store) : Store(store->uri()), store_(std::move(store)) {}

  Capabilities capabilities() const override { return store_->capabilities(); }
  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode, NexusListener* listener,
                GateSlot** slot) override {
    return store_->Attach(nexus, owner, mode, listener, slot);
  }
  void Detach(GateSlot* slot) override { store_->Detach(slot); }
  Status SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) override {
    return store_->SetMedium(slot, medium, name);
  }
  Status Identify(StoreIdentity* identity) override { return store_->Identify(identity); }
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override {
    return store_->HandOver(slot, is_owner, handed);
  }
  Status Arrive(GateSlot* slot, HandedOver* handed) override {
    return store_->Arrive(slot, handed);
  }
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override {
    return store_->TakeOver(slot, tenure);
  }
  bool MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const override {
    return store_->MayBeFencedSince(slot, handed);
  }
  Status Read(RecordPointer* record) override { return store_->Read(record); }
  Status Look(Snapshot* snapshot) override { return store_->Look(snapshot); }
  std::vector<Attachment> Attached() override { return store_->Attached(); }
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override {
    return store_->Update(transition, waiting, outcome);
  }
  // What is faulty is in the others.
  bool TryRead(RecordPointer*) override { return false; }
  bool TryUpdate(const Transition&, Outcome*) override { return false; }

 protected:
  const std::shared_ptr<Store> store_;
};

// Its own changes are in the cache; what other processes do is seen late.
class StaleRead : public Wrapper {
 public:
  using Wrapper::Wrapper;

  Status Read(RecordPointer* record) override {
    const std::lock_guard lock(mutex_);
    if (!cache_) {
      if (Status status = store_->Read(&cache_); !status.ok()) return status;
    }
    *record = cache_;
    return Status();
  }
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override {
    const std::lock_guard lock(mutex_);
    cache_.reset();
    return store_->Update(transition, waiting, outcome);
  }

 private:
  std::mutex mutex_;
  RecordPointer cache_;
};

// The change is committed later, if the state is then still what the status came
// from. This process does not notice: only others see the old state, and a kill
// at the right time loses the change.
class EarlyStatus : public Wrapper {
 public:
  using Wrapper::Wrapper;

  ~EarlyStatus() override {
    if (thread_.joinable()) thread_.join();
  }
  Status Read(RecordPointer* record) override {
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) thread_.join();
    return store_->Read(record);
  }
  Status Update(const Transition& transition, const Waiting&, Outcome* outcome) override {
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) thread_.join();
    RecordPointer before;
    if (Status status = store_->Read(&before); !status.ok()) return status;
    *outcome = transition(before->state);
    thread_ = std::thread([this, before = before->state, after = *outcome] {
      const auto commit = [&](const State& state) {
        return state == before ? after : Become(state);
      };
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      Outcome ignored;
      static_cast<void>(store_->Update(commit, {}, &ignored).ok());
    });
    return Status();
  }

 private:
  std::mutex mutex_;
  std::thread thread_;
};

class NoLock : public Wrapper {
 public:
  using Wrapper::Wrapper;

  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override {
    RecordPointer before;
    if (Status status = store_->Read(&before); !status.ok()) return status;
    const Outcome result = transition(before->state);
    return store_->Update([&](const State&) { return result; }, waiting, outcome);
  }
};

class PowerOn : public Wrapper {
 public:
  using Wrapper::Wrapper;

  Status Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode, NexusListener* listener,
                GateSlot** slot) override {
    Status status = store_->Attach(nexus, owner, mode, listener, slot);
    if (!status.ok()) return status;
    Outcome ignored;
    return store_->Update([](const State& state) { return Become(AfterPowerOn(state)); }, {},
                          &ignored);
  }
};

}  // namespace

std::shared_ptr<Store> WithFault(std::shared_ptr<Store> store, const std::string& fault) {
  if (fault == "none") return store;
  if (fault == "stale-read") return std::make_shared<StaleRead>(std::move(store));
  if (fault == "early-status") return std::make_shared<EarlyStatus>(std::move(store));
  if (fault == "no-lock") return std::make_shared<NoLock>(std::move(store));
  if (fault == "power-on") return std::make_shared<PowerOn>(std::move(store));
  return nullptr;
}

}  // namespace scsi_pr::linear
