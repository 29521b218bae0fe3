// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: calling function 'Publish' requires holding role 'kMembersLock' exclusively
#include "gate/gate.h"

namespace scsi_pr {

void Show(Gate& gate, const State& state) REQUIRES(kRightToChange) { Publish(gate, 2, state, {}); }

}  // namespace scsi_pr
