// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/gate_store.h"

#include <algorithm>
#include <numeric>

#include "store/members_lock.h"
#include "store/membership.h"

namespace scsi_pr {

GateStore::GateStore(std::string uri, std::shared_ptr<const RuntimeDirectory> directory,
                     std::shared_ptr<Sharing> sharing, std::function<void()> repair)
    : Store(std::move(uri)),
      directory_(std::move(directory)),
      sharing_(std::move(sharing)),
      watcher_(sharing_->gate(), std::move(repair)) {}

Status GateStore::Busy(Locked locked) const {
  if (locked == Locked::kFailed) {
    return Status::Error(Status::Code::kIo, "the kernel has no room for a lock of " + uri(),
                         "Nothing has changed.");
  }
  return Status::Error(Status::Code::kBusy,
                       uri() + " is being changed by another process that does not finish",
                       "Look for a stopped QEMU process that uses it.");
}

size_t GateStore::ForgetTheDead() {
  return scsi_pr::ForgetTheDead(sharing_->gate(), [this](size_t i) { return sharing_->IsLive(i); });
}

std::vector<Attachment> GateStore::List(const std::vector<size_t>& slots) const {
  return ListAttached(sharing_->gate(), slots, [this](size_t i) { return sharing_->IsLive(i); });
}

std::vector<Attachment> GateStore::ListAll() const {
  std::vector<size_t> all(Gate::kSlots);
  std::iota(all.begin(), all.end(), size_t{0});
  return List(all);
}

Status GateStore::Noted(Failures::Step step, Status status) {
  if (failures_.IsNews(step, status)) watcher_.StoreFailed(status);
  return status;
}

Status GateStore::InForce(RecordPointer* record) {
  return Noted(Failures::Step::kLoad, sharing_->InForce(record));
}

Status GateStore::Look(Snapshot* snapshot) {
  RecordPointer record;
  if (Status status = InForce(&record); !status.ok()) return status;
  *snapshot = {record->version, record->state, ListAll()};
  return Status();
}

std::vector<Attachment> GateStore::Attached() {
  std::vector<Attachment> attached = ListAll();
  std::erase_if(attached, [](const Attachment& attachment) { return !attachment.live; });
  return attached;
}

}  // namespace scsi_pr
