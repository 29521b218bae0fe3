// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_store.h"

#include <glib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <map>

#include "store/membership.h"

namespace scsi_pr {

namespace {

constexpr uint64_t kChangeLockByte = 0;
constexpr uint64_t kSlotLocks = 16;

Status Invalid(std::string message, std::string hint) {
  return Status::Error(Status::Code::kInvalid, std::move(message), std::move(hint));
}

// An absolute path without links, so that all processes name the files beside
// the database alike. Only the last component may not exist yet.
Status Canonicalize(const std::string& path, std::string* canonical) {
  namespace fs = std::filesystem;
  if (!path.starts_with('/')) {
    return Invalid("the path of store file:" + path + " is not absolute",
                   "Write file:/ and the whole path.");
  }
  std::error_code error;
  fs::path target(path);
  if (const fs::path real = fs::canonical(target, error); !error) target = real;
  const fs::path directory = fs::canonical(target.parent_path(), error);
  if (error) {
    return Status::Error(Status::Code::kIo,
                         "the directory " + target.parent_path().string() + " of store file:" + path +
                             " cannot be used: " + error.message(),
                         "Create it, and let the user that runs QEMU write to it.");
  }
  if (target.filename().empty() || fs::is_directory(target, error)) {
    return Invalid("store file:" + path + " is a directory", "Name a file in it.");
  }
  *canonical = (directory / target.filename()).string();
  return Status();
}

// A gate is memory of one kernel. Several hosts on one file would each obey a
// gate of their own.
Status RefuseNetworkFileSystem(const std::string& path) {
  constexpr uint32_t kNetworkTypes[] = {
      0x6969,      // NFS
      0xFE534D42,  // SMB2
      0xFF534D42,  // CIFS
      0x00C36400,  // Ceph
      0x01021997,  // 9P
      0x7461636F,  // OCFS2
      0x01161970,  // GFS2
  };
  struct statfs info = {};
  if (statfs(path.c_str(), &info) != 0) return Status();
  const auto type = static_cast<uint32_t>(info.f_type);
  if (std::ranges::find(kNetworkTypes, type) == std::end(kNetworkTypes)) return Status();
  return Invalid(path + " is on a network or cluster file system",
                 "A file: store serves the VMs of one host. Put it on a local file system.");
}

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

}  // namespace

// The right to change the state, in this process and among all.
class FileStore::ChangeLock {
 public:
  explicit ChangeLock(FileStore& store) : store_(store), threads_(store.mutex_) {
    held_ = store_.locks_->Lock(kChangeLockByte, kPatience);
  }
  ~ChangeLock() {
    if (held_) store_.locks_->Unlock(kChangeLockByte);
  }
  ChangeLock(const ChangeLock&) = delete;
  ChangeLock& operator=(const ChangeLock&) = delete;

  Status status() const {
    if (held_) return Status();
    return Status::Error(Status::Code::kBusy, store_.uri() + " is being changed by another process "
                                              "that does not finish",
                         "Look for a stopped QEMU process that uses it.");
  }

