// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is done about one host that is silent: its record is read again and again, and something
// is written that depends on what is found, until that is what was wanted. On the loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/asking_operation.h"
#include "agent/logical_unit.h"
#include "agent/membership.h"

namespace scsi_pr::agent {

class HostOperation : public AskingOperation {
 protected:
  HostOperation(House& house, std::string host, std::shared_ptr<Client> client, Time patience);

  // What the record is; every answer ends in one of these, which may write or end.
  virtual void Found(const HostRecord& record, Time now) = 0;
  virtual void Gone() = 0;

  // If nothing has happened to the record since it was found. What comes of it is found next.
  void Write(const std::optional<HostRecord>& next);
  // Declares it dead, by marking it and waiting. False: it is alive after its mark.
  bool Declare(const HostRecord& record, Time now);
  const std::string& host() const { return host_; }

 private:
  void AskAgain() override;
  void Answered(const Answer& answer, Time now) override;
  std::string Key() { return house().keys.Host(host_); }

  const std::string host_;
  int64_t revision_ = 0;
  bool marked_ = false;
};

}  // namespace scsi_pr::agent
