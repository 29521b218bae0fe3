// SPDX-License-Identifier: GPL-2.0-or-later
//
// Of a host that is silent: that it is gone for ever, that it is off, and what proves that nothing
// of it can reach a medium any more. Who waits for a PREEMPT AND ABORT goes on as soon as a proof
// is in the host's record (HostRecord::proof), whoever has written it. On the loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/config.h"
#include "agent/logical_unit.h"
#include "agent/operation.h"
#include "agent/storage_fence.h"

namespace scsi_pr::agent {

// So many times its watchdog's time after a host's admission has ended, it has been reset. It is
// petted last by a decision that was made before that. A process that freezes in between pets up
// to one time later; if it is killed then, the kernel pets once more, for it closes the device; and
// from then on it takes one time.
inline constexpr Time kWatchdogTurns = 3;

// Takes a host's record away, when it has been declared dead: by this, if need be, which waits
// for as long as that takes. Refused while the host lives. Ends by telling the client.
std::shared_ptr<Operation> ForgetHost(House& house, const std::string& host,
                                      std::shared_ptr<Client> client);

// Somebody's word that this boot of the host has ended: Proof::kConfirmed, with `words` (who, and
// why). Declares it dead first, if need be, and is refused while it lives, and of another boot.
struct Confirmation {
  std::string host;
  std::string boot_id;
  std::string words;  // printable
};
std::shared_ptr<Operation> ConfirmHostDead(House& house, Confirmation confirmation,
                                           std::shared_ptr<Client> client);

// Seeks a proof by the ways that this host accepts, for as long as the host is dead without one,
// ten minutes at most; without a client. `fence`: at this host's physical disks; null: it has none.
// It outlives the operation.
std::shared_ptr<Operation> ProveDead(House& house, Loop& loop, const std::string& host,
                                     const ProofWays& ways, StorageFence* fence);

}  // namespace scsi_pr::agent
