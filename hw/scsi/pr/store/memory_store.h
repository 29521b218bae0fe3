// SPDX-License-Identifier: GPL-2.0-or-later
//
// `memory:` - a store that lives and dies with its process.
#pragma once

#include <memory>
#include <mutex>

#include "store/store.h"

namespace scsi_pr {

class MemoryStore : public Store {
 public:
  explicit MemoryStore(std::string uri);

  Capabilities capabilities() const override { return Capabilities{}; }
  Status Attach(const Nexus& nexus, const std::string& owner, GateSlot** slot) override;
  void Detach(GateSlot* slot) override;
  Status Read(Snapshot* snapshot) override;
  Status Update(const Transition& transition, Outcome* outcome) override;

 private:
  // Under mutex_.
  void Become(const Outcome& outcome);
  void ReleaseForTheGone();

  std::mutex mutex_;
  State state_;
  uint64_t version_ = 1;
  std::unique_ptr<Gate> gate_;
};

}  // namespace scsi_pr
