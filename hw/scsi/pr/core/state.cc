// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/state.h"

#include <algorithm>
#include <unordered_set>

namespace scsi_pr {

const Registration* State::Find(const Nexus& nexus) const {
  const auto it = std::ranges::find(registrations, nexus, &Registration::nexus);
  return it == registrations.end() ? nullptr : &*it;
}

bool State::IsHolder(const Nexus& nexus) const {
  if (!reservation) return false;
  return IsAllRegistrants(reservation->type) ? Find(nexus) != nullptr
                                             : reservation->holder == nexus;
}

uint64_t State::HolderKey() const {
  if (!reservation || !reservation->holder) return 0;
  return Find(*reservation->holder)->key;
}

std::optional<std::string> FindViolation(const State& state) {
  if (state.registrations.size() > State::kMaxRegistrations) return "too many registrations";
  std::unordered_set<std::string> seen;
  for (const Registration& registration : state.registrations) {
    const std::string nexus = registration.nexus.initiator.ToText() + " at target port " +
                              std::to_string(registration.nexus.target_port);
    if (registration.key == 0) return "the reservation key of " + nexus + " is 0";
    if (registration.nexus.target_port == 0) return nexus + " does not exist";
    if (!seen.insert(nexus).second) return nexus + " is registered twice";
  }
  if (!state.reservation) return std::nullopt;
  const bool all_registrants = IsAllRegistrants(state.reservation->type);
  if (all_registrants == state.reservation->holder.has_value()) {
    return "the reservation's type and its holder do not fit together";
  }
  if (all_registrants && state.registrations.empty()) return "the reservation has no holder";
  if (!all_registrants && state.Find(*state.reservation->holder) == nullptr) {
    return "the reservation holder is not registered";
  }
  return std::nullopt;
}

State AfterPowerOn(const State& state) {
  if (!state.aptpl) return State{};
  State kept = state;
  kept.generation = 0;
  return kept;
}

}  // namespace scsi_pr
