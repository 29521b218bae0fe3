// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator does to a reservation state. He is no I_T nexus: he
// sends what an initiator port that nobody else has would send (register, act,
// unregister), as one change. Pure functions, as in core/transition.h.
#pragma once

#include <optional>
#include <vector>

#include "core/transition.h"

namespace scsi_pr {

// PREEMPT AND ABORT with `key` as SERVICE ACTION RESERVATION KEY (SPC-3 5.6.8.5,
// table 36; 0 stands for all registrations of an all registrants type). A
// reservation of a preempted holder is released, not taken over. Status and
// sense as the command's: RESERVATION CONFLICT if nobody registered with the
// key, or under a legacy reservation.
Outcome AdministratorPreempt(const State& state, const Capabilities& capabilities, uint64_t key);

// CLEAR (5.6.8.6); also releases a legacy reservation, as a logical unit reset
// does, and ends PERSISTENT RESERVATION INFORMATION LOST. Status GOOD always.
Outcome AdministratorClear(const State& state);

// Puts `loaded` in place of the state; status GOOD always. Who loses by it is told
// as after a preemption, or after a reset where it is a reservation by RESERVE;
// whoever stays registered learns of a reservation that is not there any more
// (RESERVATIONS RELEASED). `preempted`: who had a registration or a reservation,
// and is not registered any more or loses access.
// PRgeneration never goes back. A reservation by RESERVE belongs to a living
// initiator: one that is not held now is not loaded.
Outcome AdministratorLoad(const State& state, const State& loaded);

// Whom of `attached` the loaded state would take a registration (also by giving
// it another key) or a reservation away from.
std::vector<Nexus> LosersOfLoad(const State& state, const State& loaded,
                                const std::vector<Nexus>& attached);

}  // namespace scsi_pr
