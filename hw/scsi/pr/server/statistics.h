// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a device server counts, for people; from 0 when its nexus attaches.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include <nlohmann/json_fwd.hpp>

#include "gate/thread_annotations.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr {

// Who carries something out for a device server: its thread, or whoever does so at once.
inline constexpr Role kAtWork{};

class Statistics {
 public:
  // A command has ended in RESERVATION CONFLICT status. Any thread.
  void Conflict() { conflicts_.fetch_add(1, std::memory_order_relaxed); }
  // One has ended in BUSY status, for it might not run then. Any thread.
  void Suspended() { suspended_.fetch_add(1, std::memory_order_relaxed); }

  // A PERSISTENT RESERVE OUT with this SERVICE ACTION field has ended; reserved codes are
  // not counted.
  void PersistentReserveOut(uint8_t service_action, bool good) REQUIRES(kAtWork);
  // A fencing of this server's has ended, after it had waited.
  void Fencing(std::chrono::milliseconds waited, bool committed) REQUIRES(kAtWork);

  // Any thread. ScsiPrStatistics of qapi/scsi-pr.json, but for what the emulator counts.
  nlohmann::json ToJson() const;

 private:
  // A number that only one thread writes, but any may read meanwhile.
  template <typename T>
  class Shown {
   public:
    Shown& operator=(T value) {
      value_.store(value, std::memory_order_relaxed);
      return *this;
    }
    void operator++(int) { *this = *this + 1; }
    // NOLINTNEXTLINE(google-explicit-constructor)
    operator T() const { return value_.load(std::memory_order_relaxed); }

   private:
    std::atomic<T> value_{};
  };

  struct Count {
    Shown<uint64_t> all;
    Shown<uint64_t> failed;
  };

  std::atomic<uint64_t> conflicts_{0};
  std::atomic<uint64_t> suspended_{0};
  std::array<Count, std::size(kOutActions)> out_;  // by code
  Count fencings_;
  Shown<int64_t> last_drain_;  // milliseconds
  Shown<int64_t> longest_drain_;
};

}  // namespace scsi_pr
