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
  MemoryBacking() : gate_(std::make_unique<Gate>()) { gate_->published = record_.version; }

  Capabilities capabilities() const override { return {.abort_tasks = true}; }
  Gate& gate() override { return *gate_; }
  bool TryLock() override { return true; }
  void Unlock() override {}
  Status Check() override { return Status(); }
  Status Load(Record* record) override;
  Status Save(const Record& record, bool durable) override;
  bool TakeSlot(size_t* index) override;
  void ReleaseSlot(size_t index) override { gate_->slots[index].Detach(); }
  bool IsLive(size_t) override { return true; }

 private:
  const std::unique_ptr<Gate> gate_;
  std::mutex mutex_;
  Record record_{.version = 1, .state = {}, .unit_attentions = {}};
};

}  // namespace scsi_pr
