// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/legacy.h"

namespace scsi_pr {

namespace {

// SPC-3 5.6.2 a) and b).
bool IsException(const State& state, const Nexus& nexus) {
  if (state.IsHolder(nexus)) return true;
  return state.reservation && RegistrantsHaveAccess(state.reservation->type) &&
         state.Find(nexus) != nullptr;
}

}  // namespace

Outcome ApplyLegacy(const State& state, const Nexus& nexus, LegacyAction action) {
  if (state.information_lost) {
    return Unchanged(state, ScsiStatus::kCheckCondition,
                     sense::kPersistentReservationInformationLost);
  }
  if (IsException(state, nexus)) return Unchanged(state, ScsiStatus::kGood);
  if (!state.registrations.empty()) return Unchanged(state, ScsiStatus::kReservationConflict);
  Outcome outcome = Unchanged(state, ScsiStatus::kGood);
  const bool free = !state.legacy_holder;
  const bool own = state.legacy_holder == nexus;
  if (action == LegacyAction::kRelease) {
    // 7.16: not an error if there is none, nor if it is another's; that stays.
    if (own) outcome.state.legacy_holder.reset();
  } else if (free || own) {
    outcome.state.legacy_holder = nexus;
  } else {
    outcome.status = ScsiStatus::kReservationConflict;
  }
  return outcome;
}

Outcome ApplyReset(const State& state, const Nexus& nexus, Reset reset) {
  Outcome outcome = Unchanged(state, ScsiStatus::kGood);
  if (!state.legacy_holder) return outcome;
  const bool own = state.legacy_holder == nexus;
  if (reset == Reset::kNexusLoss && !own) return outcome;
  if (!own) {
    outcome.unit_attentions.push_back(
        {*state.legacy_holder, sense::kBusDeviceResetFunctionOccurred});
  }
  outcome.state.legacy_holder.reset();
  return outcome;
}

}  // namespace scsi_pr
