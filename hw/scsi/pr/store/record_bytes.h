// SPDX-License-Identifier: GPL-2.0-or-later
//
// A record as bytes in shared memory: for programs of one version on one host, and
// quick to read. Whoever shares the memory may have written anything there.
#pragma once

#include <string>

#include "store/record.h"

namespace scsi_pr {

// All but the version.
std::string EncodeRecord(const Record& record);

// False, with `*record` in an unknown condition, if that is no record, or one of a
// state that cannot be (FindViolation()).
bool DecodeRecord(const std::string& bytes, Record* record);

}  // namespace scsi_pr
