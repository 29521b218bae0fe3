// SPDX-License-Identifier: GPL-2.0-or-later
//
// The durable half of file:/PATH: its file, and the thread that waits for it. What is in
// force is in the memory that the processes share (host_locks.h); the file gets what has
// APTPL on, or just had (SPC-3 5.6.3), and is read when the first process opens it.
//
// A lock on the file (byte 0) is shared by all that use it, and exclusive for who begins:
// processes that would see different memories for one file refuse to start.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "store/disk.h"
#include "store/durable.h"
#include "store/host_locks.h"
#include "store/record_file.h"
#include "store/registry.h"

namespace scsi_pr {

class FileDurable : public Durable, public HostLocks::Origin {
 public:
  // How long a change waits for the disk.
  static constexpr std::chrono::milliseconds kPatience{5000};

  struct Options {
    bool create = false;                                     // make a store if there is none
    bool accept_file_system = false;                         // whatever that is
    std::chrono::milliseconds patience = kPatience;          // for opening
    std::shared_ptr<const RuntimeDirectory> directory = {};  // where stores in use are known
    std::string user = {};                                   // for people
  };

  // `path` as the user says it.
  static Status Open(const std::string& path, const Options& options,
                     std::unique_ptr<FileDurable>* durable);
  ~FileDurable() override;

  const std::string& path() const;      // canonical
  const std::string& identity() const;  // UUID
  std::string uri() const { return "file:" + path(); }
  const struct stat& info() const;  // when it was opened
  // Who shares it. Before Persist().
  void SetLocks(std::shared_ptr<HostLocks> locks) { locks_ = std::move(locks); }

  Status Begin(uint64_t disowned, Record* record, RecordPlace* durable) override;
  Status Join(const Gate& gate) override;

  Capabilities capabilities() const override {
    return {.persist_through_power_loss = true, .abort_tasks = true};
  }
  void Identify(StoreIdentity* identity) override;
  Status Persist(const Record& record) override REQUIRES(kRightToChange);
  void Revoke() override REQUIRES(kRightToChange);
  void TakeBackDisowned() override REQUIRES(kRightToChange);
  uint64_t NextVersion(uint64_t in_force) override REQUIRES(kRightToChange);
  void Follow(std::function<void(const Status&)> hear) override;

 private:
  struct File;
  class Writing;

  FileDurable() = default;
  Status StateName(const Options& options);
  void Watch();
  Status OnDisk(
      Disk::Job job, std::chrono::milliseconds patience, std::function<void()> too_late = [] {});

  Disk disk_;
  std::shared_ptr<File> file_;  // with its jobs
  std::shared_ptr<HostLocks> locks_;
  std::unique_ptr<Fact> name_;  // the file's
  uint64_t last_writing_ GUARDED_BY(kRightToChange) = 0;
  std::atomic<uint64_t> followed_inode_{0};
};

}  // namespace scsi_pr
