// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/statistics.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

namespace scsi_pr {

namespace {

// By code (table 106), as ScsiPrOutAction of qapi/scsi-pr.json names them.
constexpr std::string_view kNames[] = {
    "register",
    "reserve",
    "release",
    "clear",
    "preempt",
    "preempt-and-abort",
    "register-and-ignore-existing-key",
    "register-and-move",
    "replace-lost-reservation",
};

}  // namespace

void Statistics::PersistentReserveOut(uint8_t service_action, bool good) {
  static_assert(std::size(kNames) == std::tuple_size_v<decltype(out_)>);
  if (service_action >= out_.size()) return;
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
    if (out_[code].all == 0) continue;
    out.push_back(
        {{"action", kNames[code]}, {"count", out_[code].all}, {"failed", out_[code].failed}});
  }
  return {{"conflicts", conflicts_.load(std::memory_order_relaxed)},
          {"persistent-reserve-out", std::move(out)},
          {"fencings", fencings_.all},
          {"fencings-failed", fencings_.failed},
          {"last-drain-time", last_drain_.count()},
          {"longest-drain-time", longest_drain_.count()}};
}

}  // namespace scsi_pr
