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
// another nexus (SPC-3 5.6).
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

Outcome Apply(const State& state, const Capabilities& capabilities, const Nexus& nexus,
              const PersistentReserveOut& command);

// RESERVE and RELEASE of SPC-2, (6) and (10). 5.6.2 says the same of all four
// for a nexus that a persistent reservation gives access: GOOD, no effect.
// Any other registration makes them conflict. Without one they are not
// implemented: INVALID COMMAND OPERATION CODE.
Outcome ApplyLegacy(const State& state, const Nexus& nexus);

}  // namespace scsi_pr
