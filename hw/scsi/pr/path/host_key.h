// SPDX-License-Identifier: GPL-2.0-or-later
//
// The reservation key of a host for one of its path groups, where nobody has set another one: the
// first eight bytes, big-endian, of the SHA-256 digest of
//
//   scsi-pr path LF MACHINE-ID LF GROUP
//
// with the machine id as machine-id(5) has it, 32 lower-case hexadecimal digits. So it is the same
// after a reboot, and another one on another host; 0, which is no key, becomes 1. Hosts with one
// and the same machine id (clones) would be one host to the storage.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/status.h"

namespace scsi_pr {

uint64_t DeriveHostKey(const std::string& machine_id, const std::string& group);

// Whether it has the form of one.
bool IsMachineId(std::string_view text);

// kIo: `file` does not have a machine id.
Status ReadMachineId(std::string* machine_id, const std::string& file = "/etc/machine-id");

}  // namespace scsi_pr
