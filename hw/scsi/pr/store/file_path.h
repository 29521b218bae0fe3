// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a file: store may be.
#pragma once

#include <string>

#include "core/status.h"

namespace scsi_pr {

// An absolute path without links, so that all processes name the files beside
// the database alike. Only the last component may not exist yet.
Status CanonicalizeStorePath(const std::string& path, std::string* canonical);

// What a canonical path names, for Fact::Kind::kName: by the directory itself, however it
// is called here, and the name in it. Empty: the directory is not there.
std::string StoreNameKey(const std::string& path);

}  // namespace scsi_pr
