// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace scsi_pr {

// All of it at that offset, by `once` (pread or pwrite); false, and errno, if that cannot be:
// what has an end before is an EIO.
template <typename Once, typename Byte>
bool TransferAll(Once once, int fd, Byte* bytes, size_t size, off_t offset) {
  while (size > 0) {
    const ssize_t n = once(fd, bytes, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    bytes += n;
    offset += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

inline bool WriteAll(int fd, const void* data, size_t size, off_t offset) {
  return TransferAll(pwrite, fd, static_cast<const char*>(data), size, offset);
}

inline bool ReadAll(int fd, void* data, size_t size, off_t offset) {
  return TransferAll(pread, fd, static_cast<char*>(data), size, offset);
}

}  // namespace scsi_pr
