// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/stat.h>

#include <string>

#include "core/status.h"

namespace scsi_pr {

// Creates an empty file of a new name beside `path`, readable and writable
// for owner and group as the umask allows. Returns its descriptor, or -1 and
// errno. It becomes `path` by rename() or link() once it is whole.
int CreateTemporary(const std::string& path, std::string* name);

// Owner, group and permissions (read and write) of `like` for the file `fd`: who
// may use that one may use this one. The group alone will do where it suffices.
// False, and errno, if that cannot be.
bool MakeUsableLike(int fd, const struct stat& like);

// What was renamed, linked or removed beside `path` is durable when it returns.
Status SyncDirectoryOf(const std::string& path);

}  // namespace scsi_pr
