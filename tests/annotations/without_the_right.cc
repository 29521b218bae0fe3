// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: calling function 'Persist' requires holding role 'kRightToChange' exclusively
#include "store/durable.h"

namespace scsi_pr {

Status Save(Durable& durable, const Record& record) { return durable.Persist(record); }

}  // namespace scsi_pr
