// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "agent/config.h"

namespace scsi_pr::agent {

// Exit status; docs/scsi-prd.8. CLI11 ends wrong usage with one above 100.
enum Exit : int {
  kGood = 0,
  kFailed = 1,        // this host has not what it needs; of the daemon: it cannot start
  kNoEndpoint = 2,    // none of etcd's can be used
  kSomeEndpoint = 3,  // not all of them can, or etcd is not well
  kBadConfig = 78,    // as EX_CONFIG
};

// What `scsi-prd --check-config` does with a configuration that could be read: prints what is
// set, looks at the directories, and asks each endpoint. Writes nothing anywhere.
Exit CheckConfig(const Config& config);

}  // namespace scsi_pr::agent
