// SPDX-License-Identifier: GPL-2.0-or-later
//
// What holds after any command, whatever it was. Each ends the program with a
// message if it does not.
#pragma once

#include "core/access.h"
#include "core/state.h"
#include "core/transition.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr::fuzz {

// A command that its bytes alone refuse has sense data.
void CheckRefusal(Sense sense);

// A command that is not GOOD changes nothing; a new state has no violation;
// who sent the command is not told about it.
void CheckOutcome(const State& before, const Nexus& sender, const Outcome& outcome);

// The document of a state is read back as the same state; all reports of it
// have the form that CheckReport() demands.
void CheckState(const State& state);

// SPC-3 6.11: the parameter data's lengths, keys and TransportIDs are those of
// the state, as far as an allocation length shows them.
void CheckReport(InAction action, const State& state, const ByteVector& data,
                 size_t allocation_length);

// SPC-3 table 33: what no reservation may do to a nexus, and what it must do.
void CheckAccess(const State& state, const Nexus& nexus, AccessClass access);

}  // namespace scsi_pr::fuzz
