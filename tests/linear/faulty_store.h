// SPDX-License-Identifier: GPL-2.0-or-later
//
// Stores that break their promise, each in one way: what the checker must find.
#pragma once

#include <memory>
#include <string>

#include "store/store.h"

namespace scsi_pr::linear {

// `fault` is one of
//   none           the store itself
//   stale-read     Read() shows what this process saw last
//   early-status   Update() answers before it commits
//   no-lock        Update() runs the transition without the change lock
//   power-on       Attach() powers the unit on although others are attached
// Nothing for another one.
std::shared_ptr<Store> WithFault(std::shared_ptr<Store> store, const std::string& fault);

}  // namespace scsi_pr::linear
