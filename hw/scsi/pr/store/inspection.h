// SPDX-License-Identifier: GPL-2.0-or-later
//
// Looks at a file store without using it: needs no right to write, creates and
// locks nothing, and keeps nobody waiting, whether QEMUs use the store or not.
// Not in a process that has the store open.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "store/findings.h"
#include "store/store.h"

namespace scsi_pr {

struct Inspection {
  std::string path;  // canonical
  // Not ok: this is no store of ours, or it cannot be read. Nothing else is set
  // then.
  Status status;
  int64_t schema = 0;
  std::string identity;
  Verdict verdict;
  std::vector<Finding> findings;
  std::vector<Attachment> attached;
  // The gate that the attached nexuses share, mapped to look only; or null.
  std::shared_ptr<const GateFile> gate;

  bool damaged() const;
  // The state that is in force or, where nobody is attached, that will be;
  // kCorrupt if the store is damaged so that it would not be opened.
  Status GetState(State* state) const;
};

// `thorough`: as for ReadWhatIsLeft(), for a check.
Inspection Inspect(const std::string& path, bool thorough);

// What is in the place of a store while it is repaired: a file that begins with
// this line, and names in the next two where the damaged store is, and the
// database that is to take its place.
inline constexpr std::string_view kRepairMark = "scsi-pr: a repair of this store was interrupted\n";
struct RepairMark {
  std::string damaged;
  std::string repaired;
};
// Nothing if `path` is no such mark.
std::optional<RepairMark> RepairInterruptedAt(const std::string& path);

}  // namespace scsi_pr
