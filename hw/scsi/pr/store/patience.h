// SPDX-License-Identifier: GPL-2.0-or-later
//
// Waiting for a lock of another process, and giving up.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>

#include "gate/bell.h"
#include "store/byte_locks.h"

namespace scsi_pr {

// Tries until `deadline`, or until `cancelled`, which is asked every few milliseconds.
// `released` rings when the lock may be free; a holder that dies does not ring. kElsewhere:
// not in time.
inline Locked LockBy(std::chrono::steady_clock::time_point deadline, const Bell& released,
                     const std::function<Locked()>& try_lock,
                     const std::function<bool()>& cancelled) {
  // Soon enough for a death.
  constexpr std::chrono::milliseconds kPoll{2};
  for (;;) {
    const uint32_t seen = released.count();
    const Locked locked = try_lock();
    if (locked != Locked::kElsewhere) return locked;
    if (cancelled() || std::chrono::steady_clock::now() >= deadline) return locked;
    released.Wait(seen, kPoll);
  }
}

}  // namespace scsi_pr
