// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <thread>

#include "gate/crash_point.h"
#include "store/file_path.h"
#include "store/file_system.h"
#include "store/mutex.h"
#include "store/uuid.h"

namespace scsi_pr {

namespace {

constexpr uint64_t kUseLock = 0;
constexpr std::chrono::milliseconds kPoll{2};

Status Damaged(const std::string& path, const std::string& what) {
  return Status::Error(Status::Code::kCorrupt, path + " is damaged: " + what,
                       "Nothing was changed. What is left of it, and what to do: scsi-pr check "
                       "file:" +
                           path);
}

Status Newer(const std::string& path, const std::string& what) {
  return Status::Error(Status::Code::kUnsupported,
                       path + " was written by a newer version: " + what,
                       "Use that version, or a newer one.");
}

Status Judged(const std::string& path, const DiskParts& parts, uint64_t disowned,
              Verdict* verdict) {
  for (const DiskPart& part : parts.part) {
    if (part.condition == DiskPart::Condition::kNewer) return Newer(path, part.what);
  }
  *verdict = Judge(parts, disowned);
  return verdict->newer_is_lost ? Damaged(path, verdict->why) : Status();
}

// `check` of a file that others may change all the time, with the word that says where its
// newest record is: what it finds wrong counts only if that has not changed meanwhile.
template <typename Check>
Status WhileOthersWrite(const Gate& gate, Check check) {
  constexpr int kAttempts = 100;
  Status status;
  for (int i = 0; i < kAttempts; i++) {
    const uint64_t durable = gate.durable.load();
    status = check(RecordPlace::Of(durable));
    if (status.ok() || gate.durable.load() == durable) break;
  }
  return status;
}

}  // namespace

// What the jobs share.
struct FileDurable::File {
  std::string path;
  std::string identity;
  struct stat info = {};
  std::string directory;  // the runtime directory
  std::chrono::milliseconds patience = kPatience;
  std::unique_ptr<RecordFile> file GUARDED_BY(kDiskThread);

  std::string name_key;  // see Fact

  Mutex hear_mutex;
  std::function<void(const Status&)> hear GUARDED_BY(hear_mutex);

