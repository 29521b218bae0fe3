// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where what is in force is kept: files on tmpfs, which no disk can fill, freeze or
// fail. All processes that share a store must share this directory:
//
//   the one that the property names; else
//   /run/scsi-pr, if it exists (a package makes it); else
//   $XDG_RUNTIME_DIR; else
//   /dev/shm
//
//   scsi-pr-UUID           the gate of the store with that identity (gate_memory.h)
//   scsi-pr-medium-DIGEST  which store guards a medium             (registry.h)
//   scsi-pr-name-DIGEST    which store has a name                  (registry.h)
//   scsi-pr-path-NAME.json a path group of that name               (path/group_file.h)
//
// Held by a descriptor: what happens to its path, or to the process's root, does not
// matter afterwards.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace scsi_pr {

class RuntimeDirectory {
 public:
  // `named`: as the user says it; empty: by the rule above. kInvalid: no absolute
  // path, or on no tmpfs; kIo: not there, or not to be used.
  static Status Open(const std::string& named, std::shared_ptr<const RuntimeDirectory>* directory);
  // Where a store of that user may have its gate, the likeliest first: for a tool that
  // was not told. Those that cannot be opened are left out.
  static std::vector<std::shared_ptr<const RuntimeDirectory>> Candidates(const std::string& named,
                                                                         uid_t user);
  ~RuntimeDirectory();
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;

  const std::string& path() const { return path_; }
  int fd() const { return fd_; }

  // Opens what is there, or makes it, readable and writable for its owner alone until
  // the caller gives it to others. -1 and errno. Never through a link.
  int OpenFile(const std::string& name, bool create) const;
  // Whether that name stands for the file behind `fd`.
  bool Names(const std::string& name, int fd) const;
  void Remove(const std::string& name) const;
  // What the files' names that begin so go on with, sorted; what cannot be listed is not there.
  std::vector<std::string> List(std::string_view prefix) const;

 private:
  RuntimeDirectory(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  const std::string path_;
  const int fd_;
};

}  // namespace scsi_pr
