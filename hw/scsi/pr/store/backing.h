// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a LocalStore keeps what its participants share: the committed record,
// the gate, the right to change, and the proof that a participant lives.
#pragma once

#include <cstddef>

#include "core/status.h"
#include "core/transition.h"
#include "gate/gate.h"
#include "store/record.h"

namespace scsi_pr {

class Backing {
 public:
  virtual ~Backing() = default;

  virtual Capabilities capabilities() const = 0;
  virtual Gate& gate() = 0;

  // The right to change, among processes. Called by one thread at a time; it
  // is free again when its holder dies.
  virtual bool TryLock() = 0;
  virtual void Unlock() = 0;

  // Any thread, also without the right to change. Check(): what this process
  // has opened is still what others open under the same name.
  virtual Status Check() = 0;
  virtual Status Load(Record* record) = 0;
  // With the right to change. `durable`: safe from power loss when it returns.
  virtual Status Save(const Record& record, bool durable) = 0;
  // With the right to change: a record whose Save() did not end well, here or in
  // a process that died, can no longer be taken for committed, even by whoever
  // comes after the death of all.
  virtual Status Settle() { return Status(); }

  // Takes a slot of the gate for this process; false if there is none left.
  // With the right to change.
  virtual bool TakeSlot(size_t* index) = 0;
  // Detaches it and gives it back. Any thread.
  virtual void ReleaseSlot(size_t index) = 0;
  // Whether the process that took the slot lives, or anything that it sent to
  // the medium is still in the kernel. Any thread.
  virtual bool IsLive(size_t index) = 0;
};

}  // namespace scsi_pr
