// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include "core/state.h"
#include "core/transition.h"

namespace scsi_pr {

// A version of the state, with what the change to it has to tell.
struct Record {
  uint64_t version = 0;  // below Gate::kMostVersions
  State state;
  std::vector<UnitAttention> unit_attentions;
};

}  // namespace scsi_pr
