// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which file systems a store's files may be on.
#pragma once

#include <string>

#include "core/status.h"

namespace scsi_pr {

// The open file or directory `path` of a store: is its file system one of which it is
// known that all processes that see a file are of one host, and see one file? Others,
// seen twice, would be two stores, each of which lets in whom the other shuts out.
// kInvalid if not, unless `accept`: the user says that it is so here.
Status CheckFileSystem(int fd, const std::string& path, bool accept);

// The open directory of what is in force: no disk is behind it that could be full, or
// make whoever reads or writes there wait.
Status CheckIsMemory(int fd, const std::string& path);

}  // namespace scsi_pr
