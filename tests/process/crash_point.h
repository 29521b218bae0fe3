// SPDX-License-Identifier: GPL-2.0-or-later
//
// Lets this process die, or stop, at a named place (gate/crash_point.h).
#pragma once

#include <string>

namespace scsi_pr::testing {

// `signal` is sent to this process when it comes to `name` for the `hits`th
// time from now. One place at a time.
void ArmCrashPoint(const std::string& name, int hits, int signal);

}  // namespace scsi_pr::testing