  Status Open(const std::string& named, const Options& options) REQUIRES(kDiskThread);
  Status Create(const Options& options) REQUIRES(kDiskThread);
  // For who opens or joins, while nobody else uses the file.
  ByteLocks Locks() const NO_THREAD_SAFETY_ANALYSIS { return ByteLocks(file->fd()); }
  Status ReadIdentity() REQUIRES(kDiskThread);
  // kCorrupt if it does not have that record (any more).
  Status CheckContents(const RecordPlace& durable) const REQUIRES(kDiskThread);
  // That it is still there, with that record.
  Status Check(const RecordPlace& durable) const REQUIRES(kDiskThread);
  void Hear(const Status& status) {
    const MutexLock lock(hear_mutex);
    if (hear) hear(status);
  }
};

Status FileDurable::File::ReadIdentity() {
  std::optional<Stamp> stamps[2];
  if (Status status = file->ReadStamps(stamps); !status.ok()) return status;
  for (const auto& stamp : stamps) {
    if (stamp && !stamp->is_blank()) identity = stamp->identity;
  }
  if (!identity.empty()) return Status();
  DiskParts parts;
  Verdict verdict;
  Status status = file->ReadParts(&parts);
  if (status.ok()) status = Judged(path, parts, 0, &verdict);
  return status.ok() ? Damaged(path, "it has no identity") : status;
}

Status FileDurable::File::Create(const Options& options) {
  Fact::Store used;
  // Another process may be making it at this moment: then it is there by now.
  if (Fact::IsStated(*options.directory, Fact::Kind::kName, StoreNameKey(path), &used) &&
      access(path.c_str(), F_OK) != 0) {
    return Status::Error(
        Status::Code::kInUse,
        path + " was removed, but VMs use it (" + used.user + ", store " + used.uri + ")",
        "A new one would let in whom the other keeps out. Put the file back, or stop "
        "these VMs first. (Their next change that must survive makes it anew.)");
  }
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Status status = fd < 0 ? Status() : CheckFileSystem(fd, directory, options.accept_file_system);
  if (fd >= 0) close(fd);
  return status.ok() ? RecordFile::Create(path) : status;
}

Status FileDurable::File::Open(const std::string& named, const Options& options) {
  Status status = CanonicalizeStorePath(named, &path);
  // Where there is no directory there is no store, for who does not want to make one.
  if (!status.ok() && !options.create) {
    return Status::Error(Status::Code::kInvalid, status.message(), status.hint());
  }
  if (!status.ok()) return status;
  status = RecordFile::Open(path, &file);
  if (status.code() == Status::Code::kInvalid && options.create && !file) {
    status = Create(options);
    if (status.ok()) status = RecordFile::Open(path, &file);
  }
  if (file) {
    const Status allowed = CheckFileSystem(file->fd(), path, options.accept_file_system);
    if (!allowed.ok()) return allowed;
  }
  if (!status.ok()) return status;
  info = file->info();
  name_key = StoreNameKey(path);
  return ReadIdentity();
}

Status FileDurable::File::CheckContents(const RecordPlace& durable) const {
  std::optional<Stamp> stamps[2];
  if (Status status = file->ReadStamps(stamps); !status.ok()) return status;
  const auto& stamp = stamps[durable.index];
  if (stamp && stamp->version == durable.version && stamp->identity == identity) return Status();
  return Status::Error(
      Status::Code::kCorrupt,
      path + " has lost version " + std::to_string(durable.version) +
          ", which was on the disk: it was overwritten or damaged",
      "The state in force stays; the next change that must survive writes the file "
      "anew.");
}

Status FileDurable::File::Check(const RecordPlace& durable) const {
  Status status = file->CheckStillThere();
  return status.ok() ? CheckContents(durable) : status;
}

// A change to the file, on the disk's thread. It holds all that it needs, for nobody may
// wait for it any more.
class FileDurable::Writing {
 public:
  Writing(std::shared_ptr<File> file, std::shared_ptr<HostLocks> locks, const Record& record)
      : file_(std::move(file)), locks_(std::move(locks)), gate_(locks_->gate()) {
    record_.identity = file_->identity;
    record_.record = record;
    record_.writing = RandomNumber();
  }
  // Of a record that was written before.
  Writing(std::shared_ptr<File> file, std::shared_ptr<HostLocks> locks, uint64_t writing)
      : file_(std::move(file)), locks_(std::move(locks)), gate_(locks_->gate()) {
    record_.writing = writing;
  }
  uint64_t number() const { return record_.writing; }

  Status Run() REQUIRES(kDiskThread) {
    if (Status status = LockDisk(); !status.ok()) return status;
    locks_->Settle();
    const RecordPlace durable = RecordPlace::Of(gate_.durable.load());
    place_ = durable.Other(record_.record.version);
    record_.previous = durable.version;
    Status status = Prepare(durable);
    if (status.ok()) status = Write();
    CrashPoint("persisted");
    Unlock();
    return status;
  }

  // What was written so, if it was, never came in force.
  void TakeBack() REQUIRES(kDiskThread) {
    if (LockDisk().ok()) TakeBackLocked();
  }
  // The same, unless somebody else is at the disk.
  void TryToTakeBack() REQUIRES(kDiskThread) {
    if (locks_->TryLockDisk() == Locked::kYes) TakeBackLocked();
  }

 private:
  void TakeBackLocked() REQUIRES(kDiskThread) {
    const unsigned place = 1 - RecordPlace::Of(gate_.durable.load()).index;
    if (gate_.disowned.load() == record_.writing && file_->file->TakeBack(place).ok()) {
      gate_.disowned.store(0);
    }
    Unlock();
  }
  // Who has it waits for the disk.
  Status LockDisk() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    for (;; std::this_thread::sleep_for(kPoll)) {
      const Locked locked = locks_->TryLockDisk();
      if (locked == Locked::kYes) return Status();
      if (locked == Locked::kElsewhere && std::chrono::steady_clock::now() < deadline) continue;
      return Status::Error(Status::Code::kIo,
                           "another process still waits for the file system of " + file_->path,
                           "Is it frozen (fsfreeze), or does its disk hang?");
    }
  }
  void Unlock() { locks_->UnlockDisk(); }

  Status Write() REQUIRES(kDiskThread) {
    gate_.attempted.store(record_.record.version);
    gate_.disowned.store(record_.writing);
    CrashPoint("disowned");
    bool lingers = false;
    Status status = file_->file->Write(place_.index, record_, &lingers);
    if (!status.ok() && !lingers) gate_.disowned.store(0);
    return status;
  }

