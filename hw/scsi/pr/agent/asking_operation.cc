// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/asking_operation.h"

#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kAgain = 200 * kMillisecond;

}  // namespace

AskingOperation::AskingOperation(House& house, std::shared_ptr<Client> client, Time patience)
    : Operation(std::move(client)), house_(house), patience_(patience) {}

void AskingOperation::Begin(Time now) {
  if (patience_ != kNever) deadline_ = now + patience_;
  Tick(now);
}

void AskingOperation::Tick(Time now) {
  if (is_over_ || asking_) return;
  if (now >= deadline_) return Bad(NoAnswer());
  if (now < next_) return;
  next_ = now + kAgain;
  AskAgain();
}

void AskingOperation::Ask(Transaction transaction) {
  asking_ = true;
  house_.asker.Ask(std::move(transaction), alive_,
                   [this](const Answer& answer) { Heard(answer, Loop::Now()); });
}

void AskingOperation::Heard(const Answer& answer, Time now) {
  asking_ = false;
  next_ = now + kAgain;
  if (is_over_) return;
  failure_ = answer.failure;
  if (answer.answered()) return Answered(answer, now);
  if (IsInVain(failure_)) Bad(NoAnswer());
}

Status AskingOperation::NoAnswer() const {
  if (failure_.kind == Failure::Kind::kNone) {
    return Status::Error(Status::Code::kBusy, "it did not come to its end in time", "Ask again.");
  }
  return Status::Error(Status::Code::kBusy, "etcd does not answer: " + failure_.message,
                       failure_.hint.empty() ? "scsi-prd's log says more." : failure_.hint);
}

}  // namespace scsi_pr::agent
