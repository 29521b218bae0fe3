// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is to be said about a file store that was looked at: what was found,
// what follows from it, and what to do.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/gate_file.h"
#include "store/salvage.h"

namespace scsi_pr {

// Something that whoever looks after a store should know.
struct Finding {
  // A word for programs.
  enum class Kind {
    kFileDamaged,
    kStructureDamaged,
    kNewestRecordDamaged,
    kOlderRecordDamaged,
    kCommitsMissing,
    kIdentityMissing,
    kGateNameMissing,
    kRepairInterrupted,
    kGateRemoved,
    // From here on nothing is damaged.
    kInformationLost,
    kOldSchema,
    kLogLeft,
    kUnfinishedChange,
    kNoGate,
    kGateVoid,
    kGateUnreadable,
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
  Salvage salvage = {};
  GateFile::Condition gate_condition = GateFile::Condition::kMissing;
  // In force when the records were read, by the sound gate; none: it does not say.
  std::optional<uint64_t> published = {};
  bool taken = false;     // a process that lives has a nexus attached
  bool used = false;      // some process has the database open
  bool log_left = false;  // a write-ahead log that is not empty
};

std::vector<Finding> Explain(const Evidence& evidence, const Verdict& verdict);

}  // namespace scsi_pr
