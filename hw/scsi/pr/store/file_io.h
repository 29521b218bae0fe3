// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace scsi_pr {

// All of it at that offset; false, and errno, if that cannot be.
inline bool WriteAll(int fd, const void* data, size_t size, off_t offset) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = pwrite(fd, bytes, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    bytes += n;
    offset += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

// Likewise; a file that ends before is an EIO.
inline bool ReadAll(int fd, void* data, size_t size, off_t offset) {
  char* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = pread(fd, bytes, size, offset);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) errno = EIO;
    if (n <= 0) return false;
    bytes += n;
    offset += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

}  // namespace scsi_pr
