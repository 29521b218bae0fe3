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

}  // namespace scsi_pr
