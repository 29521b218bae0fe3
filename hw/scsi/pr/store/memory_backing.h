// SPDX-License-Identifier: GPL-2.0-or-later
//
// `memory:` - a store that lives and dies with its process.
#pragma once

#include <memory>
#include <mutex>

#include "store/backing.h"

namespace scsi_pr {

class MemoryBacking : public Backing {
 public:
  MemoryBacking();

  Capabilities capabilities() const override { return {.abort_tasks = true}; }
  Gate& gate() override { return *gate_; }
  bool TryLock() override { return true; }
  void Unlock() override {}
  Status Load(Record* record) override;
  Status Save(const Record& record, bool durable) override;
  Status Identify(StoreIdentity* identity) override;
  bool TakeSlot(bool heir, size_t* index) override;
  ClaimResult Claim(size_t) override { return ClaimResult::kOwn; }
  void ReleaseSlot(size_t index) override { gate_->slots[index].Detach(); }
  // There is no other process. Who has handed a slot over has nothing on its way.
  bool IsLive(size_t) override { return true; }
  bool IsOwned(size_t) override { return true; }
  bool TryOwn(size_t) override { return true; }
  void Disown(size_t) override {}
  void EndHeirship(size_t) override {}

 private:
  const std::unique_ptr<Gate> gate_;
  std::mutex mutex_;
  Record record_{.version = 1, .state = {}, .unit_attentions = {}};
};

}  // namespace scsi_pr
