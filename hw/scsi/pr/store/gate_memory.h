// SPDX-License-Identifier: GPL-2.0-or-later
//
// The shared half of a store on this host: a file of the runtime directory with the
// gate, which every process maps, and behind it the records of the state in force and
// of the one that is to follow it, which are read and written like a file, so that no
// lack of memory ends a process.
//
//   Gate, then two places of kPlaceBytes: a header (kHeaderBytes) and EncodeRecord()
//
// Void when nobody uses it: it says nothing then but what Gate::disowned says. The
// mapping keeps the open file description, and its locks, until the kernel has torn
// down the memory of the process, which it does after it has waited for its
// asynchronous I/O (exit_aio); a descriptor may be closed earlier. So a lock that is
// free proves that nothing of its process is on its way to a medium any more;
// docs/design.md says for which ways of doing I/O.
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>

#include "core/status.h"
#include "gate/gate.h"
#include "store/byte_locks.h"
#include "store/record.h"
#include "store/runtime_directory.h"

namespace scsi_pr {

class GateMemory {
 public:
  static std::string NameFor(const std::string& identity) { return "scsi-pr-" + identity; }

  // Opens and maps the memory of the store with that identity, or makes one, whose
  // nonce is empty, with the permissions of `like`. kIo; kUnsupported: of another
  // version.
  static Status Open(std::shared_ptr<const RuntimeDirectory> directory, const std::string& identity,
                     const struct stat& like, std::unique_ptr<GateMemory>* memory);
  // The same of one that somebody else has made.
  static Status OpenExisting(std::shared_ptr<const RuntimeDirectory> directory,
                             const std::string& identity, std::unique_ptr<GateMemory>* memory);
  ~GateMemory();
  GateMemory(const GateMemory&) = delete;
  GateMemory& operator=(const GateMemory&) = delete;

  Gate& gate() { return *gate_; }
  const RuntimeDirectory& directory() const { return *directory_; }
  std::string path() const { return directory_->path() + "/" + name_; }
  ByteLocks locks() const { return ByteLocks(fd_); }
  // Whether others that open it now get this one.
  bool IsStillThere() const { return directory_->Names(name_, fd_); }
  void Remove() const { directory_->Remove(name_); }

  // As if it had just been made, but for what the next one has to know of the disk (Gate::disowned,
  // attempted, durable). Nobody else may use it.
  void Clear();

  // kIo: no room (whoever may write to the runtime directory can fill it).
  Status Write(RecordPlace place, const Record& record) const;
  // kCorrupt: what is there is not the record of that version.
  Status Read(RecordPlace place, Record* record) const;

 private:
  static Status Map(std::shared_ptr<const RuntimeDirectory> directory, const std::string& name,
                    int fd, std::unique_ptr<GateMemory>* memory);
  GateMemory(std::shared_ptr<const RuntimeDirectory> directory, std::string name, int fd,
             Gate* gate)
      : directory_(std::move(directory)), name_(std::move(name)), fd_(fd), gate_(gate) {}

  const std::shared_ptr<const RuntimeDirectory> directory_;
  const std::string name_;
  const int fd_;
  Gate* const gate_;
};

// The record in one of the places of the memory behind `fd`.
Status ReadPlace(int fd, RecordPlace place, Record* record);

}  // namespace scsi_pr
