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
  last_drain_ = waited.count();
  longest_drain_ = std::max<int64_t>(longest_drain_, waited.count());
}

nlohmann::json Statistics::ToJson() const {
  nlohmann::json out = nlohmann::json::array();
  for (size_t code = 0; code < out_.size(); code++) {
    const uint64_t all = out_[code].all;
    const uint64_t failed = out_[code].failed;
    if (all == 0) continue;
    out.push_back({{"action", kOutActions[code].name}, {"count", all}, {"failed", failed}});
  }
  const uint64_t fencings = fencings_.all;
  const uint64_t fencings_failed = fencings_.failed;
  const int64_t last_drain = last_drain_;
  const int64_t longest_drain = longest_drain_;
  return {{"conflicts", conflicts_.load(std::memory_order_relaxed)},
          {"suspended", suspended_.load(std::memory_order_relaxed)},
          {"persistent-reserve-out", std::move(out)},
          {"fencings", fencings},
          {"fencings-failed", fencings_failed},
          {"last-drain-time", last_drain},
          {"longest-drain-time", longest_drain}};
}

}  // namespace scsi_pr
