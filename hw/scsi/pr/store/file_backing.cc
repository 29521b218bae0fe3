// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_backing.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <map>

#include "store/file_path.h"
#include "store/file_system.h"
#include "store/local_store.h"

namespace scsi_pr {

namespace {

// The stores of this process that are open, by device and inode. An entry goes
// when its store is destroyed, which is later than when the last user lets go.
struct Registry {
  using Key = std::pair<dev_t, ino_t>;

  std::mutex mutex;
  std::condition_variable destroyed;
  std::map<Key, std::weak_ptr<Store>> stores;
};

Registry& TheRegistry() {
  static Registry registry;
  return registry;
}

// Destroys under the registry's lock: no store may be opened while another
// one closes descriptors of the same file (range_lock.h).
struct DestroyRegistered {
  Registry::Key key;

  void operator()(Store* store) const {
    Registry& registry = TheRegistry();
    const std::lock_guard lock(registry.mutex);
    delete store;
    registry.stores.erase(key);
    registry.destroyed.notify_all();
  }
};

// The open store of that file; nothing if there is none, not even one that
// somebody else is about to destroy.
std::shared_ptr<Store> FindOpen(Registry& registry, std::unique_lock<std::mutex>& lock,
                                const Registry::Key& key) {
  for (;;) {
    const auto entry = registry.stores.find(key);
    if (entry == registry.stores.end()) return nullptr;
    if (std::shared_ptr<Store> store = entry->second.lock()) return store;
    registry.destroyed.wait(lock);
  }
}

Status NotHere(const std::string& path) {
  return Status::Error(Status::Code::kInvalid,
                       "there is no store " + path + " here that an incoming VM could go on with",
                       "It must be the very one of the source, which a file: store can only be on "
                       "the same host. To go to another host use a store that both can see.");
}

// Nothing is left where a store may not be.
Status CheckDirectoryOf(const std::string& path, const Store::Place& place) {
  const std::string directory = std::filesystem::path(path).parent_path();
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Status();  // making the store will tell
  Status status = CheckFileSystem(fd, directory, place.accept_file_system);
  close(fd);
  return status;
}

}  // namespace

Status OpenFileStore(const std::string& path, Store::OpenMode mode, const Store::Place& place,
                     std::shared_ptr<Store>* store) {
  std::string canonical;
  if (Status status = CanonicalizeStorePath(path, &canonical); !status.ok()) {
    return mode == Store::OpenMode::kIncoming ? NotHere(path) : status;
  }
  Registry& registry = TheRegistry();
  std::unique_lock registry_lock(registry.mutex);

  struct stat info = {};
  if (stat(canonical.c_str(), &info) != 0 && errno == ENOENT) {
    if (mode == Store::OpenMode::kIncoming) return NotHere(canonical);
    if (mode == Store::OpenMode::kExisting) {
      return Status::Error(Status::Code::kInvalid, "there is no store " + canonical,
                           "Name an existing one.");
    }
    Status status = CheckDirectoryOf(canonical, place);
    if (status.ok()) status = Database::Create(canonical);
    if (!status.ok()) return status;
  }
  if (stat(canonical.c_str(), &info) == 0) {
    *store = FindOpen(registry, registry_lock, {info.st_dev, info.st_ino});
    if (*store) return Status();
  }
  std::unique_ptr<FileBacking> backing;
  if (Status status = FileBacking::Open(canonical, place, &backing); !status.ok()) return status;
  const Registry::Key key{backing->device(), backing->inode()};
  *store = std::shared_ptr<Store>(new LocalStore("file:" + canonical, std::move(backing)),
                                  DestroyRegistered{key});
  registry.stores[key] = *store;
  return Status();
}

Status FileBacking::Open(const std::string& path, const Store::Place& place,
                         std::unique_ptr<FileBacking>* backing) {
  std::unique_ptr<RangeLock> locks;
  if (Status status = RangeLock::Open(path, &locks); !status.ok()) return status;
  Status allowed = CheckFileSystem(locks->fd(), path, place.accept_file_system);
  if (!allowed.ok()) return allowed;
  std::unique_ptr<Database> database;
  if (Status status = Database::Open(path, &database); !status.ok()) return status;
  backing->reset(new FileBacking(path, std::move(locks), std::move(database)));
  return (*backing)->OpenGate();
}

FileBacking::FileBacking(std::string path, std::unique_ptr<RangeLock> locks,
                         std::unique_ptr<Database> database)
    : path_(std::move(path)), locks_(std::move(locks)), database_(std::move(database)) {}

bool FileBacking::IsTaken(const RangeLock& locks, size_t index) {
  return locks.IsLockedElsewhere(kClaimLocks + index, 1);
}
bool FileBacking::IsTaken(const RangeLock& locks) {
  return locks.IsLockedElsewhere(kOwnerLocks, kAllSlotLocks);
}
bool FileBacking::LockForChange(RangeLock& locks) {
  return locks.Lock(kChangeLockByte, Store::kPatience);
}

bool FileBacking::TryLock() { return locks_->TryLock(kChangeLockByte); }
void FileBacking::Unlock() { locks_->Unlock(kChangeLockByte); }

Status FileBacking::OpenGate() {
  if (!LockForChange(*locks_)) {
    return Status::Error(Status::Code::kBusy,
                         path_ + " is being changed by another process that does not finish",
                         "Look for a stopped QEMU process that uses it.");
  }
  // Who had it may have put another file in its place (store/repair.h).
  Status status = CheckStillThere();
  if (status.ok()) status = UpgradeDatabase();
  if (status.ok()) status = FindGate();
  Unlock();
  return status;
}

// With the right to change. A process of an older version that has the file
// open, but nothing attached, cannot read it any more afterwards.
Status FileBacking::UpgradeDatabase() {
  if (!database_->NeedsUpgrade()) return Status();
  if (IsTaken(*locks_)) {
    return Status::Error(Status::Code::kInUse,
                         path_ + " is in use by processes of an older version",
                         "Stop the VMs that use it, then start them with this version.");
  }
  return database_->Upgrade();
}

Status FileBacking::FindGate() {
  struct stat info = {};
  if (stat(path_.c_str(), &info) != 0) {
    return Status::Error(Status::Code::kIo, "cannot use " + path_ + ": " + strerror(errno));
  }
  const std::string gate_path = path_ + "-gate";
  GateFile::Identity identity{"", GateFile::BootId(), device(), inode(), info};
  if (Status status = database_->LoadGateNonce(&identity.nonce); !status.ok()) return status;
  if (!identity.nonce.empty()) {
    Status status = GateFile::Map(gate_path, identity, &gate_file_);
    if (!status.ok() || gate_file_) return status;
  }
  // No gate of this boot. Unless somebody lives who maps one nevertheless:
  // two gates for one store would each admit what the other forbids.
  if (IsTaken(*locks_)) {
    return Status::Error(Status::Code::kInUse,
                         path_ + " is in use by processes that see another gate than " + gate_path,
                         "The gate file was removed or replaced, the store is mounted or linked "
                         "elsewhere, or another version runs. Stop the VMs that use it first.");
  }
  return MakeGate(std::move(identity));
}

Status FileBacking::MakeGate(GateFile::Identity identity) {
  const std::string gate_path = path_ + "-gate";
  gchar* nonce = g_uuid_string_random();
  identity.nonce = nonce;
  g_free(nonce);
  Status status = GateFile::Create(gate_path, identity);
  if (status.ok()) status = database_->SaveGateNonce(identity.nonce);
  if (status.ok()) status = GateFile::Map(gate_path, identity, &gate_file_);
  if (status.ok() && !gate_file_) {
    status = Status::Error(Status::Code::kInUse, gate_path + " was replaced by another process");
  }
  return status;
}

// A change must not go to a file that others no longer find under its name.
Status FileBacking::CheckStillThere() const {
  struct stat info = {};
  const bool found = stat(path_.c_str(), &info) == 0;
  if (found && info.st_dev == device() && info.st_ino == inode()) return Status();
  if (!found && errno != ENOENT) {
    return Status::Error(Status::Code::kIo, "cannot use " + path_ + ": " + strerror(errno),
                         "The user that runs QEMU must be able to use its directory.");
  }
  return Status::Error(Status::Code::kIo, path_ + " was removed or replaced while in use",
                       "Put the original file back.");
}

// While no nexus of this process was attached, the gate file may have been
// removed and another process may have made a new one.
Status FileBacking::Load(Record* record) {
  if (Status status = CheckStillThere(); !status.ok()) return status;
  std::string nonce;
  const std::lock_guard lock(database_mutex_);
  if (Status status = database_->Load(record, &nonce); !status.ok()) return status;
  if (nonce == gate_file_->gate().nonce) return Status();
  return Status::Error(Status::Code::kInUse,
                       path_ + " has got another gate, this process still sees the old one",
                       "The gate file was removed. Restart the VMs that use the store.");
}

Status FileBacking::Save(const Record& record, bool durable) {
  const std::lock_guard lock(database_mutex_);
  return database_->Save(record, durable);
}

Status FileBacking::Settle() {
  const std::lock_guard lock(database_mutex_);
  return database_->Settle();
}

Status FileBacking::Identify(StoreIdentity* identity) {
  identity->kind = StoreIdentity::Kind::kFile;
  const std::lock_guard lock(database_mutex_);
  return database_->LoadIdentity(&identity->id);
}

bool FileBacking::LockSlot(size_t index, bool heir) {
  if (!locks_->TryLock(kOwnerLocks + index)) return false;
  if (locks_->TryLockShared(kClaimLocks + index)) {
    if (!heir || locks_->TryLock(kHeirLocks + index)) return true;
    locks_->Unlock(kClaimLocks + index);
  }
  locks_->Unlock(kOwnerLocks + index);
  return false;
}

bool FileBacking::TakeSlot(bool heir, size_t* index) {
  const std::lock_guard lock(own_mutex_);
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const bool free = !gate_file_->gate().slots[i].attached() && !own_slots_.contains(i);
    if (!free || !LockSlot(i, heir)) continue;
    own_slots_[i] = true;
    *index = i;
    return true;
  }
  return false;
}

