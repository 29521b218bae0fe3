// SPDX-License-Identifier: GPL-2.0-or-later
#include "care/repair.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "store/record_file.h"
#include "store/uuid.h"

namespace scsi_pr {

namespace {

Status InUse(const Inspection& found) {
  std::string names;
  for (const Attachment& attachment : found.attached) {
    names += (names.empty() ? "" : ", ") + std::to_string(attachment.process_id) + " (" +
             attachment.owner + ")";
  }
  return Status::Error(
      Status::Code::kInUse,
      found.path + " is in use" + (names.empty() ? "" : " by process " + names),
      "What is in force is in memory, and is written anew with the next change that "
      "must survive a power loss. Or stop the VMs that use it, then repair it.");
}

// PATH.damaged-N that is free, or that a repair which did not get far has made.
std::string FreeName(const RecordFile& file) {
  for (unsigned n = 1;; n++) {
    const std::string name = file.path() + ".damaged-" + std::to_string(n);
    struct stat info = {};
    if (lstat(name.c_str(), &info) != 0 || info.st_ino == file.info().st_ino) return name;
  }
}

// What the store goes on from, above every version that anybody may have seen.
DiskRecord Successor(const Inspection& found, const std::string& runtime_directory) {
  DiskRecord next;
  next.identity = IsUuid(found.identity) ? found.identity : RandomUuid();
  if (found.verdict.place) next.record = found.parts.part[*found.verdict.place].content.record;
  uint64_t newest = found.parts.newest();
  if (const auto memory = MemoryView::Find(next.identity, runtime_directory, getuid())) {
    newest = std::max(newest, memory->gate().attempted.load());
  }
  next.previous = newest + 1;
  next.record.version = newest + 2;
  if (!found.verdict.newer_is_lost) return next;
  next.record.unit_attentions.clear();
  next.record.state.legacy_holder.reset();
  next.record.state.information_lost = true;
  return next;
}

// Who has just left may still be closing it.
bool LockAlone(const RecordFile& file) {
  constexpr int kAttempts = 50;
  for (int i = 0; i < kAttempts; i++) {
    if (ByteLocks(file.fd()).TryLock(0) == Locked::kYes) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace

Status RepairStore(const Subject& subject, Repair* repair) {
  Inspection found = Inspect(subject);
  if (!found.status.ok() || !found.damaged()) return found.status;
  std::unique_ptr<RecordFile> file;
  if (Status status = RecordFile::Open(found.path, &file); !status.ok()) return status;
  if (!LockAlone(*file)) return InUse(found);
  const DiskRecord next = Successor(found, subject.runtime_directory);
  const std::string kept = FreeName(*file);
  if (Status status = file->Supersede(next, kept); !status.ok()) return status;
  *repair = {true, kept, next.record};
  return Status();
}

}  // namespace scsi_pr
