// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/repair.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "gate/crash_point.h"
#include "store/database.h"
#include "store/file_backing.h"
#include "store/inspection.h"
#include "store/temporary.h"

namespace scsi_pr {

namespace {

Status Failure(const std::string& what) {
  return Status::Error(Status::Code::kIo, what + ": " + strerror(errno),
                       "Nothing of the store is lost. Repair it again when that is mended.");
}

// The change lock of what is under `path`, for as long as `*locks` lives.
Status Lock(const std::string& path, std::unique_ptr<RangeLock>* locks) {
  if (Status status = RangeLock::Open(path, locks); !status.ok()) return status;
  struct stat info = {};
  const bool locked = FileBacking::LockForChange(**locks) && stat(path.c_str(), &info) == 0 &&
                      info.st_ino == (*locks)->inode();
  if (locked) return Status();
  return Status::Error(Status::Code::kBusy, path + " is being changed by another process",
                       "Is it being repaired already? Try again in a moment.");
}

// One who merely has the database open might write to it.
Status RefuseUsed(const Inspection& inspection, const RangeLock& locks) {
  const pid_t user = locks.DatabaseUser();
  if (!FileBacking::IsTaken(locks) && user == 0) return Status();
  std::string names;
  for (const Attachment& attachment : inspection.attached) {
    names += (names.empty() ? "" : ", ") + std::to_string(attachment.process_id) + " (" +
             attachment.owner + ")";
  }
  if (names.empty() && user > 0) names = std::to_string(user);
  return Status::Error(Status::Code::kInUse,
                       inspection.path + " is in use by process " + (names.empty() ? "?" : names),
                       "Stop the VMs that use it, then repair it.");
}

// PATH.damaged-N that is free, or that a repair which did not get far has made.
std::string FreeName(const std::string& path, const RangeLock& locks) {
  for (unsigned n = 1;; n++) {
    const std::string name = path + ".damaged-" + std::to_string(n);
    struct stat info = {};
    const bool there = stat(name.c_str(), &info) == 0;
    if (there && info.st_ino == locks.inode()) return name;
    if (!there && access((name + "-wal").c_str(), F_OK) != 0) return name;
  }
}

// Makes `*name`, beside `path`, a file with this text and the owner of `like`.
Status WriteBeside(const std::string& path, const std::string& text, const struct stat& like,
                   std::string* name) {
  const int fd = CreateTemporary(path, name);
  const bool written = fd >= 0 && MakeUsableLike(fd, like) &&
                       write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       fsync(fd) == 0;
  const Status status = written ? Status() : Failure("cannot write beside " + path);
  if (fd >= 0) close(fd);
  if (!written && fd >= 0) unlink(name->c_str());
  return status;
}

// What the store goes on from.
Record Successor(const Verdict& verdict) {
  Record record = verdict.record.value_or(Record{});
  if (verdict.record && !verdict.newer_is_lost) return record;
  record.version++;
  record.unit_attentions.clear();
  record.state.legacy_holder.reset();
  record.state.information_lost = true;
  return record;
}

// Makes `*repaired`, durable, of what was found.
Status Build(const Inspection& found, std::string* repaired) {
  const Record record = Successor(found.verdict);
  Record older = found.verdict.newer_is_lost ? record : found.verdict.older.value_or(record);
  older.version = record.version - 1;
  struct stat like = {};
  if (stat(found.path.c_str(), &like) != 0) return Failure("cannot use " + found.path);
  if (Status status = WriteBeside(found.path, "", like, repaired); !status.ok()) return status;
  const Status status = Database::Build(*repaired, record, older, found.identity);
  if (!status.ok()) unlink(repaired->c_str());
  return status;
}

// Puts a mark in the place of the damaged database. Its write-ahead log must
// never lie beside another database, nor may it be opened without its log: while
// they are moved there is neither under the name. `*locks` is that of the mark
// when this returns.
Status PutMark(const std::string& path, const RepairMark& mark, std::unique_ptr<RangeLock>* locks) {
  struct stat like = {};
  if (stat(path.c_str(), &like) != 0) return Failure("cannot use " + path);
  const std::string text = std::string(kRepairMark) + mark.damaged + "\n" + mark.repaired +
                           "\nGo on with: scsi-pr check --repair file:" + path + "\n";
  std::string name;
  if (Status status = WriteBeside(path, text, like, &name); !status.ok()) return status;
  std::unique_ptr<RangeLock> mark_locks;
  Status status = Lock(name, &mark_locks);
  if (status.ok() && link(path.c_str(), mark.damaged.c_str()) != 0 && errno != EEXIST) {
    status = Failure("cannot keep the damaged store as " + mark.damaged);
  }
  if (status.ok()) status = SyncDirectoryOf(path);
  CrashPoint("kept");
  if (status.ok() && rename(name.c_str(), path.c_str()) != 0) {
    status = Failure("cannot replace " + path);
    unlink(mark.damaged.c_str());
  }
  if (!status.ok()) {
    unlink(name.c_str());
    return status;
  }
  *locks = std::move(mark_locks);
  return SyncDirectoryOf(path);
}

// The mark is in place. Each step may have been done before.
Status Finish(const std::string& path, const RepairMark& mark) {
  CrashPoint("marked");
  std::unique_ptr<RangeLock> locks;
  if (Status status = RangeLock::OpenToLook(mark.damaged, &locks); !status.ok()) return status;
  if (locks->DatabaseUser() != 0) {
    return Status::Error(Status::Code::kInUse, mark.damaged + " is in use by process " +
                                                   std::to_string(locks->DatabaseUser()),
                         "End that process, then repair it again.");
  }
  if (rename((path + "-wal").c_str(), (mark.damaged + "-wal").c_str()) != 0 && errno != ENOENT) {
    return Failure("cannot move " + path + "-wal");
  }
  unlink((path + "-shm").c_str());
  if (Status status = SyncDirectoryOf(path); !status.ok()) return status;
  CrashPoint("moved");
  if (rename(mark.repaired.c_str(), path.c_str()) != 0) return Failure("cannot replace " + path);
  CrashPoint("replaced");
  return SyncDirectoryOf(path);
}

// What is under `path` is damaged, and locked.
Status Begin(const Inspection& found, RepairMark* mark, std::unique_ptr<RangeLock>* locks) {
  if (Status status = RefuseUsed(found, **locks); !status.ok()) return status;
  mark->damaged = FreeName(found.path, **locks);
  if (Status status = Build(found, &mark->repaired); !status.ok()) return status;
  CrashPoint("built");
  const Status status = PutMark(found.path, *mark, locks);
  if (!status.ok()) unlink(mark->repaired.c_str());
  return status;
}

}  // namespace

Status RepairStore(const std::string& path, Repair* repair) {
  // Whether it is a store at all, and how everybody names it.
  Inspection found = Inspect(path, false);
  if (!found.status.ok()) return found.status;
  std::unique_ptr<RangeLock> locks;
  if (Status status = Lock(found.path, &locks); !status.ok()) return status;
  found = Inspect(found.path, true);
  if (!found.status.ok() || !found.damaged()) return found.status;
  auto mark = RepairInterruptedAt(found.path);
  if (!mark) {
    mark.emplace();
    if (Status status = Begin(found, &*mark, &locks); !status.ok()) return status;
  }
  if (Status status = Finish(found.path, *mark); !status.ok()) return status;
  locks.reset();
  found = Inspect(found.path, false);
  if (found.status.ok() && found.verdict.record) {
    *repair = {true, mark->damaged, *found.verdict.record};
    return Status();
  }
  return Status::Error(Status::Code::kIo, found.path + " was changed while it was repaired");
}

}  // namespace scsi_pr
