// SPDX-License-Identifier: GPL-2.0-or-later
//
// What another process that shares a file store has of it. The kernel's locks tell open
// file descriptions apart, so it may be the test's own process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "store/file_durable.h"
#include "store/file_io.h"
#include "store/host_locks.h"

namespace scsi_pr::testing {

class OtherProcess {
 public:
  explicit OtherProcess(const std::string& path, const std::string& runtime_directory = "") {
    std::shared_ptr<const RuntimeDirectory> directory;
    EXPECT_TRUE(RuntimeDirectory::Open(runtime_directory, &directory).ok());
    FileDurable::Options options;
    options.directory = directory;
    EXPECT_TRUE(FileDurable::Open(path, options, &durable_).ok());
    const Status status = HostLocks::Open(directory, durable_->identity(), durable_->info(),
                                          *durable_, FileDurable::kPatience, &locks_);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  HostLocks& locks() { return *locks_; }

  // A change, up to the moment at which it is in force but not published.
  void Commit(const State& state, const std::vector<UnitAttention>& unit_attentions = {}) {
    Gate& gate = locks_->gate();
    const uint64_t version = RecordPlace::Of(gate.in_force.load()).version + 1;
    EXPECT_TRUE(locks_->Stage({version, state, unit_attentions}).ok());
    locks_->Enforce();
  }
  // Writes garbage over the record in force: nobody can use the store until Heal().
  void Spoil() {
    std::shared_ptr<const Record> record;
    EXPECT_TRUE(locks_->InForce(&record).ok());
    before_ = record->state;
    Commit(before_);
    constexpr off_t kPlaceBytes = off_t{8} << 20;
    const RecordPlace place = RecordPlace::Of(locks_->gate().in_force.load());
    const off_t at = static_cast<off_t>(sizeof(Gate)) + place.index * kPlaceBytes;
    const int fd = open(locks_->memory().path().c_str(), O_WRONLY | O_CLOEXEC);
    const std::string garbage(64, '\xA5');
    EXPECT_TRUE(WriteAll(fd, garbage.data(), garbage.size(), at));
    close(fd);
  }
  void Heal() { Commit(before_); }

 private:
  State before_;
  std::unique_ptr<FileDurable> durable_;
  std::unique_ptr<HostLocks> locks_;
};

}  // namespace scsi_pr::testing
