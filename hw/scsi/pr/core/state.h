// SPDX-License-Identifier: GPL-2.0-or-later
//
// The reservation state of one logical unit: a plain value.
//
// All nexuses that share a medium share one such state. It is changed only by
// the transitions of core/transition.h; stores move it around whole.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "spc/persistent_reserve.h"
#include "spc/transport_id.h"

namespace scsi_pr {

// SPC-3 3.1.48: an initiator port together with a target port.
struct Nexus {
  // Instead of a target port, in a registration: all of them (ALL_TG_PT).
  static constexpr uint16_t kAllTargetPorts = 0;

  TransportId initiator;
  uint16_t target_port = 1;  // relative target port identifier, 1 … 65535

  // Whether this, which may be for all target ports, is or includes `nexus`.
  bool Covers(const Nexus& nexus) const {
    return initiator == nexus.initiator &&
           (target_port == kAllTargetPorts || target_port == nexus.target_port);
  }

  friend bool operator==(const Nexus&, const Nexus&) = default;
};

// SPC-3 5.6.5. One for all target ports is a single registration: through
// whichever port it is changed or removed, it is for all.
struct Registration {
  Nexus nexus;
  uint64_t key = 0;  // never 0

  friend bool operator==(const Registration&, const Registration&) = default;
};

// SPC-3 5.6.6. The scope is always LU_SCOPE.
struct Reservation {
  Type type = Type::kWriteExclusive;
  // The reservation holder; none for an all registrants type, whose holders
  // are all registered nexuses (5.6.7). A holder is always registered, and
  // always one nexus: with the target port through which it reserved.
  std::optional<Nexus> holder;

  friend bool operator==(const Reservation&, const Reservation&) = default;
};

struct State {
  // A logical unit holds at most this many registrations.
  static constexpr size_t kMaxRegistrations = 4096;

  uint32_t generation = 0;                  // PRgeneration (6.11.3); wraps to 0
  bool aptpl = false;                       // the last valid APTPL bit (5.6.3)
  std::vector<Registration> registrations;  // oldest first; at most one covers a nexus
  std::optional<Reservation> reservation;
  // Who holds a legacy reservation, one made by RESERVE of SPC-2. It excludes
  // registrations and the reservation above (SPC-2 5.5.1).
  std::optional<Nexus> legacy_holder;
  // PERSISTENT RESERVATION INFORMATION LOST (SPC-4 5.13.5.3): the above cannot
  // be relied on, until REPLACE LOST RESERVATION. Set by the repair of a store that
  // has lost its last committed state (store/repair.h).
  bool information_lost = false;

  const Registration* Find(const Nexus& nexus) const;
  bool IsHolder(const Nexus& nexus) const;
  // The holder's key; 0 for an all registrants type (5.6.7).
  uint64_t HolderKey() const;

  friend bool operator==(const State&, const State&) = default;
};

// What holds for every state: no key is 0, no nexus has two registrations, a
// holder is registered, exactly the all registrants types have no single holder, no
// more than kMaxRegistrations; a legacy reservation is held by one nexus and is
// all there is. Returns what is wrong, or nothing.
std::optional<std::string> FindViolation(const State& state);

// Power on of the logical unit (5.6.3): without APTPL nothing survives, a
// legacy reservation never does (SPC-2 5.5.1); PRgeneration starts from 0 in any
// case (6.11.3). That information is lost stays (SPC-4 5.13.5.3.2).
State AfterPowerOn(const State& state);

}  // namespace scsi_pr
