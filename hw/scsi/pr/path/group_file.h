// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a path group's state is kept between calls: scsi-pr-path-NAME.json in the runtime directory
// (store/runtime_directory.h), on tmpfs. A reboot forgets it, and with it the groups: what is at
// the logical unit stays, and opening looks there first.
//
// Whoever changes a group holds the file's lock (flock) all the while. Each state takes the place
// of the one before as a whole: who only looks needs no lock, and a process that is killed leaves
// the one or the other.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "path/group_state.h"
#include "store/runtime_directory.h"

namespace scsi_pr {

class GroupFile {
 public:
  using Directory = std::shared_ptr<const RuntimeDirectory>;

  // Takes the lock, and waits for it at most that long (kBusy). kInvalid: no such group, unless
  // `create`; kCorrupt, kUnsupported: the file is damaged, or of a newer version; kIo: it is
  // another user's, or others may write to it, who are not to say which devices are opened.
  static Status Open(const Directory& directory, const std::string& name, bool create,
                     std::chrono::milliseconds patience, std::unique_ptr<GroupFile>* file);
  // Without the lock.
  static Status Read(const Directory& directory, const std::string& name, GroupState* state);
  // Of all groups, sorted.
  static std::vector<std::string> Names(const Directory& directory);

  // Frees the lock. A group that was created and never saved is none.
  ~GroupFile();
  GroupFile(const GroupFile&) = delete;
  GroupFile& operator=(const GroupFile&) = delete;

  // Nothing: the group is new.
  const std::optional<GroupState>& state() const { return state_; }
  // In place of what there was. kIo: that could not be written, and is as before.
  Status Save(const GroupState& state);
  // The group is no more.
  void Remove();

 private:
  GroupFile(Directory directory, std::string file, int fd)
      : directory_(std::move(directory)), file_(std::move(file)), fd_(fd) {}
  void RemoveLeftOvers() const;

  const Directory directory_;
  const std::string file_;  // in the directory
  int fd_;                  // locked
  std::optional<GroupState> state_;
};

}  // namespace scsi_pr
