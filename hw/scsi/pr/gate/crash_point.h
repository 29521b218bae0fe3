// SPDX-License-Identifier: GPL-2.0-or-later
//
// Named places where a test lets the process die (or stop), to show that the
// next participant repairs what it left. Nothing in a production build.
#pragma once

namespace scsi_pr {

#ifdef SCSI_PR_CRASH_POINTS
void CrashPoint(const char* name);
#else
inline void CrashPoint(const char*) {}
#endif

}  // namespace scsi_pr
