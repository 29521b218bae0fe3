// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which failures of a store are news: one that lasts must be told once, not with
// every command that meets it.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/status.h"
#include "store/mutex.h"

namespace scsi_pr {

class Failures {
 public:
  // What each may fail by itself, and work again: a full disk can be read.
  enum class Step { kLock, kLoad, kStage, kSave, kUse };

  // Whether `status` is a failure that differs from the one that is known of
  // this step. Any thread.
  bool IsNews(Step step, const Status& status) {
    const MutexLock lock(mutex_);
    std::string& known = known_[static_cast<size_t>(step)];
    const bool differs = std::exchange(known, status.message()) != status.message();
    return differs && !status.ok();
  }

  // Whether some step is known to fail. Any thread.
  bool Any() {
    const MutexLock lock(mutex_);
    return std::ranges::any_of(known_, [](const std::string& known) { return !known.empty(); });
  }

 private:
  Mutex mutex_;
  std::array<std::string, 5> known_ GUARDED_BY(mutex_);
};

}  // namespace scsi_pr
