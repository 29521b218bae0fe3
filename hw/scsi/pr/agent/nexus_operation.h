// SPDX-License-Identifier: GPL-2.0-or-later
//
// A nexus that comes, goes, or is handed over on this host (attach, detach, hand-over,
// take-over): NexusChange, and what the gate shows in the end.
#pragma once

#include <memory>
#include <string>

#include "agent/logical_unit.h"
#include "agent/nexus_change.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

class NexusOperation : public Operation, private NexusChange::Outside {
 public:
  // `is_shared`: another process here has the slot that is attached, too.
  NexusOperation(LogicalUnit& unit, std::shared_ptr<Client> client, NexusChange::What what,
                 const Nexus& nexus, std::string owner_text, bool is_shared = false);

  const std::string& key() const { return key_; }

  void Begin(Time now) override;  // waits for its turn
  void Look(Time now) override;
  void Tick(Time now) override;
  Time NextTick() const override;

 private:
  void Send(uint64_t request, const Transaction& transaction) override;
  void Ended(NexusChange::Result result, const Status& why) override;
  bool IsAttach() const;
  bool IsNothingToWrite() const;
  void BeginNow(Time now);
  void Show(Time now);
  void Note() const;

  LogicalUnit& unit_;
  const NexusChange::What what_;
  const Nexus nexus_;
  const std::string key_;
  const std::string owner_text_;
  const bool is_shared_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<NexusChange> change_;
  bool begun_ = false;    // of one nexus one at a time
  bool done_ = false;     // written; to be shown
  bool welcome_ = false;  // the slot has been told that it is new
  uint64_t ticket_ = 0;
  Time deadline_ = 0;
};

}  // namespace scsi_pr::agent
