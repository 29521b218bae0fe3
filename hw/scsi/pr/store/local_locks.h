// SPDX-License-Identifier: GPL-2.0-or-later
//
// How LocalStore takes the two locks that its participants share: among processes, and
// among the threads of this one.
#pragma once

#include "store/local_store.h"
#include "store/patience.h"

namespace scsi_pr {

// The right to change the state.
class LocalStore::Right {
 public:
  // Now, or not at all.
  explicit Right(LocalStore& store)
      : Right(store, std::chrono::steady_clock::time_point::min(), [] { return false; }) {}
  Right(LocalStore& store, std::chrono::steady_clock::time_point deadline,
        const std::function<bool()>& cancelled)
      : store_(store),
        locked_(LockBy(deadline, store.sharing_->gate().released, [&] { return Try(); }, cancelled)) {}
  ~Right() {
    if (!held()) return;
    store_.sharing_->UnlockChange();
    store_.changing_.unlock();
    store_.sharing_->gate().released.Ring();
  }
  Right(const Right&) = delete;
  Right& operator=(const Right&) = delete;

  bool held() const { return locked_ == Locked::kYes; }
  Status status() const { return held() ? Status() : store_.Busy(locked_); }

 private:
  Locked Try() {
    if (!store_.changing_.try_lock()) return Locked::kElsewhere;
    const Locked locked = store_.sharing_->TryLockChange();
    if (locked != Locked::kYes) store_.changing_.unlock();
    return locked;
  }

  LocalStore& store_;
  const Locked locked_;
};

// The members' lock. Others have it for moments only, unless they are stopped.
class LocalStore::Members {
 public:
  explicit Members(LocalStore& store) : store_(store), threads_(store.members_) {
    locked_ = LockBy(std::chrono::steady_clock::now() + kPatience, store.sharing_->gate().released,
                     [&] { return store_.sharing_->TryLockMembers(); }, [] { return false; });
  }
  // Now, or not at all.
  Members(LocalStore& store, std::try_to_lock_t)
      : store_(store), threads_(store.members_, std::try_to_lock) {
    if (threads_.owns_lock()) locked_ = store.sharing_->TryLockMembers();
  }
  ~Members() {
    if (!held()) return;
    store_.sharing_->UnlockMembers();
    store_.sharing_->gate().released.Ring();
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  bool held() const { return locked_ == Locked::kYes; }
  Status status() const { return held() ? Status() : store_.Busy(locked_); }

 private:
  LocalStore& store_;
  const std::unique_lock<std::mutex> threads_;
  Locked locked_ = Locked::kElsewhere;
};

}  // namespace scsi_pr
