// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: cannot call function 'Drain' while role 'kMembersLock' is held
#include "gate/fence.h"

namespace scsi_pr {

// Nobody could come or go meanwhile.
bool ShutAndDrain(Fence& fence, const Fence::Watch& watch) REQUIRES(kRightToChange, kMembersLock) {
  return fence.Shut() && fence.Drain(watch);
}

}  // namespace scsi_pr
