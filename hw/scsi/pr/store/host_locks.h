// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the processes of one host share of a store, whatever keeps its durable half: the
// gate's memory with the records in force and to come, the right to change, the
// members' lock, and who is attached. Nothing here ever waits for a disk.
//
// Locks on bytes of the memory's file (byte_locks.h):
//   kOpenLock        whoever opens, or is the last to leave
//   kUseLock         shared: whoever has it open
//   kChangeLock      the right to change the state; may be held for as long as a fencing
//                    waits
//   kMembersLock     who comes, goes, shuts or publishes; for moments only
//   kDiskLock        whoever writes to the durable half, until the disk has answered
//   kOwnerLocks + i  the process that owns gate slot i, while it lives
//   kClaimLocks + i  shared: whoever has the nexus of that slot attached
//   kHeirLocks + i   who waits for it to be handed over
//
// For the threads of one process see sharing.h.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "gate/gate.h"
#include "store/gate_memory.h"
#include "store/mutex.h"
#include "store/sharing.h"

namespace scsi_pr {

class HostLocks : public Sharing {
 public:
  // What a store is asked when its memory begins anew, under kOpenLock.
  class Origin {
   public:
    virtual ~Origin() = default;
    // Nobody else on this host uses the store: the record to begin with, and where the
    // durable half has it. `disowned` as for Judge().
    virtual Status Begin(uint64_t disowned, Record* record, RecordPlace* durable) = 0;
    // Somebody does, by way of this memory.
    virtual Status Join(const Gate& gate) = 0;
  };

  // `identity` is the store's, `file` its file. Waits up to `patience` for another
  // process that opens it.
  static Status Open(std::shared_ptr<const RuntimeDirectory> directory, const std::string& identity,
                     const struct stat& file, Origin& origin, std::chrono::milliseconds patience,
                     std::unique_ptr<HostLocks>* locks);
  // The same where another process, and that alone, begins the memory: kBusy if none has, or
  // if that one is gone.
  static Status Join(std::shared_ptr<const RuntimeDirectory> directory, const std::string& identity,
                     std::chrono::milliseconds patience, std::unique_ptr<HostLocks>* locks);
  // For who looks only: `memory` is open. Whether anybody uses it.
  static bool IsInUse(const ByteLocks& locks) { return locks.IsLockedElsewhere(kUseLock, 1); }
  static bool IsTaken(const ByteLocks& locks, size_t index) {
    return locks.IsLockedElsewhere(kClaimLocks + index, 1);
  }
  ~HostLocks() override;
  HostLocks(const HostLocks&) = delete;
  HostLocks& operator=(const HostLocks&) = delete;

  const GateMemory& memory() const { return *memory_; }

  // With the right to change, before the durable half is written: Gate::durable and
  // Gate::disowned say what is so, even if who wrote it last has died.
  void Settle();
  Locked TryLockDisk() { return bytes_.TryLock(kDiskLock); }
  void UnlockDisk() { bytes_.Unlock(kDiskLock); }

  Gate& gate() override { return memory_->gate(); }
  Locked TryLockChange() override { return bytes_.TryLock(kChangeLock); }
  void UnlockChange() override;
  Locked TryLockMembers() override { return bytes_.TryLock(kMembersLock); }
  void UnlockMembers() override;
  Status InForce(std::shared_ptr<const Record>* record) override;
  bool TryInForce(std::shared_ptr<const Record>* record) override {
    Status status;
    return ReadOnce(record, &status);
  }
  Status Stage(const Record& record) override REQUIRES(kRightToChange);
  // What is staged next may have a version that was there before, with another content: a
  // store was put back.
  void BeginRound() REQUIRES(kRightToChange) { new_round_ = true; }
  // In Gate::in_force, whose word never comes again: above the place is the number of the round.
  static RecordPlace PlaceOf(uint64_t in_force) { return RecordPlace::Of(in_force & (kRound - 1)); }
  void Enforce() override REQUIRES(kRightToChange, scsi_pr::kMembersLock);
  Status ToCome(uint64_t version, Record* record) override;
  bool TakeSlot(bool heir, size_t* index) override REQUIRES(scsi_pr::kMembersLock);
  ClaimResult Claim(size_t index) override REQUIRES(scsi_pr::kMembersLock);
  void ReleaseSlot(size_t index) override;
  bool IsLive(size_t index) override;
  bool IsOwned(size_t index) override;
  bool TryOwn(size_t index) override;
  void Disown(size_t index) override;
  void EndHeirship(size_t index) override { bytes_.Unlock(kHeirLocks + index); }

 private:
  static constexpr uint64_t kRound = uint64_t{1} << 48;
  static constexpr uint64_t kOpenLock = 0;
  static constexpr uint64_t kUseLock = 1;
  static constexpr uint64_t kChangeLock = 2;
  static constexpr uint64_t kMembersLock = 3;
  static constexpr uint64_t kDiskLock = 4;
  static constexpr uint64_t kOwnerLocks = 16;
  static constexpr uint64_t kClaimLocks = kOwnerLocks + Gate::kSlots;
  static constexpr uint64_t kHeirLocks = kClaimLocks + Gate::kSlots;

  explicit HostLocks(std::unique_ptr<GateMemory> memory)
      : memory_(std::move(memory)), bytes_(memory_->locks()) {}

  using GetMemory = std::function<Status(std::unique_ptr<GateMemory>*)>;
  using Begin = std::function<Status(GateMemory&)>;
  // `get` is asked until it has got one that is still there; `begin` if nobody uses it, else
  // `join`.
  static Status Enter(const GetMemory& get, const Begin& begin, const Begin& join,
                      std::chrono::milliseconds patience, std::unique_ptr<HostLocks>* locks);
  static Status BeginAnew(GateMemory& memory, const std::string& identity, const struct stat& file,
                          Origin& origin);
  RecordPlace PlaceInForce() const { return PlaceOf(memory_->gate().in_force.load()); }
  bool LockSlot(size_t index, bool heir);
  bool ReadOnce(std::shared_ptr<const Record>* record, Status* status);
  void Cache(uint64_t word, std::shared_ptr<const Record> record);

  const std::unique_ptr<GateMemory> memory_;
  const ByteLocks bytes_;

  Mutex cache_mutex_;
  // The last one known here that was in force.
  std::shared_ptr<const Record> cached_ GUARDED_BY(cache_mutex_);
  uint64_t cached_word_ GUARDED_BY(cache_mutex_) = 0;
  std::shared_ptr<const Record> staged_ GUARDED_BY(kRightToChange);
  bool new_round_ GUARDED_BY(kRightToChange) = false;

  Mutex own_mutex_;
  // Claimed by this process; whether it owns them.
  std::map<size_t, bool> own_slots_ GUARDED_BY(own_mutex_);
};

}  // namespace scsi_pr
