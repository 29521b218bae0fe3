// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator asks of the cluster, and not of one logical unit: which hosts there are,
// that a store which was put back counts. Each waits a moment for etcd. On the loop's thread.
#pragma once

#include <memory>
#include <string>

#include "agent/contacts.h"
#include "agent/logical_unit.h"
#include "agent/membership.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

// {"host","life","duration-ms","hosts":[{"name","state",…,"joined","contact-ms"}],"refused"}:
// "joined" in seconds since 1970-01-01 UTC; "refused" if this host does not believe the store.
std::shared_ptr<Operation> DescribeHosts(House& house, Contacts& contacts, const Status& refused,
                                         std::shared_ptr<Client> client);

// Gives the store a new life, which names those that this host and the store know: every host
// begins anew with what it says. Refused while this host finds nothing wrong (`why` is ok).
std::shared_ptr<Operation> AcceptRestore(House& house, const Membership::Memory& memory,
                                         const Status& why, std::shared_ptr<Client> client);

}  // namespace scsi_pr::agent