  // What was removed or spoilt is made anew for the next change; this one is refused, for
  // somebody has to know.
  Status Prepare(const RecordPlace& durable) REQUIRES(kDiskThread) {
    RecordFile& file = *file_->file;
    Status status = file.CheckStillThere();
    if (!status.ok() && IsAdopted() && file.Reopen().ok()) status = file.CheckStillThere();
    if (status.ok()) {
      status = file_->CheckContents(durable);
      if (status.code() == Status::Code::kCorrupt) MakeAnew();
    } else if (file.IsGone()) {
      MakeAnew();
    }
    return status;
  }

  // Another process has made the file anew.
  bool IsAdopted() const REQUIRES(kDiskThread) {
    const struct stat& info = file_->file->info();
    return gate_.store_device.load() != info.st_dev || gate_.store_inode.load() != info.st_ino;
  }

  void MakeAnew() REQUIRES(kDiskThread) {
    std::shared_ptr<const Record> in_force;
    if (!locks_->InForce(&in_force).ok()) return;
    const DiskRecord newest{file_->identity, in_force->version - 1, *in_force, RandomNumber()};
    RecordPlace place{in_force->version, 1};
    if (!file_->file->WriteAnew(newest).ok()) return;
    gate_.durable.store(place.word());
    gate_.disowned.store(0);
    const struct stat& info = file_->file->info();
    gate_.store_device.store(info.st_dev);
    gate_.store_inode.store(info.st_ino);
    ByteLocks(file_->file->fd()).TryLockShared(kUseLock);
  }

  const std::shared_ptr<File> file_;
  const std::shared_ptr<HostLocks> locks_;
  Gate& gate_;
  DiskRecord record_;
  RecordPlace place_;
};

Status FileDurable::OnDisk(Disk::Job job, std::chrono::milliseconds patience,
                           std::function<void()> too_late) {
  return disk_.Run(std::move(job), patience, std::move(too_late));
}

Status FileDurable::Open(const std::string& path, const Options& options,
                         std::unique_ptr<FileDurable>* durable) {
  std::unique_ptr<FileDurable> opened(new FileDurable);
  const auto file = std::make_shared<File>();
  file->path = path;
  file->directory = options.directory->path();
  file->patience = options.patience;
  opened->file_ = file;
  Status status = opened->OnDisk(
      [file, path, options] {
        kDiskThread.AssertHeld();
        return file->Open(path, options);
      },
      options.patience);
  if (status.ok()) status = opened->StateName(options);
  if (status.ok()) *durable = std::move(opened);
  return status;
}

Status FileDurable::StateName(const Options& options) {
  bool agrees = false;
  Fact::Store other;
  Status status = Fact::State(options.directory, Fact::Kind::kName, file_->name_key,
                              {identity(), uri(), options.user}, &name_, &agrees, &other);
  if (!status.ok() || agrees) return status;
  return Status::Error(
      Status::Code::kInUse,
      path() + " is another store than the one that VMs use under this name (" + other.user + ")",
      "It was replaced while they use it. Put the original file back, or stop these "
      "VMs first.");
}

// The file is closed on the disk's thread, where that may wait. Whoever opens it next finds
// its lock free, unless the disk does not answer.
FileDurable::~FileDurable() {
  constexpr std::chrono::milliseconds kClosing{50};
  Follow(nullptr);
  const auto closed = disk_.Run(
      [file = std::move(file_)]() mutable {
        file.reset();
        return Status();
      },
      kClosing);
  static_cast<void>(closed.ok());
}

const std::string& FileDurable::path() const { return file_->path; }
const std::string& FileDurable::identity() const { return file_->identity; }
const struct stat& FileDurable::info() const { return file_->info; }

namespace {

Status AnotherMemory(const std::string& path, const std::string& directory) {
  return Status::Error(
      Status::Code::kInUse,
      path + " is in use by processes that have another runtime directory than " + directory,
      "All that use a store must share one runtime directory: /run/scsi-pr, or "
      "the one of pr-runtime-dir. Share it with the container, too, or stop the "
      "VMs that use the store.");
}

}  // namespace

