// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a device server gives its nexus to another process, and gets it:
// docs/design.md, "Handing a nexus over".
#include "server/device_server.h"

#include <future>

#include "core/guarded.h"
#include "server/hand_over_text.h"

namespace scsi_pr {

namespace {

Status AnotherStore(const StoreIdentity& theirs, const StoreIdentity& ours) {
  return Status::Error(
      Status::Code::kInvalid,
      "the source's store is " + theirs.uri + ", which is not " + ours.uri + " of this host",
      "Give source and destination the same store. A file: store serves the VMs of one host; "
      "for migration to another host use cluster:NAME.");
}

}  // namespace

// Behind what was submitted before; what waits for others does so no longer. Who
// owns the nexus does not change meanwhile.
Status DeviceServer::Wait(const std::function<Status()>& job) {
  std::promise<Status> done;
  hurrying_ = true;
  Submit([&] {
    hurrying_ = false;
    const MutexLock lock(ownership_mutex_);
    done.set_value(Guarded(store_->uri(), job));
  });
  return done.get_future().get();
}

Status DeviceServer::Identify(std::string* text) {
  StoreIdentity identity;
  Status status = store_->Identify(&identity);
  if (status.ok()) *text = EncodeIdentity(identity);
  return status;
}

Status DeviceServer::Recognize(const std::string& text) {
  StoreIdentity theirs;
  StoreIdentity ours;
  Status status = DecodeIdentity(text, &theirs);
  if (status.ok()) status = store_->Identify(&ours);
  if (!status.ok() || theirs.IsSame(ours)) return status;
  return AnotherStore(theirs, ours);
}

// Who has never taken over what arrived hands that on as it came: the next one
// must not miss a fencing before it did.
Status DeviceServer::HandOver(std::string* text) {
  return Wait([&] {
    ownership_mutex_.AssertHeld();
    HandedOver handed;
    Status status = store_->HandOver(slot_, IsOwner(), &handed);
    if (!status.ok()) return status;
    tenure_ = Admission::kNoTenure;
    if (handed_) {
      handed.attachment = handed_->attachment;
      handed.epoch = handed_->epoch;
      handed.version = handed_->version;
      handed.key = handed_->key;
    }
    *text = EncodeHandedOver(handed);
    handed_ = std::move(handed);
    return status;
  });
}

Status DeviceServer::Arrive(const std::string& text) {
  HandedOver handed;
  StoreIdentity ours;
  Status status = DecodeHandedOver(text, &handed);
  if (status.ok()) status = store_->Identify(&ours);
  if (!status.ok()) return status;
  if (!handed.store.IsSame(ours)) return AnotherStore(handed.store, ours);
  if (handed.nexus != nexus_) {
    return Status::Error(
        Status::Code::kInvalid,
        "what the source has handed over is of I_T nexus " + handed.nexus.initiator.ToText() +
            ", target port " + std::to_string(handed.nexus.target_port) + ", this device is " +
            nexus_.initiator.ToText() + ", target port " + std::to_string(nexus_.target_port),
        "Give source and destination the same -uuid, pr-initiator and "
        "pr-target-port, and the device the same place.");
  }
  return Wait([&] {
    ownership_mutex_.AssertHeld();
    Status arrived = store_->Arrive(slot_, &handed);
    if (arrived.ok()) handed_ = std::move(handed);
    return arrived;
  });
}

Ownership DeviceServer::TakeOver() {
  const MutexLock lock(ownership_mutex_);
  if (!IsOwner()) {
    Admission::Tenure tenure = 0;
    if (!store_->TakeOver(slot_, &tenure)) return Ownership::kNotTaken;
    tenure_ = tenure;
    // Nobody knows here what the owner before has reserved.
    Submit([this] {
      kAtWork.AssertHeld();
      held_legacy_ = true;
    });
    Submit([this] { TellOwner(); });
  }
  const bool fenced = handed_ && store_->MayBeFencedSince(*slot_, *handed_);
  handed_.reset();
  return fenced ? Ownership::kTakenMaybeFenced : Ownership::kTaken;
}

void DeviceServer::AbortTasks() {
  if (options_.listener != nullptr) options_.listener->AbortTasks();
}

void DeviceServer::Fenced() {
  fenced_ = true;
  TellOwner();
}

void DeviceServer::Preempted() {
  preempted_ = true;
  TellOwner();
}

void DeviceServer::Changed(uint64_t version, uint32_t generation, uint64_t count) {
  if (options_.listener != nullptr) options_.listener->Changed(version, generation, count);
}

void DeviceServer::StoreFailed(const Status& status) {
  if (options_.listener != nullptr) options_.listener->StoreFailed(status);
}

// TakeOver() comes here behind itself: whichever is last of it and of the news
// tells.
void DeviceServer::TellOwner() {
  if (!IsOwner()) return;
  const bool fenced = fenced_.exchange(false);
  const bool preempted = preempted_.exchange(false);
  if (options_.listener == nullptr) return;
  if (fenced) options_.listener->Fenced();
  if (preempted) options_.listener->Preempted();
}

}  // namespace scsi_pr
