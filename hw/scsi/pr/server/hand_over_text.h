// SPDX-License-Identifier: GPL-2.0-or-later
//
// The texts that travel when a nexus is handed over: which store, and what its
// owner leaves. JSON (core/envelope.h); the formats are "scsi-pr-store" and
// "scsi-pr-nexus".
//
//   { "kind": "file", "id": "…", "uri": "file:/quorum.pr" }
//   { "kind": "cluster", "id": "quorum", "uri": "cluster:quorum" }
//
//   { "store": { … }, "initiator": "iqn.…", "target-port": 1, "attachment": "…",
//     "epoch": 0, "version": 7, "key": "0x00000000deadbeef",
//     "unit-attentions": [ { "asc": 42, "ascq": 5 } ], "document": "…" }
//
// "key" is absent if the nexus was not registered, "document" (core/document.h)
// unless the store is a memory: one.
//
// Decoding takes them for hostile: it validates everything. kUnsupported for a
// newer schema, kCorrupt for anything else that is wrong; nothing else is done then.
#pragma once

#include <string>
#include <string_view>

#include "core/status.h"
#include "store/handed_over.h"

namespace scsi_pr {

std::string EncodeIdentity(const StoreIdentity& identity);
Status DecodeIdentity(std::string_view text, StoreIdentity* identity);

std::string EncodeHandedOver(const HandedOver& handed);
Status DecodeHandedOver(std::string_view text, HandedOver* handed);

}  // namespace scsi_pr
