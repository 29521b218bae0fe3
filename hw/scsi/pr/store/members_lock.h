// SPDX-License-Identifier: GPL-2.0-or-later
//
// How GateStore takes the members' lock: among processes, and among the threads of this one.
#pragma once

#include "store/gate_store.h"
#include "store/patience.h"

namespace scsi_pr {

// Others have it for moments only, unless they are stopped.
class SCOPED_CAPABILITY GateStore::Members {
 public:
  explicit Members(GateStore& store) EXCLUDES(kMembersLock) : store_(store) {}
  ~Members() RELEASE() {
    if (locked_ == Locked::kYes) Unlock();
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  bool Lock() TRY_ACQUIRE(true) NO_THREAD_SAFETY_ANALYSIS {
    store_.members_.Lock();
    locked_ = LockBy(
        std::chrono::steady_clock::now() + kPatience, store_.sharing_->gate().released,
        [this] { return store_.sharing_->TryLockMembers(); }, [] { return false; });
    if (locked_ != Locked::kYes) store_.members_.Unlock();
    return locked_ == Locked::kYes;
  }
  // Now, or not at all.
  bool TryLock() TRY_ACQUIRE(true) NO_THREAD_SAFETY_ANALYSIS {
    if (!store_.members_.TryLock()) return false;
    locked_ = store_.sharing_->TryLockMembers();
    if (locked_ != Locked::kYes) store_.members_.Unlock();
    return locked_ == Locked::kYes;
  }
  Status status() const { return store_.Busy(locked_); }

 private:
  void Unlock() NO_THREAD_SAFETY_ANALYSIS {
    store_.sharing_->UnlockMembers();
    store_.members_.Unlock();
    store_.sharing_->gate().released.Ring();
  }

  GateStore& store_;
  Locked locked_ = Locked::kElsewhere;
};

}  // namespace scsi_pr
