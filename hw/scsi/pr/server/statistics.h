// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a device server counts, for people; from 0 when its nexus attaches.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include <nlohmann/json_fwd.hpp>

#include "spc/persistent_reserve.h"

namespace scsi_pr {

class Statistics {
 public:
  // A command has ended in RESERVATION CONFLICT status. Any thread.
  void Conflict() { conflicts_.fetch_add(1, std::memory_order_relaxed); }

  // All below on the server's thread. A PERSISTENT RESERVE OUT with this SERVICE
  // ACTION field has ended; reserved codes are not counted.
  void PersistentReserveOut(uint8_t service_action, bool good);
  // A fencing of this server's has ended, after it had waited.
  void Fencing(std::chrono::milliseconds waited, bool committed);

  // ScsiPrStatistics of qapi/scsi-pr.json, but for what the emulator counts.
  nlohmann::json ToJson() const;

 private:
  struct Count {
    uint64_t all = 0;
    uint64_t failed = 0;
  };

  std::atomic<uint64_t> conflicts_{0};
  std::array<Count, std::size(kOutActions)> out_;  // by code
  Count fencings_;
  std::chrono::milliseconds last_drain_{0};
  std::chrono::milliseconds longest_drain_{0};
};

}  // namespace scsi_pr
