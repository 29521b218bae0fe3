// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/range_lock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

namespace scsi_pr {

namespace {

constexpr off_t kBase = off_t{1} << 62;
// Never touched: mapped only for as long as the process has memory.
constexpr size_t kMapped = 1;

struct flock Range(short type, uint64_t first, uint64_t count) {
  struct flock range = {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = kBase + static_cast<off_t>(first);
  range.l_len = static_cast<off_t>(count);
  return range;
}

}  // namespace

Status RangeLock::Open(const std::string& path, std::unique_ptr<RangeLock>* lock) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOCTTY);
  struct stat info = {};
  void* mapping = MAP_FAILED;
  if (fd >= 0) mapping = mmap(nullptr, kMapped, PROT_READ, MAP_SHARED, fd, 0);
  if (mapping == MAP_FAILED || fstat(fd, &info) != 0) {
    const int error = errno;
    if (mapping != MAP_FAILED) munmap(mapping, kMapped);
    if (fd >= 0) close(fd);
    return Status::Error(Status::Code::kIo, "cannot open " + path + ": " + strerror(error),
                         "The user that runs QEMU must be able to read and write it.");
  }
  lock->reset(new RangeLock(fd, mapping, info.st_dev, info.st_ino));
  return Status();
}

Status RangeLock::OpenToLook(const std::string& path, std::unique_ptr<RangeLock>* lock) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat info = {};
  if (fd < 0 || fstat(fd, &info) != 0) {
    const int error = errno;
    if (fd >= 0) close(fd);
    return Status::Error(Status::Code::kIo, "cannot open " + path + ": " + strerror(error),
                         "Run this as a user that may read it.");
  }
  lock->reset(new RangeLock(fd, nullptr, info.st_dev, info.st_ino));
  return Status();
}

RangeLock::~RangeLock() {
  if (mapping_ != nullptr) munmap(mapping_, kMapped);
  close(fd_);
}

bool RangeLock::TryLock(uint64_t byte) {
  struct flock range = Range(F_WRLCK, byte, 1);
  return fcntl(fd_, F_OFD_SETLK, &range) == 0;
}

bool RangeLock::TryLockShared(uint64_t byte) {
  struct flock range = Range(F_RDLCK, byte, 1);
  return fcntl(fd_, F_OFD_SETLK, &range) == 0;
}

bool RangeLock::Lock(uint64_t byte, std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::chrono::microseconds pause{50};
  while (!TryLock(byte)) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, std::chrono::microseconds{2000});
  }
  return true;
}

void RangeLock::Unlock(uint64_t byte) {
  struct flock range = Range(F_UNLCK, byte, 1);
  fcntl(fd_, F_OFD_SETLK, &range);
}

bool RangeLock::IsLockedElsewhere(uint64_t first, uint64_t count) const {
  struct flock range = Range(F_WRLCK, first, count);
  // An error counts as locked: never take a living process for a dead one.
  return fcntl(fd_, F_OFD_GETLK, &range) != 0 || range.l_type != F_UNLCK;
}

pid_t RangeLock::DatabaseUser() const {
  // The range that SQLite calls SHARED_FIRST and SHARED_SIZE: every connection
  // to a database in WAL mode has it locked, as a process-wide lock.
  struct flock range = {};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  range.l_start = 0x40000002;
  range.l_len = 510;
  if (fcntl(fd_, F_GETLK, &range) != 0 || range.l_type == F_UNLCK) return 0;
  return range.l_pid;
}

}  // namespace scsi_pr
