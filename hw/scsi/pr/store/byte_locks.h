// SPDX-License-Identifier: GPL-2.0-or-later
//
// Locks on single bytes of a file, far behind its end, held by the kernel for the
// open file description (F_OFD_SETLK): a killed process holds none, and neither a
// process ID nor a time-out ever tells who lives. That they work between mount, PID
// and user namespaces is why they, and nothing else, prove anything here.
//
// They belong to the descriptor that they were taken through: the threads of a
// process that share it share its locks. Never waits. Any thread.
#pragma once

#include <cstdint>

namespace scsi_pr {

// kFailed: the kernel could not tell, or has no room for a lock (ENOLCK, EIO); errno
// says why. Never to be taken for "somebody else has it".
enum class Locked { kYes, kElsewhere, kFailed };

class ByteLocks {
 public:
  // The caller's, open for reading and writing; it outlives this.
  explicit ByteLocks(int fd) : fd_(fd) {}

  // Exclusive; in place of a shared one in one step, which fails and leaves it if
  // there is another.
  Locked TryLock(uint64_t byte) const;
  // Shared; in place of an exclusive one it cannot fail.
  Locked TryLockShared(uint64_t byte) const;
  void Unlock(uint64_t byte) const;
  // Whether anybody locks one of the bytes through another open file description. An
  // error counts as yes: a living process must not be taken for a dead one.
  bool IsLockedElsewhere(uint64_t first, uint64_t count) const;

 private:
  int fd_;
};

}  // namespace scsi_pr
