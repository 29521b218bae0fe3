// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace scsi_pr {

void Statistics::PersistentReserveOut(uint8_t service_action, bool good) {
  if (FindOutAction(service_action) == nullptr) return;
  Count& count = out_[service_action];
  count.all++;
  if (!good) count.failed++;
}

void Statistics::Fencing(std::chrono::milliseconds waited, bool committed) {
  fencings_.all++;
  if (!committed) fencings_.failed++;
  last_drain_ = waited;
  longest_drain_ = std::max(longest_drain_, waited);
}

nlohmann::json Statistics::ToJson() const {
  nlohmann::json out = nlohmann::json::array();
  for (size_t code = 0; code < out_.size(); code++) {
    const Count& count = out_[code];
    if (count.all == 0) continue;
    out.push_back({{"action", kOutActions[code].name},
                   {"count", count.all},
                   {"failed", count.failed}});
  }
  return {{"conflicts", conflicts_.load(std::memory_order_relaxed)},
          {"persistent-reserve-out", std::move(out)},
          {"fencings", fencings_.all},
          {"fencings-failed", fencings_.failed},
          {"last-drain-time", last_drain_.count()},
          {"longest-drain-time", longest_drain_.count()}};
}

}  // namespace scsi_pr
