// SPDX-License-Identifier: GPL-2.0-or-later
//
// `file:/PATH` - the store that all processes of a host share.
//
//   PATH        SQLite database: the last committed record       (database.h)
//   PATH-wal,-shm                SQLite's own
//   PATH-gate   the gate that all processes map                  (gate_file.h)
//
// Locks on bytes of PATH (range_lock.h):
//   kChangeLockByte  whoever reads to change, commits and publishes
//   kOwnerLocks + i  the process that owns gate slot i, while it lives
//   kClaimLocks + i  shared: whoever has the nexus of that slot attached
//   kHeirLocks + i   who waits for it to be handed over
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "store/backing.h"
#include "store/database.h"
#include "store/gate_file.h"
#include "store/range_lock.h"
#include "store/store.h"

namespace scsi_pr {

// The one object of this process for that file.
Status OpenFileStore(const std::string& path, Store::OpenMode mode, const Store::Place& place,
                     std::shared_ptr<Store>* store);

class FileBacking : public Backing {
 public:
  // `path` exists, is canonical, and no other object of this process uses it.
  static Status Open(const std::string& path, const Store::Place& place,
                     std::unique_ptr<FileBacking>* backing);

  // For those who look at a store, or repair it, without using it: whether a
  // process that lives has taken a slot, or any; and the right to change.
  static bool IsTaken(const RangeLock& locks, size_t index);
  static bool IsTaken(const RangeLock& locks);
  static bool LockForChange(RangeLock& locks);

  dev_t device() const { return locks_->device(); }
  ino_t inode() const { return locks_->inode(); }

  Capabilities capabilities() const override {
    return {.persist_through_power_loss = true, .abort_tasks = true};
  }
  Gate& gate() override { return gate_file_->gate(); }
  bool TryLock() override;
  void Unlock() override;
  Status Load(Record* record) override;
  Status Save(const Record& record, bool durable) override;
  Status Settle() override;
  Status Identify(StoreIdentity* identity) override;
  bool TakeSlot(bool heir, size_t* index) override;
  ClaimResult Claim(size_t index) override;
  void ReleaseSlot(size_t index) override;
  bool IsLive(size_t index) override;
  bool IsOwned(size_t index) override;
  bool TryOwn(size_t index) override;
  void Disown(size_t index) override;
  void EndHeirship(size_t index) override { locks_->Unlock(kHeirLocks + index); }

 private:
  static constexpr uint64_t kChangeLockByte = 0;
  static constexpr uint64_t kOwnerLocks = 16;
  static constexpr uint64_t kClaimLocks = kOwnerLocks + Gate::kSlots;
  static constexpr uint64_t kHeirLocks = kClaimLocks + Gate::kSlots;
  static constexpr uint64_t kAllSlotLocks = 3 * Gate::kSlots;  // from kOwnerLocks

  FileBacking(std::string path, std::unique_ptr<RangeLock> locks,
              std::unique_ptr<Database> database);

  Status OpenGate();
  Status UpgradeDatabase();
  Status FindGate();
  Status MakeGate(GateFile::Identity identity);
  Status CheckStillThere() const;
  bool LockSlot(size_t index, bool heir);

  const std::string path_;
  // In this order: SQLite closes the file before the locks do (range_lock.h).
  const std::unique_ptr<RangeLock> locks_;
  std::mutex database_mutex_;
  const std::unique_ptr<Database> database_;
  std::unique_ptr<GateFile> gate_file_;

  std::mutex own_mutex_;
  std::map<size_t, bool> own_slots_;  // claimed by this process; whether it owns them
};

}  // namespace scsi_pr
