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

Status SyncDirectoryOf(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (synced) return Status();
  return Status::Error(Status::Code::kIo, "cannot sync " + directory + ": " + strerror(error));
}

}  // namespace scsi_pr
