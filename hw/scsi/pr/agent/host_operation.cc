// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/host_operation.h"

#include <utility>

namespace scsi_pr::agent {

HostOperation::HostOperation(House& house, std::string host, std::shared_ptr<Client> client,
                             Time patience)
    : AskingOperation(house, std::move(client), patience), host_(std::move(host)) {}

void HostOperation::AskAgain() { Ask({{}, {}, {{Key(), false}}}); }

void HostOperation::Answered(const Answer& answer, Time now) {
  const KeyValue* found = answer.Find(Key());
  if (found == nullptr) return Gone();
  HostRecord record;
  if (const Status status = Decode(found->value, &record); !status.ok()) return Bad(status);
  revision_ = found->revision;
  Found(record, now);
}

void HostOperation::Write(const std::optional<HostRecord>& next) {
  Ask({{{Key(), revision_}},
       {{Key(), next ? std::optional(Encode(*next)) : std::nullopt}},
       {{Key(), false}}});
}

bool HostOperation::Declare(const HostRecord& record, Time now) {
  if (marked_ && record.state == HostRecord::State::kAlive) return false;
  Declaration& declaration = (*house().declarations)[host_];
  const auto next = declaration.Next(now, record, revision_, house().host, house().nonce());
  if (next) {
    marked_ = true;
    Write(next);
  }
  return true;
}

}  // namespace scsi_pr::agent
