// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE IN: parameter data from a state (SPC-3 6.11.2 - 6.11.6).
#pragma once

#include "core/state.h"
#include "core/transition.h"
#include "spc/bytes.h"

namespace scsi_pr {

// The whole parameter data; the caller truncates it to the allocation length.
// The length fields inside speak of all of it, truncated or not (6.11.3).
ByteVector ReadKeys(const State& state);
ByteVector ReadReservation(const State& state);
ByteVector ReportCapabilities(const State& state, const Capabilities& capabilities);
ByteVector ReadFullStatus(const State& state);

ByteVector Report(InAction action, const State& state, const Capabilities& capabilities);

}  // namespace scsi_pr
