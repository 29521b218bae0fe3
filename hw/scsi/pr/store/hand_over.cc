// SPDX-License-Identifier: GPL-2.0-or-later
//
// How GateStore hands a nexus over from one process to another: docs/design.md,
// "Handing a nexus over".
#include <unistd.h>

#include "gate/crash_point.h"
#include "store/members_lock.h"
#include "store/membership.h"

namespace scsi_pr {

size_t GateStore::IndexOf(const GateSlot& slot) const {
  return static_cast<size_t>(&slot - sharing_->gate().slots);
}

// No other attachment, of any gate, has this name.
std::string GateStore::AttachmentOf(const GateSlot& slot) const {
  return sharing_->gate().nonce + ("/" + std::to_string(IndexOf(slot))) + "/" +
         std::to_string(slot.attachment());
}

Status GateStore::HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) {
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
  if (Status status = ReadOnHost(&record); !status.ok()) return status;
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
void GateStore::GoOnHere(const GateSlot& slot, HandedOver* handed) const {
  handed->attachment = AttachmentOf(slot);
  handed->epoch = slot.admission().epoch();
}

Status GateStore::Arrive(GateSlot* slot, HandedOver* handed) {
  sharing_->EndHeirship(IndexOf(*slot));
  RecordPointer record;
  if (Status status = ReadOnHost(&record); !status.ok()) return status;
  const bool goes_on = AttachmentOf(*slot) == handed->attachment;
  const Registration* registration = record->state.Find(handed->nexus);
  const bool lost =
      handed->key != 0 && (registration == nullptr || registration->key != handed->key);
  slot->unit_attentions().Insert(
      goes_on ? std::vector<Sense>() : handed->unit_attentions,
      lost ? std::vector<Sense>{sense::kRegistrationsPreempted} : std::vector<Sense>());
  // Another attachment had other epochs. If there was no change since, nor is there one
  // that has shut gates already, nobody has fenced the nexus yet.
  Members members(*this);
  if (!members.Lock()) return members.status();
  const Gate& gate = sharing_->gate();
  const bool changed = !HasVersionsOf(*handed) || gate.published.load() != handed->version ||
                       gate.fencing.load() != 0 || slot->is_being_fenced();
  if (!goes_on && !changed) GoOnHere(*slot, handed);
  return Status();
}

bool GateStore::TakeOver(GateSlot* slot, Admission::Tenure* tenure) {
  if (!sharing_->TryOwn(IndexOf(*slot))) return false;
  CrashPoint("taking-over");
  *tenure = slot->BeginTenure(static_cast<uint32_t>(getpid()));
  CrashPoint("taken-over");
  return true;
}

bool GateStore::MayBeFencedSince(const GateSlot& slot, const HandedOver& handed) const {
  return AttachmentOf(slot) != handed.attachment || slot.admission().HasDrained(handed.epoch);
}

}  // namespace scsi_pr
