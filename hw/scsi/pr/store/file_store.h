// SPDX-License-Identifier: GPL-2.0-or-later
//
// `file:/PATH` - the store that all processes of a host share.
#pragma once

#include <memory>
#include <string>

#include "store/store.h"

namespace scsi_pr {

// The one object of this process for that file.
Status OpenFileStore(const std::string& path, const Store::OpenOptions& options,
                     std::shared_ptr<Store>* store);

}  // namespace scsi_pr
