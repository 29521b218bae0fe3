// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/process_sharing.h"

#include <glib.h>

#include <algorithm>

#include "store/uuid.h"

namespace scsi_pr {

ProcessSharing::ProcessSharing() : gate_(std::make_unique<Gate>()) {
  Record first;
  first.version = 1;
  in_force_ = std::make_shared<Record>(std::move(first));
  g_strlcpy(gate_->nonce, RandomUuid().c_str(), sizeof gate_->nonce);
  gate_->in_force = RecordPlace{1, 0}.word();
  gate_->published = 1;
}

Status ProcessSharing::InForce(std::shared_ptr<const Record>* record) {
  const MutexLock lock(mutex_);
  *record = in_force_;
  return Status();
}

Status ProcessSharing::Stage(const Record& record) {
  auto staged = std::make_shared<Record>(record);
  const MutexLock lock(mutex_);
  to_come_ = std::move(staged);
  return Status();
}

void ProcessSharing::Enforce() {
  const MutexLock lock(mutex_);
  in_force_ = std::move(to_come_);
  gate_->in_force = RecordPlace{in_force_->version, 0}.word();
}

Status ProcessSharing::ToCome(uint64_t version, Record* record) {
  const MutexLock lock(mutex_);
  if (to_come_ == nullptr || to_come_->version != version) {
    return Status::Error(Status::Code::kBusy, "the record to come has come");
  }
  *record = *to_come_;
  return Status();
}

bool ProcessSharing::TakeSlot(bool, size_t* index) {
  const auto* slot =
      std::ranges::find_if(gate_->slots, [](const auto& s) { return !s.attached(); });
  *index = static_cast<size_t>(slot - gate_->slots);
  return *index < Gate::kSlots;
}

}  // namespace scsi_pr
