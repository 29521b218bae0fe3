// SPDX-License-Identifier: GPL-2.0-or-later
//
// Repairs a damaged file store: builds a new database of what is left and puts
// it in the place of the damaged one, which is kept as PATH.damaged-N.
#pragma once

#include <string>

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

// kInUse, naming whom, while any process uses the store. Killed at any point, or
// after a power loss, what is under `path` is the damaged store, the repaired
// one, or a mark that is refused as damaged and makes the next repair go on.
// Nothing is ever lost but what was damaged. Not in a process that has the
// store open.
Status RepairStore(const std::string& path, Repair* repair);

}  // namespace scsi_pr
