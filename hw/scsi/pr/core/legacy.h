// SPDX-License-Identifier: GPL-2.0-or-later
//
// The reserve/release management method of SPC-2, and resets, which end its
// reservations and nothing else: pure functions, as in core/transition.h.
#pragma once

#include "core/transition.h"
#include "spc/reserve.h"

namespace scsi_pr {

// RESERVE and RELEASE of SPC-2, (6) and (10): SPC-2 5.5.1, 7.16, 7.17, 7.21,
// 7.22, but for the exceptions of SPC-3 5.6.2 (CRH): from a nexus that a
// persistent reservation gives access they end in GOOD without an effect. While
// any other nexus is registered they conflict.
Outcome ApplyLegacy(const State& state, const Nexus& nexus, LegacyAction action);

enum class Reset {
  kLogicalUnit,  // SAM-4 6.3.3: concerns every I_T nexus of the logical unit
  kNexusLoss,    // SAM-4 6.3.4: concerns `nexus` alone; also when its process is gone
};

// Releases the legacy reservation that the reset concerns (SPC-2 5.5.1). Status
// GOOD always. Registrations and persistent reservations stay (SPC-3 5.6.1).
// Who loses a reservation by the reset of another nexus finds BUS DEVICE RESET
// FUNCTION OCCURRED (SAM-4 5.14).
Outcome ApplyReset(const State& state, const Nexus& nexus, Reset reset);

}  // namespace scsi_pr