Backing::ClaimResult FileBacking::Claim(size_t index) {
  const std::lock_guard lock(own_mutex_);
  if (own_slots_.contains(index)) return ClaimResult::kOwn;
  if (!locks_->TryLock(kHeirLocks + index)) return ClaimResult::kHasHeir;
  if (locks_->TryLockShared(kClaimLocks + index)) {
    if (gate_file_->gate().slots[index].attached()) {
      own_slots_[index] = false;
      return ClaimResult::kClaimed;
    }
    locks_->Unlock(kClaimLocks + index);
  }
  locks_->Unlock(kHeirLocks + index);
  return ClaimResult::kLeaving;
}

// A shared claim becomes an exclusive one in one step, which fails if there is
// another: so one of two that leave at a time is the last.
void FileBacking::ReleaseSlot(size_t index) {
  const std::lock_guard lock(own_mutex_);
  if (locks_->TryLock(kClaimLocks + index)) gate_file_->gate().slots[index].Detach();
  own_slots_.erase(index);
  for (const uint64_t locks : {kHeirLocks, kOwnerLocks, kClaimLocks}) locks_->Unlock(locks + index);
}

bool FileBacking::IsLive(size_t index) {
  {
    const std::lock_guard lock(own_mutex_);
    if (own_slots_.contains(index)) return true;
  }
  return IsTaken(*locks_, index);
}

bool FileBacking::IsOwned(size_t index) {
  {
    const std::lock_guard lock(own_mutex_);
    const auto own = own_slots_.find(index);
    if (own != own_slots_.end() && own->second) return true;
  }
  return locks_->IsLockedElsewhere(kOwnerLocks + index, 1);
}

bool FileBacking::TryOwn(size_t index) {
  const std::lock_guard lock(own_mutex_);
  if (!own_slots_[index] && !locks_->TryLock(kOwnerLocks + index)) return false;
  own_slots_[index] = true;
  EndHeirship(index);
  return true;
}

void FileBacking::Disown(size_t index) {
  const std::lock_guard lock(own_mutex_);
  own_slots_[index] = false;
  locks_->Unlock(kOwnerLocks + index);
}

}  // namespace scsi_pr
