// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/memory_store.h"

#include <unistd.h>

#include <algorithm>

#include "store/membership.h"

namespace scsi_pr {

MemoryStore::MemoryStore(std::string uri) : Store(std::move(uri)), gate_(std::make_unique<Gate>()) {}

void MemoryStore::Become(const Outcome& outcome) {
  state_ = outcome.state;
  Publish(*gate_, ++version_, state_, outcome.unit_attentions);
}

void MemoryStore::ReleaseForTheGone() {
  if (const auto outcome = LoseNexusThatIsGone(state_, *gate_)) Become(*outcome);
}

Status MemoryStore::Attach(const Nexus& nexus, const std::string& owner, GateSlot** slot) {
  const std::lock_guard lock(mutex_);
  const size_t attached = ForgetTheDead(*gate_, [](size_t) { return true; });
  ReleaseForTheGone();
  if (Status status = CheckNexusFree(*gate_, nexus, uri()); !status.ok()) return status;
  if (attached == Gate::kSlots) {
    return Status::Error(Status::Code::kInUse, uri() + " has no room for another I_T nexus");
  }
  if (attached == 0) {
    state_ = AfterPowerOn(state_);
    version_++;
  }
  *slot = std::ranges::find_if(gate_->slots, [](const GateSlot& s) { return !s.attached(); });
  (*slot)->Attach(nexus, static_cast<uint32_t>(getpid()), owner, AllowedAccess(state_, nexus),
                  version_);
  return Status();
}

void MemoryStore::Detach(GateSlot* slot) {
  const std::lock_guard lock(mutex_);
  slot->Detach();
}

Status MemoryStore::Read(Snapshot* snapshot) {
  const std::lock_guard lock(mutex_);
  ReleaseForTheGone();
  *snapshot = {state_, ListAttached(*gate_)};
  return Status();
}

Status MemoryStore::Update(const Transition& transition, Outcome* outcome) {
  const std::lock_guard lock(mutex_);
  ReleaseForTheGone();
  *outcome = transition(state_);
  if (outcome->status == ScsiStatus::kGood && outcome->state != state_) Become(*outcome);
  return Status();
}

}  // namespace scsi_pr
