// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/operation.h"

#include <algorithm>
#include <utility>

#include "agent/change_operation.h"
#include "agent/logical_unit.h"
#include "cluster/messages.h"
#include "cluster/wire.h"
#include "core/document.h"

namespace scsi_pr::agent {

void Client::Bad(const Status& why) { End(cluster::Error(why)); }

// ---------------------------------------------------------------- Reading

ReadOperation::ReadOperation(LogicalUnit& unit, std::shared_ptr<Client> client, Time patience)
    : Operation(std::move(client)), unit_(unit), patience_(patience) {}

void ReadOperation::Begin(Time now) {
  deadline_ = now + patience_;
  ticket_ = unit_.participant().Look(now);
  Tick(now);
}

void ReadOperation::Tick(Time now) {
  if (is_over_) return;
  if (unit_.participant().seen() >= ticket_ && unit_.publisher().published() != 0) return Shown();
  if (now < deadline_) return;
  Bad(Status::Error(
      Status::Code::kBusy,
      "etcd does not answer, or " + UriOf(unit_.name()) + " cannot be shown on this host",
      "scsi-prd's log says why. Nothing has changed."));
}

// Looked at whenever something has been answered, which makes a tick.
Time ReadOperation::NextTick() const {
  if (is_over_) return kNever;
  return unit_.participant().seen() >= ticket_ ? 0 : deadline_;
}

void ReadOperation::Shown() { Good({{"version", unit_.publisher().published()}}); }

Status NobodyHas(const LogicalUnit& unit) {
  return Status::Error(Status::Code::kInvalid, "there is no logical unit " + UriOf(unit.name()),
                       "scsi-pr list cluster: shows those that this host knows. The first VM that "
                       "says pr-store=" +
                           UriOf(unit.name()) + " makes it.");
}

void LookOperation::Shown() {
  if (unit_.IsUnknown()) return Bad(NobodyHas(unit_));
  std::vector<Attachment> attached;
  for (Publisher::Slot& slot : unit_.publisher().Slots()) {
    slot.attachment.host = unit_.house().host;
    attached.push_back(std::move(slot.attachment));
  }
  for (const auto& [key, record] : unit_.nexuses()) {
    if (record.host == unit_.house().host) continue;
    Attachment elsewhere;
    elsewhere.nexus = record.nexus;
    elsewhere.owner = record.owner_text;
    elsewhere.host = record.host;
    attached.push_back(std::move(elsewhere));
  }
  const auto& state = unit_.state();
  Good({{"version", unit_.publisher().published()},
        {"document", state ? state->document : EncodeDocument(State())},
        {"attached", cluster::AttachmentsToJson(attached)}});
}

}  // namespace scsi_pr::agent
