// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the participants of a store on one host share, and where that is: the gate, the
// record in force and the one to come, two locks, and who is attached, with the proof
// that he lives. Nothing here ever waits, for a disk or for anybody.
#pragma once

#include <cstddef>
#include <memory>

#include "core/status.h"
#include "gate/gate.h"
#include "gate/thread_annotations.h"
#include "store/byte_locks.h"
#include "store/record.h"

namespace scsi_pr {

class Sharing {
 public:
  virtual ~Sharing() = default;

  virtual Gate& gate() = 0;

  // The right to change the state; it may be held for as long as a fencing waits. Called
  // by one thread of a process at a time; free again when its holder dies.
  virtual Locked TryLockChange() = 0;
  virtual void UnlockChange() = 0;
  // The members' lock: who comes, goes, shuts or publishes has it, for moments. Likewise.
  // Whoever wants both takes the right to change first.
  virtual Locked TryLockMembers() = 0;
  virtual void UnlockMembers() = 0;

  // The committed record, and its place. Any thread. kCorrupt: somebody has spoilt the
  // memory.
  virtual Status InForce(std::shared_ptr<const Record>* record) = 0;
  // With one look. False: it changes just now, or is spoilt.
  virtual bool TryInForce(std::shared_ptr<const Record>* record) = 0;
  // Puts a record where everybody can read it as the one to come, and later in force.
  virtual Status Stage(const Record& record) REQUIRES(kRightToChange) = 0;
  virtual void Enforce() REQUIRES(kRightToChange, kMembersLock) = 0;
  // The record that was staged, if it is of that version (Gate::fencing).
  virtual Status ToCome(uint64_t version, Record* record) = 0;

  // A slot of the gate is claimed by every process that has its nexus attached,
  // owned by at most one of these, and one at most is the heir: it waits for what
  // is handed over. Claims, ownership and heirship end with the process.

  // Claims and owns a free slot; false if there is none left.
  virtual bool TakeSlot(bool heir, size_t* index) REQUIRES(kMembersLock) = 0;
  enum class ClaimResult {
    kClaimed,  // as heir
    kOwn,      // this process has claimed it already
    kHasHeir,
    kLeaving,  // the nexus is detached, or about to be: look again
  };
  virtual ClaimResult Claim(size_t index) REQUIRES(kMembersLock) = 0;
  // Ends what this process has of the slot, and detaches it unless others claim it.
  // Any thread, as what follows.
  virtual void ReleaseSlot(size_t index) = 0;
  // Whether a process that claims the slot lives, or anything that it sent to the
  // medium is still in the kernel. The same of the one that owns it.
  virtual bool IsLive(size_t index) = 0;
  virtual bool IsOwned(size_t index) = 0;
  // False while another process owns the slot. For who claims it.
  virtual bool TryOwn(size_t index) = 0;
  virtual void Disown(size_t index) = 0;
  // No more the heir. TryOwn() includes it.
  virtual void EndHeirship(size_t index) = 0;
};

}  // namespace scsi_pr
