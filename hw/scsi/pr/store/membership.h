// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who is attached to a gate: the part of a store that file and memory share.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "gate/gate.h"
#include "store/store.h"

namespace scsi_pr {

// Whether a process that has claimed slot `index` still lives. A slot whose
// processes are gone is free.
using IsLive = std::function<bool(size_t index)>;

// Frees the slots of processes that are gone. Returns how many are attached.
size_t ForgetTheDead(Gate& gate, const IsLive& is_live) REQUIRES(kMembersLock);

// The I_T nexus loss of whoever holds a legacy reservation and is not attached
// (any more): nobody else would ever release it. Nothing if that is nobody. After
// ForgetTheDead().
std::optional<Outcome> LoseNexusThatIsGone(const State& state, const Gate& gate);

// kInUse, naming the other, if a slot has this nexus.
Status CheckNexusFree(const Gate& gate, const Nexus& nexus, const std::string& uri);

// kInUse, naming both, if another nexus is attached with a medium that is not
// `owner`'s, and nobody insists: two disks that are taken for one.
Status CheckMedium(const Gate& gate, const Nexus& nexus, const Attacher& owner,
                   const std::string& uri);

// The slot of that nexus.
std::optional<size_t> FindAttached(const Gate& gate, const Nexus& nexus);

// Those of the named slots.
std::vector<Attachment> ListAttached(const Gate& gate, const std::vector<size_t>& slots,
                                     const IsLive& is_live);

// Where it is, for people: "process 7", "process 7 of host h1", or, of another host, "host h2".
std::string PlaceText(const Attachment& attachment);

}  // namespace scsi_pr
