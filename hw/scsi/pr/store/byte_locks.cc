// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/byte_locks.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace scsi_pr {

namespace {

constexpr off_t kBase = off_t{1} << 62;

struct flock Range(short type, uint64_t first, uint64_t count) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = kBase + static_cast<off_t>(first);
  range.l_len = static_cast<off_t>(count);
  return range;
}

Locked Set(int fd, short type, uint64_t byte) {
  struct flock range = Range(type, byte, 1);
  if (fcntl(fd, F_OFD_SETLK, &range) == 0) return Locked::kYes;
  return errno == EAGAIN || errno == EACCES ? Locked::kElsewhere : Locked::kFailed;
}

}  // namespace

Locked ByteLocks::TryLock(uint64_t byte) const { return Set(fd_, F_WRLCK, byte); }
Locked ByteLocks::TryLockShared(uint64_t byte) const { return Set(fd_, F_RDLCK, byte); }
void ByteLocks::Unlock(uint64_t byte) const { static_cast<void>(Set(fd_, F_UNLCK, byte)); }

bool ByteLocks::IsLockedElsewhere(uint64_t first, uint64_t count) const {
  struct flock range = Range(F_WRLCK, first, count);
  return fcntl(fd_, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

}  // namespace scsi_pr
