// SPDX-License-Identifier: GPL-2.0-or-later
//
// Among the devices of one process: memory:.
#pragma once

#include <memory>

#include "store/mutex.h"
#include "store/sharing.h"

namespace scsi_pr {

class ProcessSharing : public Sharing {
 public:
  ProcessSharing();

  Gate& gate() override { return *gate_; }
  Locked TryLockChange() override { return Locked::kYes; }
  void UnlockChange() override {}
  Locked TryLockMembers() override { return Locked::kYes; }
  void UnlockMembers() override {}
  Status InForce(std::shared_ptr<const Record>* record) override;
  bool TryInForce(std::shared_ptr<const Record>* record) override { return InForce(record).ok(); }
  Status Stage(const Record& record) override REQUIRES(kRightToChange);
  void Enforce() override REQUIRES(kRightToChange, kMembersLock);
  Status ToCome(uint64_t version, Record* record) override;
  bool TakeSlot(bool heir, size_t* index) override REQUIRES(kMembersLock);
  ClaimResult Claim(size_t) override { return ClaimResult::kOwn; }
  void ReleaseSlot(size_t index) override { gate_->slots[index].Detach(); }
  // There is no other process. Who has handed a slot over has nothing on its way.
  bool IsLive(size_t) override { return true; }
  bool IsOwned(size_t) override { return true; }
  bool TryOwn(size_t) override { return true; }
  void Disown(size_t) override {}
  void EndHeirship(size_t) override {}

 private:
  const std::unique_ptr<Gate> gate_;
  Mutex mutex_;
  std::shared_ptr<const Record> in_force_ GUARDED_BY(mutex_);
  std::shared_ptr<const Record> to_come_ GUARDED_BY(mutex_);
};

}  // namespace scsi_pr
