// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/temporary.h"

#include <fcntl.h>
#include <unistd.h>

#include "store/uuid.h"

namespace scsi_pr {

int CreateTemporaryAt(int directory, const std::string& name, std::string* temporary) {
  *temporary = name + ".new-" + RandomUuid();
  return openat(directory, temporary->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
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

}  // namespace scsi_pr
