// SPDX-License-Identifier: GPL-2.0-or-later
//
// Waits for a file store to change, without using it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "care/inspection.h"

namespace scsi_pr {

class Observer {
 public:
  // Looks at most this long after a change.
  static constexpr std::chrono::milliseconds kInterval{200};

  explicit Observer(Subject subject) : subject_(std::move(subject)) {}

  // What there is now.
  Inspection Look();
  // Whether something is not as it was at the last Look(), as far as can be told
  // cheaply.
  bool Changed() const;
  // For kInterval, or until a signal comes.
  static void Wait();

 private:
  struct Mark {
    std::array<int64_t, 4> file = {};  // inode, size and time; all 0 if there is none
    uint64_t published = 0;
    uint64_t fencing = 0;
    std::vector<size_t> attached;  // slots of processes that live
    bool in_use = false;
    friend bool operator==(const Mark&, const Mark&) = default;
  };

  Mark Take() const;

  const Subject subject_;
  Inspection last_;
  std::optional<Mark> mark_;  // none: what was seen has changed meanwhile
};

}  // namespace scsi_pr
