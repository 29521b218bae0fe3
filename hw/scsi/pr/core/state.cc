// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/state.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace scsi_pr {

const Registration* State::Find(const Nexus& nexus) const {
  const auto it = std::ranges::find_if(
      registrations, [&](const Registration& r) { return r.nexus.Covers(nexus); });
  return it == registrations.end() ? nullptr : &*it;
}

bool State::IsHolder(const Nexus& nexus) const {
  if (!reservation) return false;
  return IsAllRegistrants(reservation->type) ? Find(nexus) != nullptr
                                             : reservation->holder == nexus;
}

uint64_t State::HolderKey() const {
  if (!reservation || !reservation->holder) return 0;
  const Registration* registration = Find(*reservation->holder);
  return registration != nullptr ? registration->key : 0;  // never null: FindViolation()
}

namespace {

std::optional<std::string> FindBadRegistration(const State& state) {
  constexpr auto kAll = Nexus::kAllTargetPorts;
  std::unordered_map<std::string, std::unordered_set<uint16_t>> ports;
  for (const Registration& registration : state.registrations) {
    const std::string initiator = registration.nexus.initiator.ToText();
    const uint16_t port = registration.nexus.target_port;
    std::unordered_set<uint16_t>& known = ports[initiator];
    if (registration.key == 0) return "a reservation key of " + initiator + " is 0";
    const bool covered = known.contains(kAll) || (port == kAll && !known.empty());
    if (covered || !known.insert(port).second) return initiator + " is registered twice";
  }
  return std::nullopt;
}

std::optional<std::string> FindBadLegacyReservation(const State& state) {
  if (!state.legacy_holder) return std::nullopt;
  if (state.legacy_holder->target_port == Nexus::kAllTargetPorts) {
    return "the holder of the legacy reservation is not one I_T nexus";
  }
  if (state.information_lost || !state.registrations.empty() || state.reservation) {
    return "a legacy reservation is not all there is";
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> FindViolation(const State& state) {
  if (state.registrations.size() > State::kMaxRegistrations) return "too many registrations";
  if (auto violation = FindBadRegistration(state)) return violation;
  if (auto violation = FindBadLegacyReservation(state)) return violation;
  if (!state.reservation) return std::nullopt;
  const bool all_registrants = IsAllRegistrants(state.reservation->type);
  if (all_registrants == state.reservation->holder.has_value()) {
    return "the reservation's type and its holder do not fit together";
  }
  if (all_registrants && state.registrations.empty()) return "the reservation has no holder";
  if (all_registrants) return std::nullopt;
  const Nexus& holder = *state.reservation->holder;
  if (holder.target_port == Nexus::kAllTargetPorts || state.Find(holder) == nullptr) {
    return "the reservation holder is not registered";
  }
  return std::nullopt;
}

State AfterPowerOn(const State& state) {
  State kept = state.aptpl ? state : State{};
  kept.generation = 0;
  kept.legacy_holder.reset();
  kept.information_lost = state.information_lost;
  return kept;
}

}  // namespace scsi_pr
