// SPDX-License-Identifier: GPL-2.0-or-later
//
// Every kind of change to the state of a logical unit, once, and what must have
// happened before it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "../unit/testing.h"
#include "core/legacy.h"

namespace scsi_pr::testing {

struct Change {
  using Function = std::function<Outcome(const State&)>;

  std::string name;
  std::vector<Function> before;  // from an empty state
  Function change;
};

inline Change::Function By(const Nexus& nexus, const Command& command) {
  return [=](const State& state) { return Apply(state, kAborts, nexus, command); };
}
inline Change::Function By(const Nexus& nexus, LegacyAction action) {
  return [=](const State& state) { return ApplyLegacy(state, nexus, action); };
}

// To an empty state, from every other one.
inline Outcome MakeEmpty(const State& state) {
  Outcome outcome{ScsiStatus::kGood, sense::kNone, State{}, {}, {}};
  outcome.state.generation = state.generation;
  return outcome;
}

inline std::vector<Change> AllChanges() {
  const auto a = By(A(), Register(0, kKeyA).Aptpl());
  const auto b = By(B(), Register(0, kKeyB).Aptpl());
  const auto reserve = By(A(), Reserve(kKeyA, kWERO));
  return {
      {"REGISTER", {}, a},
      {"REGISTER without APTPL", {}, By(A(), Register(0, kKeyA))},
      {"RESERVE", {a}, reserve},
      {"RELEASE", {a, reserve}, By(A(), Release(kKeyA, kWERO))},
      {"PREEMPT", {a, b, reserve}, By(B(), Preempt(kKeyB, kKeyA, kEARO))},
      {"PREEMPT AND ABORT", {a, b, reserve}, By(B(), PreemptAndAbort(kKeyB, kKeyA, kEARO))},
      {"REGISTER AND MOVE", {a, reserve}, By(A(), Move(kKeyA, kKeyB, B()))},
      {"CLEAR", {a, b, reserve}, By(B(), Clear(kKeyB))},
      {"APTPL off", {a, reserve}, By(A(), RegisterIgnore(kKeyA))},
      {"the SPC-2 RESERVE", {}, By(A(), LegacyAction::kReserve)},
      {"the SPC-2 RELEASE", {By(A(), LegacyAction::kReserve)}, By(A(), LegacyAction::kRelease)},
  };
}

}  // namespace scsi_pr::testing
