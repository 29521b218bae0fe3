// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: calling function 'Wait' requires holding mutex 'mutex' exclusively
#include "store/mutex.h"

namespace scsi_pr {

void Await(Mutex& mutex, Condition& condition) { condition.Wait(mutex); }

}  // namespace scsi_pr