Status FileDurable::Begin(uint64_t disowned, Record* record, RecordPlace* durable) {
  const ByteLocks locks = file_->Locks();
  // Who has just left may still be closing it.
  constexpr std::chrono::milliseconds kLeaving{500};
  const auto deadline = std::chrono::steady_clock::now() + kLeaving;
  while (locks.TryLock(kUseLock) != Locked::kYes) {
    if (std::chrono::steady_clock::now() >= deadline)
      return AnotherMemory(path(), file_->directory);
    std::this_thread::sleep_for(kPoll);
  }
  const auto read = std::make_shared<std::pair<Record, RecordPlace>>();
  Status status = OnDisk(
      [read, file = file_, disowned] {
        kDiskThread.AssertHeld();
        DiskParts parts;
        Verdict verdict;
        Status found = file->file->ReadParts(&parts);
        if (found.ok()) found = Judged(file->path, parts, disowned, &verdict);
        if (!found.ok()) return found;
        DiskPart& part = parts.part[*verdict.place];
        *read = {std::move(part.content.record), RecordPlace{part.version, *verdict.place}};
        return found;
      },
      file_->patience);
  if (status.ok()) {
    *record = std::move(read->first);
    *durable = read->second;
  }
  locks.TryLockShared(kUseLock);
  return status;
}

Status FileDurable::Join(const Gate& gate) {
  if (gate.store_device.load() != info().st_dev || gate.store_inode.load() != info().st_ino) {
    return Status::Error(Status::Code::kInUse,
                         path() + " is not the file of the store that VMs use now",
                         "It was replaced or copied while they use it. Put the original file back, "
                         "or stop these VMs first.");
  }
  if (file_->Locks().TryLockShared(kUseLock) != Locked::kYes) {
    return AnotherMemory(path(), file_->directory);
  }
  return WhileOthersWrite(gate, [this](const RecordPlace& durable) {
    const auto check = [file = file_, durable] {
      kDiskThread.AssertHeld();
      return file->Check(durable);
    };
    return OnDisk(check, file_->patience);
  });
}

void FileDurable::Identify(StoreIdentity* identity) {
  identity->kind = StoreIdentity::Kind::kFile;
  identity->id = file_->identity;
}

Status FileDurable::Persist(const Record& record) {
  const auto writing = std::make_shared<Writing>(file_, locks_, record);
  last_writing_ = writing->number();
  const auto run = [writing] {
    kDiskThread.AssertHeld();
    return writing->Run();
  };
  const auto take_back = [writing] {
    kDiskThread.AssertHeld();
    writing->TakeBack();
  };
  Status status = OnDisk(run, kPatience, take_back);
  // It may have been made anew.
  if (locks_->gate().store_inode.load() != followed_inode_) Watch();
  return status;
}

void FileDurable::Revoke() {
  const auto writing = std::make_shared<Writing>(file_, locks_, last_writing_);
  const auto take_back = [writing] {
    kDiskThread.AssertHeld();
    writing->TakeBack();
    return Status();
  };
  static_cast<void>(OnDisk(take_back, kPatience).ok());
}

void FileDurable::TakeBackDisowned() {
  locks_->Settle();
  const uint64_t disowned = locks_->gate().disowned.load();
  if (disowned == 0) return;
  disk_.Post([writing = std::make_shared<Writing>(file_, locks_, disowned)] {
    kDiskThread.AssertHeld();
    writing->TryToTakeBack();
  });
}

uint64_t FileDurable::NextVersion(uint64_t in_force) {
  return std::max(in_force, locks_->gate().attempted.load()) + 1;
}

void FileDurable::Follow(std::function<void(const Status&)> hear) {
  const bool begins = hear != nullptr;
  {
    const MutexLock lock(file_->hear_mutex);
    file_->hear = std::move(hear);
  }
  if (begins) Watch();
}

void FileDurable::Watch() {
  followed_inode_ = locks_->gate().store_inode.load();
  // Neither keeps the other, nor the store.
  disk_.Watch(file_->path, [file = std::weak_ptr(file_), locks = std::weak_ptr(locks_)] {
    const auto followed = file.lock();
    const auto shared = locks.lock();
    if (!followed || !shared) return;
    followed->Hear(WhileOthersWrite(shared->gate(), [&](const RecordPlace& durable) {
      kDiskThread.AssertHeld();
      return followed->Check(durable);
    }));
  });
}

}  // namespace scsi_pr
