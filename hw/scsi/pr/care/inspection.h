// SPDX-License-Identifier: GPL-2.0-or-later
//
// Looks at a file store without using it: needs no right to write, creates and
// locks nothing, and keeps nobody waiting, whether QEMUs use the store or not.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "care/findings.h"
#include "core/status.h"
#include "store/store.h"

namespace scsi_pr {

// Which store, and where its memory is (store/runtime_directory.h).
struct Subject {
  std::string path;
  std::string runtime_directory = {};
  bool accept_file_system = false;
};

struct Inspection {
  std::string path;  // canonical
  // Not ok: this is no store of ours, or it cannot be read. Nothing else is set
  // then.
  Status status;
  std::string identity;
  DiskParts parts;
  Verdict verdict;
  std::vector<Finding> findings;
  std::vector<Attachment> attached;
  uint64_t version = 0;
  // In force or, where the store is not in use, what the disk has.
  State state;
  // Of a store in use; else null.
  std::shared_ptr<MemoryView> memory;

  bool damaged() const;
  // kCorrupt if the store is damaged so that it would not be opened.
  Status GetState(State* found) const;
};

Inspection Inspect(const Subject& subject);

}  // namespace scsi_pr
