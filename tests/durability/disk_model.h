// SPDX-License-Identifier: GPL-2.0-or-later
//
// A disk that loses power: what a process did to the files of a directory is
// recorded, and what of it may be found afterwards is made at random.
//
// Synced is what fsync() or fdatasync() of the file has returned for, and for a
// name that of the directory. The rest may be there or not, each sector of 512
// bytes and each name for itself, in any order. A sector behind the old end of a
// file may hold anything. What is in memory is gone.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "file_calls.h"

namespace scsi_pr::testing {

// A change to a directory, or a mark of the test's in between.
struct DiskEvent {
  enum class Kind { kCreate, kWrite, kSync, kSyncNames, kLink, kRename, kUnlink, kMark };

  Kind kind = Kind::kMark;
  std::string name = {};      // in the directory; or what the mark says
  std::string new_name = {};  // of kLink and kRename
  uint64_t file = 0;          // of kCreate, kWrite, kSync: which one
  size_t offset = 0;          // of kWrite
  std::string data = {};      // of kWrite
};

// The disk is real, and nothing on it matters: no time is spent on syncing.
class NoSync : public FileWatcher {
 public:
  int Before(const FileCall& call) override {
    return call.kind == FileCall::Kind::kSync ? kPretend : 0;
  }
};

// Records what it watches.
class DiskRecorder : public NoSync {
 public:
  // Paths have `directory` and a slash before the name.
  explicit DiskRecorder(std::string directory) : directory_(std::move(directory)) {}

  void After(const FileCall& call) override;
  void Mark(std::string text);
  // By somebody else.
  void Removed(const std::string& path);
  const std::vector<DiskEvent>& events() const { return events_; }

 private:
  void Add(DiskEvent event);
  std::string NameOf(const std::string& path) const;
  uint64_t FileOf(int fd);
  void Forget(const std::string& name);

  const std::string directory_;
  std::mutex mutex_;
  std::map<std::string, ino_t> names_;
  std::map<ino_t, uint64_t> files_;  // the kernel uses the number of a file that is gone again
  uint64_t last_file_ = 0;
  std::vector<DiskEvent> events_;
};

class SimulatedDisk {
 public:
  // How much of what is not synced a power loss leaves.
  enum class Loss { kEverything, kNothing, kAnything };

  void Play(const DiskEvent& event);
  // Makes the files that are found when the power is back.
  void WriteAfterPowerLoss(const std::string& directory, Loss loss, std::mt19937& random) const;

 private:
  struct File {
    std::string synced;
    std::vector<DiskEvent> pending;  // kWrite
  };
  struct Naming {
    std::map<std::string, std::optional<uint64_t>> changes;  // all or none; nothing: no such name
  };

  static std::string Contents(const File& file, Loss loss, std::mt19937& random);
  void Name(const DiskEvent& event);
  uint64_t FileNamed(const std::string& name) const;

  std::map<uint64_t, File> files_;
  std::map<std::string, uint64_t> synced_names_;
  std::map<std::string, uint64_t> names_;  // as the process sees them
  std::vector<Naming> pending_names_;
};

}  // namespace scsi_pr::testing
