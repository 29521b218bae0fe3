// SPDX-License-Identifier: GPL-2.0-or-later
//
// Locks on single bytes of a file, held by the kernel for as long as this
// object lives and no longer: a killed process holds none. They are open file
// description locks far behind the end of the file, where SQLite's own (which
// are process-wide) never are.
//
// The file is also mapped. A mapping holds the open file description until the
// kernel has torn down the memory of the process, which it does after it has
// waited for the process's asynchronous I/O (exit_aio); the descriptor alone
// may be closed earlier. So a lock that is free proves that nothing of its
// process is on its way to a medium any more; docs/design.md says for which
// ways of doing I/O.
//
// Closing any descriptor of a file drops all of a process's SQLite locks on
// it. Hence: open before SQLite opens the same file, destroy after SQLite
// has closed it, one object a file and process.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"

namespace scsi_pr {

class RangeLock {
 public:
  static Status Open(const std::string& path, std::unique_ptr<RangeLock>* lock);
  // Only to ask for locks; needs no right to write, and proves nothing.
  static Status OpenToLook(const std::string& path, std::unique_ptr<RangeLock>* lock);
  ~RangeLock();
  RangeLock(const RangeLock&) = delete;
  RangeLock& operator=(const RangeLock&) = delete;

  dev_t device() const { return device_; }
  ino_t inode() const { return inode_; }

  // Exclusive; false if another process has it.
  bool TryLock(uint64_t byte);
  // Tries until `patience` is over. It polls: a blocking lock could not be
  // given up.
  bool Lock(uint64_t byte, std::chrono::milliseconds patience);
  // Shared; false if another process has it exclusively.
  bool TryLockShared(uint64_t byte);
  void Unlock(uint64_t byte);
  // Whether another process (or another RangeLock) locks any of the bytes.
  bool IsLockedElsewhere(uint64_t first, uint64_t count) const;
  // The process that has the file open as an SQLite database in WAL mode, one of
  // them if it is several; 0: none.
  pid_t DatabaseUser() const;

  int fd() const { return fd_; }

 private:
  RangeLock(int fd, void* mapping, dev_t device, ino_t inode)
      : fd_(fd), mapping_(mapping), device_(device), inode_(inode) {}

  const int fd_;
  void* const mapping_;  // or null
  const dev_t device_;
  const ino_t inode_;
};

}  // namespace scsi_pr
