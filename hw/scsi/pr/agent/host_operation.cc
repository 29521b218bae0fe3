// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/host_operation.h"

#include <utility>

namespace scsi_pr::agent {

HostOperation::HostOperation(House& house, std::string host, std::shared_ptr<Client> client)
    : Operation(std::move(client)), house_(house), host_(std::move(host)) {}

void HostOperation::Begin(Time) { Ask({}, {}); }

void HostOperation::Tick(Time now) {
  if (is_over_ || asking_) return;
  if (now >= deadline_) {
    return Bad(
        Status::Error(Status::Code::kBusy, "etcd does not answer", "scsi-prd's log says why."));
  }
  if (now >= next_) Ask({}, {});
}

void HostOperation::Ask(std::vector<Compare> compares, std::vector<agent::Write> writes) {
  asking_ = true;
  house_.asker.Ask({std::move(compares), std::move(writes), {{Key(), false}}}, alive_,
                   [this](const Answer& answer) { Answered(answer, Loop::Now()); });
}

void HostOperation::Answered(const Answer& answer, Time now) {
  asking_ = false;
  next_ = now + 200 * kMillisecond;
  if (!answer.answered() || is_over_) return;
  const KeyValue* found = answer.Find(Key());
  if (found == nullptr) return Gone();
  HostRecord record;
  if (const Status status = Decode(found->value, &record); !status.ok()) return Bad(status);
  revision_ = found->revision;
  Found(record, now);
}

void HostOperation::Write(const std::optional<HostRecord>& next) {
  Ask({{Key(), revision_}}, {{Key(), next ? std::optional(Encode(*next)) : std::nullopt}});
}

bool HostOperation::Declare(const HostRecord& record, Time now) {
  if (marked_ && record.state == HostRecord::State::kAlive) return false;
  Declaration& declaration = (*house_.declarations)[host_];
  const auto next = declaration.Next(now, record, revision_, house_.host, house_.nonce());
  if (next) {
    marked_ = true;
    Write(next);
  }
  return true;
}

}  // namespace scsi_pr::agent
