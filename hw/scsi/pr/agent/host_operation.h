// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is done about one host that is silent: its record is read again and again, and something
// is written that depends on what is found, until that is what was wanted. On the loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/logical_unit.h"
#include "agent/membership.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

class HostOperation : public Operation {
 public:
  void Begin(Time now) override;
  void Tick(Time now) override;
  Time NextTick() const override { return is_over_ || asking_ ? kNever : next_; }
  void ClientGone(Time) override { is_over_ = true; }

 protected:
  HostOperation(House& house, std::string host, std::shared_ptr<Client> client);

  // What the record is; every answer ends in one of these, which may write or end.
  virtual void Found(const HostRecord& record, Time now) = 0;
  virtual void Gone() = 0;

  // If nothing has happened to the record since it was found. What comes of it is found next.
  void Write(const std::optional<HostRecord>& next);
  // Declares it dead, by marking it and waiting. False: it is alive after its mark.
  bool Declare(const HostRecord& record, Time now);
  // Nobody has answered until then.
  void GiveUpAt(Time deadline) { deadline_ = deadline; }
  House& house() { return house_; }
  const std::string& host() const { return host_; }

 private:
  std::string Key() const { return house_.keys.Host(host_); }
  void Ask(std::vector<Compare> compares, std::vector<agent::Write> writes);
  void Answered(const Answer& answer, Time now);

  House& house_;
  const std::string host_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
  int64_t revision_ = 0;
  bool asking_ = false;
  bool marked_ = false;
  Time next_ = 0;
  Time deadline_ = kNever;
};

}  // namespace scsi_pr::agent
