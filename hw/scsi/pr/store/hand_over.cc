// SPDX-License-Identifier: GPL-2.0-or-later
//
// How LocalStore hands a nexus over from one process to another: docs/design.md,
// "Handing a nexus over".
#include <unistd.h>

#include "gate/crash_point.h"
#include "store/local_store.h"
#include "store/membership.h"

namespace scsi_pr {

size_t LocalStore::IndexOf(const GateSlot& slot) const {
  return static_cast<size_t>(&slot - backing_->gate().slots);
}

// No other attachment, of any gate, has this name.
std::string LocalStore::AttachmentOf(const GateSlot& slot) const {
  return backing_->gate().nonce + ("/" + std::to_string(IndexOf(slot))) + "/" +
         std::to_string(slot.attachment());
}

// Claims the slot in which somebody else has the nexus attached, if anybody has.
Status LocalStore::Join(const Nexus& nexus, std::optional<size_t>* index) {
  const Gate& gate = backing_->gate();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  for (Pause pause; (*index = FindAttached(gate, nexus)).has_value(); pause()) {
    switch (backing_->Claim(**index)) {
      case Backing::ClaimResult::kClaimed:
        return Status();
      case Backing::ClaimResult::kOwn:
        return CheckNexusFree(gate, nexus, uri());
      case Backing::ClaimResult::kHasHeir:
        return Status::Error(Status::Code::kInUse,
                             "I_T nexus " + nexus.initiator.ToText() + ", target port " +
                                 std::to_string(nexus.target_port) + " of " + uri() +
                                 " is waited for by another incoming VM already",
                             "Look for a second QEMU process with -incoming, and stop it.");
      case Backing::ClaimResult::kLeaving:
        break;
    }
    if (std::chrono::steady_clock::now() >= deadline) return Busy();
  }
  return Status();
}

Status LocalStore::Identify(StoreIdentity* identity) {
  identity->uri = uri();
  return backing_->Identify(identity);
}

Status LocalStore::HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) {
  *handed = {};
  if (Status status = Identify(&handed->store); !status.ok()) return status;
  const auto nexus = slot->nexus();
  if (!nexus) {
    return Status::Error(Status::Code::kCorrupt, "the gate of " + uri() + " is damaged",
                         "Another process has written into it. Stop the VMs that use it.");
  }
  handed->nexus = *nexus;
  handed->attachment = AttachmentOf(*slot);
  // First: a fencing that begins in between counts as one that came later.
  handed->epoch = slot->admission().epoch();
  Snapshot snapshot;
  if (Status status = Read(&snapshot); !status.ok()) return status;
  if (is_owner && !slot->EndTenure()) {
    return Status::Error(Status::Code::kBusy, "commands are still on their way to the medium",
                         "The VM must be stopped, and its requests must have ended.");
  }
  CrashPoint("handing-over");
  backing_->Disown(IndexOf(*slot));
  CrashPoint("handed-over");
  handed->version = snapshot.version;
  const Registration* registration = snapshot.state.Find(handed->nexus);
  handed->key = registration == nullptr ? 0 : registration->key;
  handed->unit_attentions = slot->unit_attentions().List();
  if (handed->store.kind == StoreIdentity::Kind::kMemory) handed->state = std::move(snapshot.state);
  return Status();
}

// From here on the epochs of this attachment tell whether the nexus was fenced.
void LocalStore::GoOnHere(const GateSlot& slot, HandedOver* handed) const {
  handed->attachment = AttachmentOf(slot);
  handed->epoch = slot.admission().epoch();
}

// The source's state, and nobody can have changed it since.
Status LocalStore::PutInPlace(GateSlot* slot, Record* record, HandedOver* handed) {
  if (*handed->state != record->state) {
    if (Status status = Commit(record, *handed->state, {}); !status.ok()) return status;
  }
  GoOnHere(*slot, handed);
  slot->unit_attentions().Replace(handed->unit_attentions);
  return Status();
}

Status LocalStore::Arrive(GateSlot* slot, HandedOver* handed) {
  const ChangeRight right(*this);
  if (!right.status().ok()) return right.status();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  backing_->EndHeirship(IndexOf(*slot));
  if (handed->state) return PutInPlace(slot, &record, handed);
  const bool goes_on = AttachmentOf(*slot) == handed->attachment;
  const Registration* registration = record.state.Find(handed->nexus);
  const bool lost =
      handed->key != 0 && (registration == nullptr || registration->key != handed->key);
  slot->unit_attentions().Insert(
      goes_on ? std::vector<Sense>() : handed->unit_attentions,
      lost ? std::vector<Sense>{sense::kRegistrationsPreempted} : std::vector<Sense>());
  // Another attachment had other epochs. If there was no change since, nor is there one
  // that has shut gates already, nobody has fenced the nexus yet.
  const Gate& gate = backing_->gate();
  const bool changed = gate.published.load() != handed->version || gate.fencing.load() != 0;
  if (!goes_on && !changed) GoOnHere(*slot, handed);
  return Status();
}

bool LocalStore::TakeOver(GateSlot* slot, Admission::Tenure* tenure) {
  if (!backing_->TryOwn(IndexOf(*slot))) return false;
  CrashPoint("taking-over");
  *tenure = slot->BeginTenure(static_cast<uint32_t>(getpid()));
  CrashPoint("taken-over");
  return true;
}

bool LocalStore::MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const {
  return AttachmentOf(slot) != handed.attachment || slot.admission().HasDrained(handed.epoch);
}

}  // namespace scsi_pr
