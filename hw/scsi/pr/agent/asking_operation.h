// SPDX-License-Identifier: GPL-2.0-or-later
//
// An operation that asks the engine, and asks again until it has been answered what it needs: one
// request at a time. On the loop's thread.
#pragma once

#include <memory>

#include "agent/engine.h"
#include "agent/logical_unit.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

class AskingOperation : public Operation {
 public:
  void Begin(Time now) override;
  void Tick(Time now) override;
  Time NextTick() const override { return is_over_ || asking_ ? kNever : next_; }
  void ClientGone(Time) override { is_over_ = true; }

 protected:
  // Ends with kBusy `patience` after its beginning, or when asking again is in vain.
  AskingOperation(House& house, std::shared_ptr<Client> client, Time patience);

  // First, and a moment after each answer that was not the end.
  virtual void AskAgain() = 0;
  // May ask, or end. Not called for what has failed.
  virtual void Answered(const Answer& answer, Time now) = 0;

  virtual bool IsInVain(const Failure& failure) const { return !IsPassing(failure.kind); }

  void Ask(Transaction transaction);
  House& house() { return house_; }

 private:
  void Heard(const Answer& answer, Time now);
  Status NoAnswer() const;

  House& house_;
  const Time patience_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);
  bool asking_ = false;
  Failure failure_;  // the last one, since the last answer
  Time next_ = 0;
  Time deadline_ = kNever;
};

}  // namespace scsi_pr::agent
