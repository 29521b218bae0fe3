// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/host_locks.h"

#include <glib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "gate/crash_point.h"
#include "store/uuid.h"

namespace scsi_pr {

namespace {

// Of a few moments, if who has it is not stopped.
constexpr std::chrono::milliseconds kPoll{1};

Status CannotLock(const std::string& path) {
  return Status::Error(Status::Code::kIo, "cannot lock " + path + ": " + strerror(errno),
                       "The kernel has no room for the lock; nothing was changed.");
}

Status BeingOpened(const std::string& path) {
  return Status::Error(Status::Code::kBusy,
                       path + " is being opened by another process that does not finish",
                       "Look for a stopped QEMU process that uses the store.");
}

// What is in force is not disowned, and where the durable half has it. Who enforced it may
// have died in between.
void SettleEnforced(Gate& gate) {
  const uint64_t version = HostLocks::PlaceOf(gate.in_force.load()).version;
  if (gate.disowned.load() == 0 || gate.attempted.load() != version) return;
  const RecordPlace durable = RecordPlace::Of(gate.durable.load());
  if (durable.version != version) gate.durable.store(durable.Other(version).word());
  gate.disowned.store(0);
}

}  // namespace

Status HostLocks::BeginAnew(GateMemory& memory, const std::string& identity,
                            const struct stat& file, Origin& origin) {
  Record record;
  RecordPlace durable;
  Gate& gate = memory.gate();
  SettleEnforced(gate);
  Status status = origin.Begin(gate.disowned.load(), &record, &durable);
  if (!status.ok()) return status;
  memory.Clear();
  CrashPoint("beginning");
  const RecordPlace place{record.version, 0};
  if (status = memory.Write(place, record); !status.ok()) return status;
  g_strlcpy(gate.store, identity.c_str(), sizeof gate.store);
  gate.store_device.store(file.st_dev);
  gate.store_inode.store(file.st_ino);
  gate.durable.store(durable.word());
  gate.attempted.store(std::max(record.version, gate.attempted.load()));
  gate.in_force.store(place.word());
  // Nobody is attached, so all slots show it.
  gate.published.store(record.version);
  gate.generation.store(record.state.generation);
  g_strlcpy(gate.nonce, RandomUuid().c_str(), sizeof gate.nonce);
  return status;
}

Status HostLocks::Enter(const GetMemory& get, const Begin& begin, const Begin& join,
                        std::chrono::milliseconds patience, std::unique_ptr<HostLocks>* locks) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  for (;; std::this_thread::sleep_for(kPoll)) {
    std::unique_ptr<GateMemory> memory;
    Status status = get(&memory);
    if (!status.ok()) return status;
    const ByteLocks bytes = memory->locks();
    const Locked locked = bytes.TryLock(kOpenLock);
    if (locked == Locked::kFailed) return CannotLock(memory->path());
    // Who left last has removed it meanwhile, maybe.
    if (locked == Locked::kElsewhere || !memory->IsStillThere()) {
      if (std::chrono::steady_clock::now() >= deadline) return BeingOpened(memory->path());
      continue;
    }
    const bool used = IsInUse(bytes) && memory->gate().nonce[0] != '\0';
    status = used ? join(*memory) : begin(*memory);
    if (status.ok() && bytes.TryLockShared(kUseLock) != Locked::kYes) {
      status = CannotLock(memory->path());
    }
    if (status.ok()) {
      locks->reset(new HostLocks(std::move(memory)));
      bytes.Unlock(kOpenLock);
    }
    return status;
  }
}

Status HostLocks::Open(std::shared_ptr<const RuntimeDirectory> directory,
                       const std::string& identity, const struct stat& file, Origin& origin,
                       std::chrono::milliseconds patience, std::unique_ptr<HostLocks>* locks) {
  return Enter([&](auto* memory) { return GateMemory::Open(directory, identity, file, memory); },
               [&](GateMemory& memory) { return BeginAnew(memory, identity, file, origin); },
               [&](GateMemory& memory) { return origin.Join(memory.gate()); }, patience, locks);
}

Status HostLocks::Join(std::shared_ptr<const RuntimeDirectory> directory,
                       const std::string& identity, std::chrono::milliseconds patience,
                       std::unique_ptr<HostLocks>* locks) {
  return Enter([&](auto* memory) { return GateMemory::OpenExisting(directory, identity, memory); },
               [](GateMemory& memory) {
                 return Status::Error(Status::Code::kBusy,
                                      "who keeps " + memory.path() + " has just gone",
                                      "Try again when it is back.");
               },
               [](GateMemory&) { return Status(); }, patience, locks);
}

// The last one removes it, unless it has to say what of the disk must not be believed.
HostLocks::~HostLocks() {
  bytes_.Unlock(kUseLock);
  if (bytes_.TryLock(kOpenLock) == Locked::kYes && !IsInUse(bytes_) &&
      gate().disowned.load() == 0 && memory_->IsStillThere()) {
    memory_->Remove();
  }
}

void HostLocks::UnlockChange() { bytes_.Unlock(kChangeLock); }

void HostLocks::UnlockMembers() { bytes_.Unlock(kMembersLock); }

