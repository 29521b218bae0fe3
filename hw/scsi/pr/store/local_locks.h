// SPDX-License-Identifier: GPL-2.0-or-later
//
// How LocalStore takes the right to change: among processes, and among the threads of this one.
#pragma once

#include "store/local_store.h"
#include "store/members_lock.h"
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
    const Bell& released = store_.sharing().gate().released;
    locked_ = LockBy(
        deadline, released, [this] { return Try(); }, cancelled);
    return locked_ == Locked::kYes;
  }
  // Why it was not to be had.
  Status status() const { return store_.Busy(locked_); }

 private:
  Locked Try() NO_THREAD_SAFETY_ANALYSIS {
    if (!store_.changing_.TryLock()) return Locked::kElsewhere;
    const Locked locked = store_.sharing().TryLockChange();
    if (locked != Locked::kYes) store_.changing_.Unlock();
    return locked;
  }
  void Unlock() NO_THREAD_SAFETY_ANALYSIS {
    store_.sharing().UnlockChange();
    store_.changing_.Unlock();
    store_.sharing().gate().released.Ring();
  }

  LocalStore& store_;
  Locked locked_ = Locked::kElsewhere;
};

}  // namespace scsi_pr
