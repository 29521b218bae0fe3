// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/administration.h"

#include <algorithm>
#include <vector>

#include "core/administrator.h"
#include "core/document.h"
#include "store/membership.h"

namespace scsi_pr::administration {

namespace {

Status Invalid(const std::string& message, const std::string& hint) {
  return Status::Error(Status::Code::kInvalid, message, hint);
}

// Why a preemption did not end in GOOD.
Status NotPreempted(const Store& store, uint64_t key, const Outcome& outcome) {
  if (outcome.state.information_lost) {
    return Invalid("the reservations of " + store.uri() + " are lost, nobody can be preempted",
                   "Clear them, or load what was saved.");
  }
  if (outcome.state.legacy_holder) {
    return Invalid(store.uri() + " is reserved by RESERVE (SPC-2), nobody is registered",
                   "To release that reservation, clear.");
  }
  if (key == 0) {
    return Invalid(
        "key 0 stands for all registrants of a reservation of an all registrants type; " +
            store.uri() + " has no such reservation",
        "Name the key of the I_T nexus to preempt.");
  }
  return Invalid("no I_T nexus is registered with key " + KeyToText(key) + " on " + store.uri(),
                 "Look at the registrations; who preempted it may have been faster.");
}

std::string Name(const Attachment& attachment) {
  return attachment.nexus.initiator.ToText() + ", target port " +
         std::to_string(attachment.nexus.target_port) + " (" + PlaceText(attachment) + ", " +
         attachment.owner + ")";
}

// kInUse if attached nexuses would lose something.
Status CheckLosers(const Store& store, const State& state, const State& loaded,
                   const std::vector<Attachment>& attached) {
  std::vector<Nexus> nexuses;
  for (const Attachment& attachment : attached) nexuses.push_back(attachment.nexus);
  const std::vector<Nexus> losers = LosersOfLoad(state, loaded, nexuses);
  if (losers.empty()) return Status();
  std::string names;
  for (const Attachment& attachment : attached) {
    if (std::ranges::find(losers, attachment.nexus) == losers.end()) continue;
    names += (names.empty() ? "" : "; ") + Name(attachment);
  }
  return Status::Error(
      Status::Code::kInUse,
      "loading this state into " + store.uri() +
          " would take a registration or a reservation away from " + names,
      "End that virtual machine first, or force it: its commands are aborted as by "
      "PREEMPT AND ABORT then.");
}

Status CheckLoadable(const Store& store, const State& loaded) {
  if (loaded.information_lost) {
    return Invalid("the document says of its own state that it is lost", "Load an older one.");
  }
  if (loaded.aptpl && !store.capabilities().persist_through_power_loss) {
    return Invalid("the document has APTPL on, which " + store.uri() + " cannot offer",
                   "Load it into a file: store.");
  }
  return Status();
}

}  // namespace

Status Preempt(Store& store, uint64_t key, const Store::Waiting& waiting) {
  Outcome outcome;
  const Status status = store.Update(
      [&](const State& state) { return AdministratorPreempt(state, store.capabilities(), key); },
      waiting, &outcome);
  if (!status.ok() || outcome.status == ScsiStatus::kGood) return status;
  return NotPreempted(store, key, outcome);
}

Status Clear(Store& store, const Store::Waiting& waiting) {
  Outcome outcome;
  return store.Update(AdministratorClear, waiting, &outcome);
}

Status ReadDocument(const Store& store, std::string_view document, State* state) {
  if (Status status = DecodeDocument(document, state); !status.ok()) return status;
  return CheckLoadable(store, *state);
}

Status Load(Store& store, std::string_view document, bool force, const Store::Waiting& waiting) {
  State loaded;
  if (Status status = ReadDocument(store, document, &loaded); !status.ok()) return status;
  return Load(store, loaded, force, waiting);
}

Status Load(Store& store, const State& loaded, bool force, const Store::Waiting& waiting) {
  Status refusal;
  // Judged while nobody can change anything.
  const auto transition = [&](const State& state) {
    if (!force) refusal = CheckLosers(store, state, loaded, store.Attached());
    return refusal.ok() ? AdministratorLoad(state, loaded)
                        : Unchanged(state, ScsiStatus::kReservationConflict);
  };
  Outcome outcome;
  const Status status = store.Update(transition, waiting, &outcome);
  return status.ok() ? refusal : status;
}

}  // namespace scsi_pr::administration
