// SPDX-License-Identifier: GPL-2.0-or-later
//
// RESERVE and RELEASE as they come from an initiator (SPC-2 r20 7.16, 7.17,
// 7.21, 7.22), (6) and (10): bytes to types.
#pragma once

#include <variant>

#include "spc/bytes.h"
#include "spc/sense.h"

namespace scsi_pr {

enum class LegacyAction { kReserve, kRelease };

// `cdb` has one of the four operation codes, or is empty. Neither command has
// a parameter list that we read: only a third-party reservation with LONGID
// has one, and those are not supported (INVALID FIELD IN CDB), nor are extents.
// Without the bits that ask for them the fields that belong to them are ignored.
std::variant<LegacyAction, Sense> ParseReserve(ByteSpan cdb);

// RESERVE(6) or RELEASE(6) of the whole logical unit, for the sender itself.
ByteVector EncodeReserve6(LegacyAction action);

}  // namespace scsi_pr
