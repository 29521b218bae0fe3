// SPDX-License-Identifier: GPL-2.0-or-later
//
// Which commands a reservation admits (SPC-3 tables 33 and 34, SBC-3 table 13).
//
// Split in two so that admission costs O(1): Classify() puts a command into an
// access class by its CDB alone; AllowedAccess() says which classes a nexus
// may use in a state. The second is computed once a change, by the one who
// changes the state, and published as a mask.
#pragma once

#include <cstdint>

#include "core/state.h"
#include "spc/bytes.h"

namespace scsi_pr {

enum class AccessClass : uint8_t {
  kUnrestricted,    // allowed in every column of table 33
  kRead,            // conflicts with exclusive access
  kWrite,           // conflicts with any reservation; also every unknown command
  kReservation,     // PERSISTENT RESERVE IN/OUT, RESERVE, RELEASE: judged by the transition
};

// One bit for each AccessClass.
using AccessMask = uint32_t;

constexpr AccessMask Bit(AccessClass access) { return AccessMask{1} << static_cast<unsigned>(access); }

inline constexpr AccessMask kFullAccess = Bit(AccessClass::kUnrestricted) | Bit(AccessClass::kRead) |
                                          Bit(AccessClass::kWrite) | Bit(AccessClass::kReservation);

// `cdb` may be shorter than its operation code demands: missing bytes count
// as what conflicts most.
AccessClass Classify(ByteSpan cdb);

AccessMask AllowedAccess(const State& state, const Nexus& nexus);

}  // namespace scsi_pr
