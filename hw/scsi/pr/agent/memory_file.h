// SPDX-License-Identifier: GPL-2.0-or-later
//
// What this host knows of the store that outlives the process and the boot
// (Membership::Memory): which one it was, so that a restored or another one is noticed. A file of
// the state directory. What is about time (D, until when commands are admitted) is not in it:
// after a reboot nothing of it counts.
#pragma once

#include <string>

#include "agent/membership.h"
#include "core/status.h"

namespace scsi_pr::agent {

class MemoryFile {
 public:
  explicit MemoryFile(const std::string& state_directory)
      : path_(state_directory + "/memory.json") {}

  const std::string& path() const { return path_; }

  // Without the file: nothing is known. kCorrupt, kUnsupported (of a newer version), kIo,
  // kInvalid; then nothing may be admitted, for a store that was put back would be believed.
  Status Read(Membership::Memory* memory) const;
  // Durable when it returns. kIo: what was there is there.
  Status Write(const Membership::Memory& memory) const;

 private:
  const std::string path_;
};

}  // namespace scsi_pr::agent