// A record in force is not overwritten before another one has come in force, and a third
// is to come: whoever reads the same word before and after has read what it stands for.
// False, with kOk, if it was another one.
bool HostLocks::ReadOnce(std::shared_ptr<const Record>* record, Status* status) {
  const uint64_t word = gate().in_force.load();
  {
    const MutexLock lock(cache_mutex_);
    if (cached_ != nullptr && cached_word_ == word) {
      *record = cached_;
      return true;
    }
  }
  auto read = std::make_shared<Record>();
  *status = memory_->Read(PlaceOf(word), read.get());
  if (gate().in_force.load() != word) {
    *status = Status();
    return false;
  }
  if (!status->ok()) return false;
  Cache(word, read);
  *record = std::move(read);
  return true;
}

Status HostLocks::InForce(std::shared_ptr<const Record>* record) {
  constexpr int kAttempts = 1000;
  Status status;
  for (int i = 0; i < kAttempts && status.ok(); i++) {
    if (ReadOnce(record, &status)) return Status();
  }
  return Status::Error(Status::Code::kCorrupt,
                       memory_->path() + " is spoilt: " +
                           (status.ok() ? "its record changes all the time" : status.message()),
                       "A process that may write to it has damaged it. Reservations stay in force "
                       "as they are; stop the VMs that use the store, then start them again.");
}

void HostLocks::Cache(uint64_t word, std::shared_ptr<const Record> record) {
  const MutexLock lock(cache_mutex_);
  cached_ = std::move(record);
  cached_word_ = word;
}

Status HostLocks::Stage(const Record& record) {
  staged_ = std::make_shared<Record>(record);
  return memory_->Write(PlaceInForce().Other(record.version), record);
}

void HostLocks::Enforce() {
  const uint64_t round = gate().in_force.load() & ~(kRound - 1);
  uint64_t word = round | PlaceInForce().Other(staged_->version).word();
  if (std::exchange(new_round_, false)) word += kRound;
  gate().in_force.store(word);
  CrashPoint("enforced");
  Cache(word, std::move(staged_));
  Settle();
}

void HostLocks::Settle() { SettleEnforced(gate()); }

Status HostLocks::ToCome(uint64_t version, Record* record) {
  return memory_->Read(PlaceInForce().Other(version), record);
}

bool HostLocks::LockSlot(size_t index, bool heir) {
  if (bytes_.TryLock(kOwnerLocks + index) != Locked::kYes) return false;
  if (bytes_.TryLockShared(kClaimLocks + index) == Locked::kYes) {
    if (!heir || bytes_.TryLock(kHeirLocks + index) == Locked::kYes) return true;
    bytes_.Unlock(kClaimLocks + index);
  }
  bytes_.Unlock(kOwnerLocks + index);
  return false;
}

bool HostLocks::TakeSlot(bool heir, size_t* index) {
  const MutexLock lock(own_mutex_);
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const bool free = !gate().slots[i].attached() && !own_slots_.contains(i);
    if (!free || !LockSlot(i, heir)) continue;
    own_slots_[i] = true;
    *index = i;
    return true;
  }
  return false;
}

Sharing::ClaimResult HostLocks::Claim(size_t index) {
  const MutexLock lock(own_mutex_);
  if (own_slots_.contains(index)) return ClaimResult::kOwn;
  if (bytes_.TryLock(kHeirLocks + index) != Locked::kYes) return ClaimResult::kHasHeir;
  if (bytes_.TryLockShared(kClaimLocks + index) == Locked::kYes) {
    if (gate().slots[index].attached()) {
      own_slots_[index] = false;
      return ClaimResult::kClaimed;
    }
    bytes_.Unlock(kClaimLocks + index);
  }
  bytes_.Unlock(kHeirLocks + index);
  return ClaimResult::kLeaving;
}

// A shared claim becomes an exclusive one in one step, which fails if there is
// another: so one of two that leave at a time is the last.
void HostLocks::ReleaseSlot(size_t index) {
  const MutexLock lock(own_mutex_);
  if (bytes_.TryLock(kClaimLocks + index) == Locked::kYes) gate().slots[index].Detach();
  own_slots_.erase(index);
  for (const uint64_t locks : {kHeirLocks, kOwnerLocks, kClaimLocks}) bytes_.Unlock(locks + index);
}

bool HostLocks::IsLive(size_t index) {
  {
    const MutexLock lock(own_mutex_);
    if (own_slots_.contains(index)) return true;
  }
  return IsTaken(bytes_, index);
}

bool HostLocks::IsOwned(size_t index) {
  {
    const MutexLock lock(own_mutex_);
    const auto own = own_slots_.find(index);
    if (own != own_slots_.end() && own->second) return true;
  }
  return bytes_.IsLockedElsewhere(kOwnerLocks + index, 1);
}

bool HostLocks::TryOwn(size_t index) {
  const MutexLock lock(own_mutex_);
  if (!own_slots_[index] && bytes_.TryLock(kOwnerLocks + index) != Locked::kYes) return false;
  own_slots_[index] = true;
  EndHeirship(index);
  return true;
}

void HostLocks::Disown(size_t index) {
  const MutexLock lock(own_mutex_);
  own_slots_[index] = false;
  bytes_.Unlock(kOwnerLocks + index);
}

}  // namespace scsi_pr
