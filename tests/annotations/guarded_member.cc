// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: reading variable 'count_' requires holding mutex 'mutex_'
#include "store/mutex.h"

namespace scsi_pr {

class Counter {
 public:
  int count() const { return count_; }
  void Add() {
    const MutexLock lock(mutex_);
    count_++;
  }

 private:
  Mutex mutex_;
  int count_ GUARDED_BY(mutex_) = 0;
};

}  // namespace scsi_pr
