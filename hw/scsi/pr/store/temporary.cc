// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/temporary.h"

#include <fcntl.h>
#include <glib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace scsi_pr {

int CreateTemporary(const std::string& path, std::string* name) {
  gchar* unique = g_uuid_string_random();
  *name = path + ".new-" + unique;
  g_free(unique);
  return open(name->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
}

bool MakeUsableLike(int fd, const struct stat& like) {
  constexpr mode_t kGroup = S_IRGRP | S_IWGRP;
  constexpr mode_t kOthers = S_IROTH | S_IWOTH;
  struct stat info = {};
  if (fchmod(fd, like.st_mode & 0666) != 0 || fstat(fd, &info) != 0) return false;
  const bool same_group = info.st_gid == like.st_gid;
  if (info.st_uid == like.st_uid && same_group) return true;
  if (fchown(fd, like.st_uid, like.st_gid) == 0) return true;
  if ((like.st_mode & kOthers) == kOthers) return true;
  const bool by_group = (like.st_mode & kGroup) == kGroup;
  if (by_group && (same_group || fchown(fd, static_cast<uid_t>(-1), like.st_gid) == 0)) return true;
  // The owner himself needs no group.
  return info.st_uid == like.st_uid;
}

Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (synced) return Status();
  return Status::Error(Status::Code::kIo, "cannot sync " + directory + ": " + strerror(error),
                       "What its file system has trouble with is in the kernel's log.");
}

}  // namespace scsi_pr
