// SPDX-License-Identifier: GPL-2.0-or-later
//
// The state of the simulated logical unit: of a few nexuses each may write or not. And what the
// store has of it at one time.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/records.h"
#include "core/state.h"

namespace scsi_pr::agent {

class SimulatedState {
 public:
  // Everybody, as at power on.
  static constexpr uint64_t kAll = ~uint64_t{0};

  // Those with a bit in `mask` are registrants, and nobody else writes. A nexus that is never
  // attached is one always.
  static State Of(uint64_t mask, bool aptpl);
  static const std::string& DocumentOf(uint64_t mask, bool aptpl);
  static uint64_t MaskOf(const std::optional<StateRecord>& state);
  static bool SurvivesPowerOn(const std::optional<StateRecord>& state);
};

// n0, n1, …
Nexus SimulatedNexusOf(size_t index);
bool MayWrite(AccessMask allowed);

// What the store has.
struct Records {
  std::optional<StateRecord> state;
  std::optional<ChangeRecord> change;
  std::map<std::string, NexusRecord> nexuses;  // by key
};

}  // namespace scsi_pr::agent
