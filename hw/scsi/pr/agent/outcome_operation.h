// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether a change whose client has lost its connection has been committed (outcome). On the
// loop's thread.
#pragma once

#include <memory>
#include <string>

#include "agent/asking_operation.h"

namespace scsi_pr::agent {

class OutcomeOperation : public AskingOperation {
 public:
  OutcomeOperation(LogicalUnit& unit, std::shared_ptr<Client> client, std::string id);
  // What is there is taken away in any case.
  void ClientGone(Time) override {}

 private:
  void AskAgain() override;
  void Answered(const Answer& answer, Time now) override;
  // An outcome that stays unknown is worse than one that comes late.
  bool IsInVain(const Failure&) const override { return false; }
  void AskWith(std::vector<Compare> compares, std::vector<agent::Write> writes);

  LogicalUnit& unit_;
  const std::string id_;
};

}  // namespace scsi_pr::agent
