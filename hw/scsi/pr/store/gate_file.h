// SPDX-License-Identifier: GPL-2.0-or-later
//
// The shared half of a file store: a gate in a file beside the database,
// mapped by all processes that use the store. It says nothing that the
// database and the living processes could not say again, and is void after a
// reboot of the host.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "core/status.h"
#include "gate/gate.h"
#include "store/range_lock.h"

namespace scsi_pr {

class GateFile {
 public:
  // What a gate belongs to: one boot of the host, one database file.
  struct Identity {
    std::string nonce;  // empty: any
    std::string boot_id;
    uint64_t device = 0;
    uint64_t inode = 0;
    struct stat like = {};  // whose owner and permissions a new one gets
  };

  // Maps the file if it is there and carries `identity`; `*gate` stays empty
  // if not.
  static Status Map(const std::string& path, const Identity& identity,
                    std::unique_ptr<GateFile>* gate);
  // What there is under a gate's name.
  enum class Condition {
    kSound,         // the gate of that identity
    kMissing,
    kUnreadable,    // not for this user
    kNoGate,        // not what a gate looks like
    kOtherVersion,  // a gate of another layout
    kOtherBoot,     // void since the host has started
    kOtherStore,    // of another store, or before this one was copied or made anew
  };
  // Maps it to look only: the gate must not be changed, nor is it marked as in
  // use. `*gate` is set only for kSound.
  static Condition Look(const std::string& path, const Identity& identity,
                        std::unique_ptr<const GateFile>* gate);
  // Whether a process that lives uses the gate under this name.
  static bool IsInUse(const std::string& path);

  // Puts a new one in its place; kInUse if living processes use the old one.
  static Status Create(const std::string& path, const Identity& identity);

  ~GateFile();
  GateFile(const GateFile&) = delete;
  GateFile& operator=(const GateFile&) = delete;

  Gate& gate() { return *gate_; }
  const Gate& gate() const { return *gate_; }

  // Of this boot of the host; empty where the kernel does not say.
  static std::string BootId();

 private:
  GateFile(std::unique_ptr<RangeLock> use, Gate* gate) : use_(std::move(use)), gate_(gate) {}

  // Locked (shared) as long as the process uses the file; null if it only looks.
  const std::unique_ptr<RangeLock> use_;
  Gate* const gate_;
};

}  // namespace scsi_pr
