// SPDX-License-Identifier: GPL-2.0-or-later
//
// How LocalStore hands a nexus over from one process to another: docs/design.md,
// "Handing a nexus over".
#include <unistd.h>

#include "gate/crash_point.h"
#include "store/local_locks.h"
#include "store/membership.h"

namespace scsi_pr {

size_t LocalStore::IndexOf(const GateSlot& slot) const {
  return static_cast<size_t>(&slot - sharing_->gate().slots);
}

// No other attachment, of any gate, has this name.
std::string LocalStore::AttachmentOf(const GateSlot& slot) const {
  return sharing_->gate().nonce + ("/" + std::to_string(IndexOf(slot))) + "/" +
         std::to_string(slot.attachment());
}

Status LocalStore::Identify(StoreIdentity* identity) {
  identity->uri = uri();
  durable_->Identify(identity);
  return Status();
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
  RecordPointer record;
  if (Status status = Read(&record); !status.ok()) return status;
  if (is_owner && !slot->EndTenure()) {
    return Status::Error(Status::Code::kBusy, "commands are still on their way to the medium",
                         "The VM must be stopped, and its requests must have ended.");
  }
  CrashPoint("handing-over");
  sharing_->Disown(IndexOf(*slot));
  CrashPoint("handed-over");
  handed->version = record->version;
  const Registration* registration = record->state.Find(handed->nexus);
  handed->key = registration == nullptr ? 0 : registration->key;
  handed->unit_attentions = slot->unit_attentions().List();
  if (handed->store.kind == StoreIdentity::Kind::kMemory) handed->state = record->state;
  return Status();
}

// From here on the epochs of this attachment tell whether the nexus was fenced.
void LocalStore::GoOnHere(const GateSlot& slot, HandedOver* handed) const {
  handed->attachment = AttachmentOf(slot);
  handed->epoch = slot.admission().epoch();
}

// The source's state, and nobody can have changed it since.
Status LocalStore::PutInPlace(GateSlot* slot, HandedOver* handed) {
  Right right(*this);
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  if (!right.LockUntil(deadline, [] { return false; })) return right.status();
  RecordPointer record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  if (*handed->state != record->state) {
    if (Status status = Commit(*record, *handed->state, {}, nullptr); !status.ok()) return status;
  }
  GoOnHere(*slot, handed);
  slot->unit_attentions().Replace(handed->unit_attentions);
  return Status();
}

Status LocalStore::Arrive(GateSlot* slot, HandedOver* handed) {
  sharing_->EndHeirship(IndexOf(*slot));
  if (handed->state) return PutInPlace(slot, handed);
  RecordPointer record;
  if (Status status = Read(&record); !status.ok()) return status;
  const bool goes_on = AttachmentOf(*slot) == handed->attachment;
  const Registration* registration = record->state.Find(handed->nexus);
  const bool lost =
      handed->key != 0 && (registration == nullptr || registration->key != handed->key);
  slot->unit_attentions().Insert(
      goes_on ? std::vector<Sense>() : handed->unit_attentions,
      lost ? std::vector<Sense>{sense::kRegistrationsPreempted} : std::vector<Sense>());
  // Another attachment had other epochs. If there was no change since, nor is there one
  // that has shut gates already, nobody has fenced the nexus yet. The versions of another
  // memory count other changes.
  Members members(*this);
  if (!members.Lock()) return members.status();
  const Gate& gate = sharing_->gate();
  const bool changed = !handed->attachment.starts_with(gate.nonce) ||
                       gate.published.load() != handed->version || gate.fencing.load() != 0;
  if (!goes_on && !changed) GoOnHere(*slot, handed);
  return Status();
}

bool LocalStore::TakeOver(GateSlot* slot, Admission::Tenure* tenure) {
  if (!sharing_->TryOwn(IndexOf(*slot))) return false;
  CrashPoint("taking-over");
  *tenure = slot->BeginTenure(static_cast<uint32_t>(getpid()));
  CrashPoint("taken-over");
  return true;
}

bool LocalStore::MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const {
  return AttachmentOf(slot) != handed.attachment || slot.admission().HasDrained(handed.epoch);
}

}  // namespace scsi_pr
