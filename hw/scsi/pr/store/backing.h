// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where a LocalStore keeps what its participants share: the committed record,
// the gate, the right to change, and the proof that a participant lives.
#pragma once

#include <cstddef>

#include "core/status.h"
#include "core/transition.h"
#include "gate/gate.h"
#include "store/handed_over.h"
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

  // Any thread, also without the right to change. Fails if what this process has
  // opened is no longer what others open under the same name.
  virtual Status Load(Record* record) = 0;
  // With the right to change. `durable`: safe from power loss when it returns.
  virtual Status Save(const Record& record, bool durable) = 0;
  // With the right to change: a record whose Save() did not end well, here or in
  // a process that died, can no longer be taken for committed, even by whoever
  // comes after the death of all.
  virtual Status Settle() { return Status(); }

  // All but the URI. Any thread.
  virtual Status Identify(StoreIdentity* identity) = 0;

  // A slot of the gate is claimed by every process that has its nexus attached,
  // owned by at most one of these, and one at most is the heir: it waits for what
  // is handed over. Claims, ownership and heirship end with the process.

  // Claims and owns a free slot; false if there is none left. With the right to
  // change, as Claim().
  virtual bool TakeSlot(bool heir, size_t* index) = 0;
  enum class ClaimResult {
    kClaimed,  // as heir
    kOwn,      // this process has claimed it already
    kHasHeir,
    kLeaving,  // the nexus is detached, or about to be: look again
  };
  virtual ClaimResult Claim(size_t index) = 0;
  // Ends what this process has of the slot, and detaches it unless others claim it.
  // Any thread, as what follows.
  virtual void ReleaseSlot(size_t index) = 0;
  // Whether a process that claims the slot lives, or anything that it sent to the
  // medium is still in the kernel. The same of the one that owns it.
  virtual bool IsLive(size_t index) = 0;
  virtual bool IsOwned(size_t index) = 0;
  // Never waits. False while another process owns the slot. For who claims it.
  virtual bool TryOwn(size_t index) = 0;
  virtual void Disown(size_t index) = 0;
  // No more the heir. TryOwn() includes it.
  virtual void EndHeirship(size_t index) = 0;
};

}  // namespace scsi_pr
