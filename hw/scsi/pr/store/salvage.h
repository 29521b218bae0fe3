// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the database of a file store still says, read piece by piece, whatever
// is damaged, without changing the store or keeping anybody from using it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "core/status.h"
#include "store/range_lock.h"
#include "store/record.h"

namespace scsi_pr {

struct Salvage {
  // One of the two records. `version` is what its table says, 0 if nothing.
  struct Part {
    Status status;  // kCorrupt: missing or damaged; kUnsupported: newer
    uint64_t version = 0;
    Record record;  // if status is ok
  };

  // Of the file as a whole: kCorrupt if SQLite cannot make sense of it, kInvalid
  // if it is the database of something else, kUnsupported, kIo.
  Status file;
  std::string integrity = "ok";  // what SQLite finds wrong with its structure
  int64_t schema = 0;
  Part even;
  Part odd;  // both the same for schema 1, which has one
  uint64_t newest() const { return std::max(even.version, odd.version); }
  std::optional<std::string> gate_nonce;
  std::optional<std::string> identity;  // empty for schema 1
};

// `locks` is open on `path`, and is to be closed after this has returned: else
// the process would lose SQLite's locks. Where another process has the database
// open it is read where it is; else a copy of it, for SQLite would leave files
// beside the original. `thorough`: looks at all of its structure.
Salvage ReadWhatIsLeft(const std::string& path, const RangeLock& locks, bool thorough);

// Which record is the last good one.
struct Verdict {
  std::optional<Record> record;  // none: nothing is left
  std::optional<Record> older;   // its predecessor, if that is left, too
  // The record may not be the last that was committed: something newer is
  // damaged, or may have been.
  bool newer_is_lost = false;
};

// `published`: the version that a sound gate shows, i.e. the last that anybody
// was told of.
Verdict Judge(const Salvage& salvage, std::optional<uint64_t> published);

}  // namespace scsi_pr
