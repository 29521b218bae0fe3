// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/state.h"
#include "core/status.h"
#include "core/transition.h"

namespace scsi_pr {

// A committed version of the state, with what the change to it has to tell.
struct Record {
  uint64_t version = 0;
  State state;
  std::vector<UnitAttention> unit_attentions;
};

// JSON, for databases: a list of nexuses with "asc", "ascq" and, where it is
// set, "but-not" (a nexus).
std::string EncodeUnitAttentions(const std::vector<UnitAttention>& attentions);

// What a database keeps of a record: its version, EncodeDocument() of its state
// and the above. Errors as DecodeDocument(); `*record` is untouched then.
Status DecodeRecord(uint64_t version, const std::string& document,
                    const std::string& unit_attentions, Record* record);

}  // namespace scsi_pr
