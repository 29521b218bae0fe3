// SPDX-License-Identifier: GPL-2.0-or-later
//
// The unit attention conditions that exist here. Whoever decodes one, of a record, a text or
// memory that processes share, takes only these.
#pragma once

#include <algorithm>
#include <iterator>

#include "spc/sense.h"

namespace scsi_pr {

// Their order is part of what a gate's slots say (gate/gate.h): new ones come last.
inline constexpr Sense kUnitAttentionConditions[] = {
    sense::kReservationsPreempted,
    sense::kReservationsReleased,
    sense::kRegistrationsPreempted,
    sense::kBusDeviceResetFunctionOccurred,
};

constexpr bool IsUnitAttentionCondition(Sense sense) {
  return std::ranges::find(kUnitAttentionConditions, sense) != std::end(kUnitAttentionConditions);
}

}  // namespace scsi_pr
