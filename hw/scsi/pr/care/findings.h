// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is to be said about a file store that was looked at: what was found,
// what follows from it, and what to do.
#pragma once

#include <sys/stat.h>

#include <string>
#include <string_view>
#include <vector>

#include "care/memory_view.h"
#include "store/record_format.h"

namespace scsi_pr {

// Something that whoever looks after a store should know.
struct Finding {
  // A word for programs.
  enum class Kind {
    kNothingLeft,
    kNewestRecordDamaged,
    kOlderRecordDamaged,
    kCommitsMissing,
    kReplaced,
    kMemorySpoilt,
    // From here on nothing is damaged.
    kInformationLost,
    kUnfinishedChange,
    kMemoryElsewhere,
    kForeignOwner,
  };
  Kind kind;
  std::string what;     // what was found
  std::string meaning;  // what follows from it
  std::string action;   // what to do; empty: nothing

  bool is_damage() const { return kind < Kind::kInformationLost; }
};

// "newest-record-damaged" and the like.
std::string_view FindingName(Finding::Kind kind);

// Everything that the findings are drawn from.
struct Evidence {
  std::string path;  // canonical
  struct stat info = {};
  DiskParts parts = {};
  Verdict verdict = {};                // of the parts
  bool used = false;                   // some process has the store open
  const MemoryView* memory = nullptr;  // in use, or left; null: none was found
  RecordPlace durable = {};            // what it said when the records were read
  Status in_force = {};                // of reading the record in force, if the memory is in use
  State state = {};                    // in force, or what the disk has
};

std::vector<Finding> Explain(const Evidence& evidence);

}  // namespace scsi_pr