 private:
  FileStore& store_;
  const std::lock_guard<std::mutex> threads_;
  bool held_ = false;
};

Status FileStore::Open(const std::string& path, OpenMode mode, std::shared_ptr<Store>* store) {
  std::string canonical;
  if (Status status = Canonicalize(path, &canonical); !status.ok()) return status;
  Registry& registry = TheRegistry();
  std::unique_lock registry_lock(registry.mutex);

  struct stat info = {};
  if (stat(canonical.c_str(), &info) != 0 && errno == ENOENT) {
    if (mode == OpenMode::kExisting) {
      return Invalid("there is no store " + canonical, "Name an existing one.");
    }
    if (Status status = Database::Create(canonical); !status.ok()) return status;
  }
  if (stat(canonical.c_str(), &info) == 0) {
    *store = FindOpen(registry, registry_lock, {info.st_dev, info.st_ino});
    if (*store) return Status();
  }
  if (Status status = RefuseNetworkFileSystem(canonical); !status.ok()) return status;

  std::unique_ptr<RangeLock> locks;
  if (Status status = RangeLock::Open(canonical, &locks); !status.ok()) return status;
  std::unique_ptr<Database> database;
  if (Status status = Database::Open(canonical, &database); !status.ok()) return status;
  const Registry::Key key{locks->device(), locks->inode()};
  std::unique_ptr<FileStore> opened(
      new FileStore(canonical, std::move(locks), std::move(database)));
  if (Status status = opened->OpenGate(); !status.ok()) return status;
  *store = std::shared_ptr<Store>(opened.release(), DestroyRegistered{key});
  registry.stores[key] = *store;
  return Status();
}

FileStore::FileStore(std::string path, std::unique_ptr<RangeLock> locks,
                     std::unique_ptr<Database> database)
    : Store("file:" + path),
      path_(std::move(path)),
      locks_(std::move(locks)),
      database_(std::move(database)) {}

FileStore::~FileStore() = default;

Status FileStore::OpenGate() {
  const ChangeLock lock(*this);
  if (!lock.status().ok()) return lock.status();
  struct stat info = {};
  if (stat(path_.c_str(), &info) != 0) {
    return Status::Error(Status::Code::kIo, "cannot use " + path_ + ": " + strerror(errno));
  }
  const std::string gate_path = path_ + "-gate";
  GateFile::Identity identity{"", GateFile::BootId(), locks_->device(), locks_->inode(),
                              info.st_mode & 0666};
  if (Status status = database_->LoadGateNonce(&identity.nonce); !status.ok()) return status;
  if (!identity.nonce.empty()) {
    Status status = GateFile::Map(gate_path, identity, &gate_file_);
    if (!status.ok() || gate_file_) return status;
  }
  // No gate of this boot. Unless somebody lives who maps one nevertheless:
  // two gates for one store would each admit what the other forbids.
  if (locks_->IsLockedElsewhere(kSlotLocks, Gate::kSlots)) {
    return Status::Error(Status::Code::kInUse,
                         path_ + " is in use by processes that see another gate than " + gate_path,
                         "The gate file was removed or replaced, the store is mounted or linked "
                         "elsewhere, or another version runs. Stop the VMs that use it first.");
  }
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
Status FileStore::CheckStillThere() const {
  struct stat info = {};
  if (stat(path_.c_str(), &info) == 0 && info.st_dev == locks_->device() &&
      info.st_ino == locks_->inode()) {
    return Status();
  }
  return Status::Error(Status::Code::kIo, path_ + " was removed or replaced while in use",
                       "Put the original file back.");
}

bool FileStore::IsLive(size_t index) {
  {
    const std::lock_guard lock(own_mutex_);
    if (own_slots_.contains(index)) return true;
  }
  return locks_->IsLockedElsewhere(kSlotLocks + index, 1);
}

bool FileStore::TakeSlot(size_t* index) {
  const std::lock_guard lock(own_mutex_);
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const bool free = !gate_file_->gate().slots[i].attached() && !own_slots_.contains(i);
    if (!free || !locks_->TryLock(kSlotLocks + i)) continue;
    own_slots_.insert(i);
    *index = i;
    return true;
  }
  return false;
}

// While no nexus of this process was attached, the gate file may have been
// removed and another process may have made a new one.
Status FileStore::CheckGate() {
  std::string nonce;
  if (Status status = database_->LoadGateNonce(&nonce); !status.ok()) return status;
  if (nonce == gate_file_->gate().nonce) return Status();
  return Status::Error(Status::Code::kInUse,
                       path_ + " has got another gate, this process still sees the old one",
                       "The gate file was removed. Restart the VMs that use the store.");
}

// The committed record, in force everywhere, without a legacy reservation that
// nobody holds any more. Under the change lock.
Status FileStore::LoadPublished(Record* record) {
  Status status = CheckStillThere();
  if (status.ok()) status = CheckGate();
  if (status.ok()) status = database_->Load(record);
  if (!status.ok()) return status;
  Gate& gate = gate_file_->gate();
  if (gate.published.load() != record->version) {
    Publish(gate, record->version, record->state, record->unit_attentions);
  }
  return ReleaseForTheGone(record);
}

// A legacy reservation ends with the process of its holder. Only where there
// is one is it worth asking the kernel who lives.
Status FileStore::ReleaseForTheGone(Record* record) {
  if (!record->state.legacy_holder) return Status();
  Gate& gate = gate_file_->gate();
  ForgetTheDead(gate, [this](size_t index) { return IsLive(index); });
  auto outcome = LoseNexusThatIsGone(record->state, gate);
  if (!outcome) return Status();
  return Commit(record, std::move(outcome->state), std::move(outcome->unit_attentions));
}

// Replaces `*record` by its successor. Under the change lock.
Status FileStore::Commit(Record* record, State state, std::vector<UnitAttention> unit_attentions) {
  // Also the change that turns APTPL off: the last valid value counts (5.6.3).
  const bool durable = record->state.aptpl || state.aptpl;
  Record next{record->version + 1, std::move(state), std::move(unit_attentions)};
  if (Status status = database_->Save(next, durable); !status.ok()) return status;
  *record = std::move(next);
  Publish(gate_file_->gate(), record->version, record->state, record->unit_attentions);
  return Status();
}

Status FileStore::Attach(const Nexus& nexus, const std::string& owner, GateSlot** slot) {
  const ChangeLock lock(*this);
  if (!lock.status().ok()) return lock.status();
  Gate& gate = gate_file_->gate();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  const size_t attached = ForgetTheDead(gate, [this](size_t index) { return IsLive(index); });
  if (Status status = CheckNexusFree(gate, nexus, uri()); !status.ok()) return status;
  if (attached == 0) {
    State powered_on = AfterPowerOn(record.state);
    if (powered_on != record.state) {
      if (Status status = Commit(&record, std::move(powered_on), {}); !status.ok()) return status;
    }
  }
  size_t index = 0;
  if (!TakeSlot(&index)) {
    return Status::Error(Status::Code::kInUse, uri() + " has no room for another I_T nexus: " +
                                                   std::to_string(Gate::kSlots) + " are attached");
  }
  *slot = &gate.slots[index];
  (*slot)->Attach(nexus, static_cast<uint32_t>(getpid()), owner,
                  AllowedAccess(record.state, nexus), record.version);
  return Status();
}

void FileStore::Detach(GateSlot* slot) {
  const auto index = static_cast<size_t>(slot - gate_file_->gate().slots);
  const std::lock_guard lock(own_mutex_);
  slot->Detach();
  own_slots_.erase(index);
  locks_->Unlock(kSlotLocks + index);
}

Status FileStore::Read(Snapshot* snapshot) {
  const ChangeLock lock(*this);
  if (!lock.status().ok()) return lock.status();
  Gate& gate = gate_file_->gate();
  ForgetTheDead(gate, [this](size_t index) { return IsLive(index); });
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *snapshot = {std::move(record.state), ListAttached(gate)};
  return Status();
}

Status FileStore::Update(const Transition& transition, Outcome* outcome) {
  const ChangeLock lock(*this);
  if (!lock.status().ok()) return lock.status();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *outcome = transition(record.state);
  if (outcome->status != ScsiStatus::kGood || outcome->state == record.state) return Status();
  return Commit(&record, outcome->state, outcome->unit_attentions);
}

}  // namespace scsi_pr
