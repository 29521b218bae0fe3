// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sys/stat.h>

#include <string>

namespace scsi_pr {

// Creates an empty file of a new name, which begins with `name`, in the directory
// behind `directory`, readable and writable for owner and group as the umask allows.
// Its descriptor, or -1 and errno. It gets its name by link or rename once it is whole.
int CreateTemporaryAt(int directory, const std::string& name, std::string* temporary);

// Owner, group and permissions (read and write) of `like` for the file `fd`: who
// may use that one may use this one. The group alone will do where it suffices.
// False, and errno, if that cannot be.
bool MakeUsableLike(int fd, const struct stat& like);

}  // namespace scsi_pr
