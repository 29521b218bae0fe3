// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/bell.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace scsi_pr {

void Bell::Ring() {
  count_.fetch_add(1, std::memory_order_acq_rel);
  syscall(SYS_futex, &count_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

void Bell::Wait(uint32_t seen, std::chrono::milliseconds timeout) const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  timespec limit = {};
  limit.tv_sec = seconds.count();
  limit.tv_nsec = std::chrono::nanoseconds(timeout - seconds).count();
  syscall(SYS_futex, &count_, FUTEX_WAIT, seen, &limit, nullptr, 0);
}

}  // namespace scsi_pr
