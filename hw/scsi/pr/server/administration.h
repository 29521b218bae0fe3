// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator does to a store, from QMP or from the command line: the
// transitions of core/administrator.h, with errors for people. On an error
// nothing has changed. Beside the codes named, that of the store.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/state.h"
#include "store/store.h"

namespace scsi_pr::administration {

// PREEMPT AND ABORT (SPC-3 5.6.8.5): when it returns, the tasks of the preempted
// nexuses have ended, and none of them is admitted that the reservation forbids.
// `key` as in AdministratorPreempt(). kInvalid if nobody registered with it, if
// 0 names nobody, or under a reservation by RESERVE; kBusy if tasks did not end
// within waiting.abort_timeout.
Status Preempt(Store& store, uint64_t key, const Store::Waiting& waiting);

// CLEAR (5.6.8.6): nobody is registered and nothing reserved, by RESERVE
// neither. No task is aborted.
Status Clear(Store& store, const Store::Waiting& waiting);

// The state of `document`, if the store can keep it. kCorrupt and kUnsupported as
// DecodeDocument(); kInvalid if the store cannot. Never waits.
Status ReadDocument(const Store& store, std::string_view document, State* state);

// Puts such a state into place, whole. kInUse, naming whom, while it would take a
// registration or a reservation away from an attached nexus, unless `force`. Tasks
// of those who lose it have ended then; kBusy if they did not within
// waiting.abort_timeout. PRgeneration never goes back.
Status Load(Store& store, const State& loaded, bool force, const Store::Waiting& waiting);
// The same, of a document that is read first.
Status Load(Store& store, std::string_view document, bool force, const Store::Waiting& waiting);

}  // namespace scsi_pr::administration
