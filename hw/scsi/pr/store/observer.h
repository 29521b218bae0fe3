// SPDX-License-Identifier: GPL-2.0-or-later
//
// Waits for a file store to change, without using it. Not in a process that has
// the store open.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "store/inspection.h"

namespace scsi_pr {

class Observer {
 public:
  // Looks at most this long after a change; a change that rings the gate's
  // doorbell (gate/gate.h) is seen at once.
  static constexpr std::chrono::milliseconds kInterval{200};

  explicit Observer(std::string path) : path_(std::move(path)) {}

  // What there is now, not thoroughly.
  Inspection Look();
  // Whether something is not as it was at the last Look(), as far as can be told
  // without reading the database. Cheap.
  bool Changed() const;
  // Until something may have changed, kInterval at most, or a signal comes.
  void Wait() const;

 private:
  // Size, inode and time of a file; all 0 if there is none.
  using FileMark = std::array<int64_t, 4>;
  struct Mark {
    std::array<FileMark, 3> files = {};  // the store, its log, its gate
    uint64_t published = 0;
    uint64_t fencing = 0;
    std::vector<size_t> attached;  // slots of processes that live
    friend bool operator==(const Mark&, const Mark&) = default;
  };

  Mark Take() const;

  const std::string path_;
  Inspection last_;
  std::optional<Mark> mark_;  // none: what was seen has changed meanwhile
  uint32_t rung_ = 0;
};

}  // namespace scsi_pr
