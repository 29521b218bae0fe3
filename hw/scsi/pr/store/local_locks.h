// SPDX-License-Identifier: GPL-2.0-or-later
//
// How LocalStore takes the two locks that its participants share: among processes, and
// among the threads of this one.
#pragma once

#include "store/local_store.h"
#include "store/patience.h"

namespace scsi_pr {

// The right to change the state, from when it was got.
class SCOPED_CAPABILITY LocalStore::Right {
 public:
  explicit Right(LocalStore& store) EXCLUDES(kRightToChange) : store_(store) {}
  ~Right() RELEASE() {
    if (locked_ == Locked::kYes) Unlock();
  }
  Right(const Right&) = delete;
  Right& operator=(const Right&) = delete;

  // Now, or not at all.
  bool TryLock() TRY_ACQUIRE(true) NO_THREAD_SAFETY_ANALYSIS {
    locked_ = Try();
    return locked_ == Locked::kYes;
  }
  bool LockUntil(std::chrono::steady_clock::time_point deadline,
                 const std::function<bool()>& cancelled)
      TRY_ACQUIRE(true) NO_THREAD_SAFETY_ANALYSIS {
    locked_ = Try();
    if (locked_ != Locked::kElsewhere) return locked_ == Locked::kYes;
    store_.BeginTurns();
    const Bell& released = store_.sharing_->gate().released;
    locked_ = LockBy(
        deadline, released, [this] { return Try(); }, cancelled);
    return locked_ == Locked::kYes;
  }
  // Why it was not to be had.
  Status status() const { return store_.Busy(locked_); }

 private:
  Locked Try() NO_THREAD_SAFETY_ANALYSIS {
    if (!store_.changing_.TryLock()) return Locked::kElsewhere;
    const Locked locked = store_.sharing_->TryLockChange();
    if (locked != Locked::kYes) store_.changing_.Unlock();
    return locked;
  }
  void Unlock() NO_THREAD_SAFETY_ANALYSIS {
    store_.sharing_->UnlockChange();
    store_.changing_.Unlock();
    store_.sharing_->gate().released.Ring();
  }

  LocalStore& store_;
  Locked locked_ = Locked::kElsewhere;
};

// The members' lock, likewise. Others have it for moments only, unless they are stopped.
class SCOPED_CAPABILITY LocalStore::Members {
 public:
  explicit Members(LocalStore& store) EXCLUDES(kMembersLock) : store_(store) {}
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

  LocalStore& store_;
  Locked locked_ = Locked::kElsewhere;
};

}  // namespace scsi_pr
