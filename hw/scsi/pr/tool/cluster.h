// SPDX-License-Identifier: GPL-2.0-or-later
//
// The logical units of a cluster, as the daemon of this host shows them (cluster/wire.h).
#pragma once

#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cluster/client.h"
#include "tool/common.h"

namespace scsi_pr::tool {

bool IsCluster(const StoreArgument& store);

// Whom to ask about the logical unit that `store` names, "cluster:" alone for none: the first
// runtime directory where a daemon takes connections. kInvalid: no such name; kIo: nobody does.
Status FindDaemon(const StoreArgument& store, std::unique_ptr<cluster::Client>* client);
// One operation: asks and waits, for as long as people do.
Status AskDaemon(const cluster::Client& client, const nlohmann::json& request,
                 nlohmann::json* result);
Status ReadClusterView(const cluster::Client& client, View* view);

}  // namespace scsi_pr::tool
