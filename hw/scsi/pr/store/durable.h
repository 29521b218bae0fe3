// SPDX-License-Identifier: GPL-2.0-or-later
//
// What of a store must survive the end of all its participants: its durable half.
#pragma once

#include <cstdint>
#include <functional>

#include "core/status.h"
#include "core/transition.h"
#include "gate/thread_annotations.h"
#include "store/handed_over.h"
#include "store/record.h"

namespace scsi_pr {

class Durable {
 public:
  virtual ~Durable() = default;

  virtual Capabilities capabilities() const = 0;
  // All but the URI. Any thread, never waits.
  virtual void Identify(StoreIdentity* identity) = 0;

  // `record` is durable when it returns. Waits for a disk, but
  // not for ever; on an error the record does not count, whoever looks at the disk later.
  virtual Status Persist(const Record& record) REQUIRES(kRightToChange) = 0;
  // Behind Persist(): the record will not come in force.
  virtual void Revoke() REQUIRES(kRightToChange) = 0;
  // Never waits. What the disk may have of a change that never
  // came in force, because somebody died, is taken back as soon as the disk lets that be.
  virtual void TakeBackDisowned() REQUIRES(kRightToChange) = 0;
  // The version of the next record, above every one that may be on the disk.
  virtual uint64_t NextVersion(uint64_t in_force) REQUIRES(kRightToChange) = 0;

  // `hear` is told, on some thread, how the durable half is when somebody else has done
  // something to it. Not called any more once Follow() has returned with another one.
  virtual void Follow(std::function<void(const Status&)> hear) = 0;
};

// That of a store that lives and dies with its process.
class NotDurable : public Durable {
 public:
  Capabilities capabilities() const override { return {.abort_tasks = true}; }
  void Identify(StoreIdentity* identity) override { identity->kind = StoreIdentity::Kind::kMemory; }
  Status Persist(const Record&) override { return Status(); }
  void Revoke() override {}
  void TakeBackDisowned() override {}
  uint64_t NextVersion(uint64_t in_force) override { return in_force + 1; }
  void Follow(std::function<void(const Status&)>) override {}
};

}  // namespace scsi_pr
