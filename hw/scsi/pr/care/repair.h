// SPDX-License-Identifier: GPL-2.0-or-later
//
// Repairs a damaged file store: makes a new file of what is left and puts it in the
// place of the damaged one, which is kept as PATH.damaged-N.
#pragma once

#include <string>

#include "care/inspection.h"
#include "core/status.h"
#include "store/record.h"

namespace scsi_pr {

struct Repair {
  // Whether there was anything to repair.
  bool done = false;
  // Where the damaged store is now.
  std::string damaged;
  // The record from which the store goes on. Its state is the last that was
  // committed, or has State::information_lost set (SPC-4 5.13.5.3).
  Record record;
};

// kInUse while any process uses the store. Killed at any point, or after a power loss,
// what is under the name is the damaged store or the repaired one.
Status RepairStore(const Subject& subject, Repair* repair);

}  // namespace scsi_pr
