// SPDX-License-Identifier: GPL-2.0-or-later
//
// PERSISTENT RESERVE OUT as a pure function: state and command in, new state,
// status and effects out. No I/O, no time, no threads: stores, tests, fuzzers
// and tools all call the same function.
#pragma once

#include <optional>
#include <vector>

#include "core/state.h"
#include "spc/sense.h"

namespace scsi_pr {

// What the logical unit can do; REPORT CAPABILITIES shows it (SPC-3 6.11.5).
struct Capabilities {
  bool persist_through_power_loss = false;  // PTPL_C: the store outlives power loss
  // PREEMPT AND ABORT: whoever carries out an Outcome also terminates the
  // tasks of the nexuses in `preempted`. Without it the action is refused:
  // half a fence is worse than none.
  bool abort_tasks = false;
};

// An effect: the unit attention condition that a command establishes for
// another nexus (SPC-3 5.6), or a logical unit reset (SAM-4 5.14).
struct UnitAttention {
  Nexus nexus;  // of a registration: it may be for all target ports
  Sense sense;
  // Not this one, where `nexus` is for all target ports: it sent the command.
  std::optional<Nexus> but_not = std::nullopt;

  bool Reaches(const Nexus& whom) const { return nexus.Covers(whom) && but_not != whom; }

  friend bool operator==(const UnitAttention&, const UnitAttention&) = default;
};

struct Outcome {
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense = sense::kNone;  // with kCheckCondition
  // The state after the command. Unless status is kGood it equals the old one.
  State state;
  std::vector<UnitAttention> unit_attentions;
  // PREEMPT AND ABORT: whose tasks end, but for the command itself (5.6.8.5 c).
  std::vector<Nexus> preempted;
};

// The outcome of a command that changes nothing.
inline Outcome Unchanged(const State& state, ScsiStatus status, Sense sense = sense::kNone) {
  return Outcome{status, sense, state, {}, {}};
}

Outcome Apply(const State& state, const Capabilities& capabilities, const Nexus& nexus,
              const PersistentReserveOut& command);

// What ends a reservation command whoever sends it. GOOD: nothing does.
struct Refusal {
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense = sense::kNone;  // with kCheckCondition
};

// Of every PERSISTENT RESERVE IN and OUT, but for REPLACE LOST RESERVATION:
// RESERVATION CONFLICT under a legacy reservation, its holder's own too (SPC-2
// 5.5.1); DATA PROTECT while information is lost (SPC-4 5.13.5.3.2).
Refusal RefusePersistentReserve(const State& state);

}  // namespace scsi_pr
