// SPDX-License-Identifier: GPL-2.0-or-later
//
// How nexuses come to a GateStore, and go.
#include <unistd.h>

#include "gate/crash_point.h"
#include "store/members_lock.h"
#include "store/membership.h"

namespace scsi_pr {

// Claims the slot in which somebody else has the nexus attached, if anybody has.
Status GateStore::Join(const Nexus& nexus, std::optional<size_t>* index, bool* leaving) {
  const Gate& gate = sharing_->gate();
  *index = FindAttached(gate, nexus);
  if (!*index) return Status();
  switch (sharing_->Claim(**index)) {
    case Sharing::ClaimResult::kClaimed: return Status();
    case Sharing::ClaimResult::kOwn: return CheckNexusFree(gate, nexus, uri());
    case Sharing::ClaimResult::kHasHeir:
      return Status::Error(Status::Code::kInUse,
                           "I_T nexus " + nexus.initiator.ToText() + ", target port " +
                               std::to_string(nexus.target_port) + " of " + uri() +
                               " is waited for by another incoming VM already",
                           "Look for a second QEMU process with -incoming, and stop it.");
    case Sharing::ClaimResult::kLeaving: break;
  }
  *leaving = true;
  return Busy(Locked::kElsewhere);
}

// A slot that nobody has, for a nexus that is attached nowhere.
Status GateStore::TakeSlot(const Nexus& nexus, bool heir, size_t* index) {
  if (Status status = CheckNexusFree(sharing_->gate(), nexus, uri()); !status.ok()) return status;
  if (sharing_->TakeSlot(heir, index)) return Status();
  return Status::Error(Status::Code::kInUse, uri() + " has no room for another I_T nexus: " +
                                                 std::to_string(Gate::kSlots) + " are attached");
}

Status GateStore::AttachAsMember(const Comer& comer, GateSlot** slot, bool* joined, bool* leaving) {
  ForgetTheDead();
  Gate& gate = sharing_->gate();
  const bool incoming = comer.mode == AttachMode::kIncoming;
  std::optional<size_t> found;
  AccessMask access = 0;
  uint64_t version = 0;
  Status status = CheckMedium(gate, comer.nexus, comer.owner, uri());
  if (status.ok()) status = AllowedFor(comer.nexus, &access, &version);
  if (status.ok() && incoming) status = Join(comer.nexus, &found, leaving);
  if (!status.ok()) return status;
  *joined = found.has_value();
  size_t index = found.value_or(0);
  if (!*joined) status = TakeSlot(comer.nexus, incoming, &index);
  if (!status.ok()) return status;
  // The listener may be called at once, and use it.
  *slot = &gate.slots[index];
  try {
    watcher_.Add(index, comer.listener);
  } catch (...) {
    *slot = nullptr;
    sharing_->ReleaseSlot(index);
    throw;
  }
  CrashPoint("attaching");
  if (!*joined) {
    (*slot)->Attach(gate, comer.nexus, static_cast<uint32_t>(getpid()), comer.owner, access,
                    version);
  }
  return Status();
}

// kInUse, naming both stores, if another one guards the medium.
Status GateStore::StateMedium(const Attacher& owner, AttachMode mode, std::unique_ptr<Fact>* fact) {
  if (owner.medium.empty() || !directory_) return Status();
  bool agrees = false;
  Fact::Store other;
  StoreIdentity identity;
  Status status = Identify(&identity);
  if (!status.ok()) return status;
  // One that is private to a process goes to another with its VM.
  const bool is_private = identity.kind == StoreIdentity::Kind::kMemory;
  const Fact::Store ours{is_private ? gate().nonce : identity.OnHost(), uri(), owner.name,
                         is_private && mode == AttachMode::kIncoming};
  status = Fact::State(directory_, Fact::Kind::kMedium, owner.medium, ours, fact, &agrees, &other);
  if (!status.ok() || agrees || owner.accept_medium) return status;
  return Status::Error(
      Status::Code::kInUse,
      owner.medium_name + " is guarded by another store, " + other.uri + " (" + other.user +
          "), and not by " + uri(),
      "All that use a medium need one store. If the file of that store was removed "
      "or replaced, put it back, or stop the VMs that use it. If these are two "
      "media after all, set pr-accept-medium=on.");
}

Status GateStore::Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                         NexusListener* listener, GateSlot** slot) {
  std::unique_ptr<Fact> medium;
  Status refusal = CheckMedium(sharing_->gate(), nexus, owner, uri());
  if (refusal.ok()) refusal = StateMedium(owner, mode, &medium);
  if (!refusal.ok()) return refusal;
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  const Bell& released = sharing_->gate().released;
  for (;;) {
    const uint32_t seen = released.count();
    bool later = false;
    const Status status = TryAttach({nexus, owner, mode, listener}, slot, &later);
    if (status.ok()) {
      const MutexLock lock(media_mutex_);
      media_[IndexOf(**slot)] = std::move(medium);
    }
    if (!later || std::chrono::steady_clock::now() >= deadline) return status;
    released.Wait(seen, std::chrono::milliseconds(1));
  }
}

Status GateStore::SetMedium(GateSlot* slot, const std::string& medium, const std::string& name) {
  Attacher owner(slot->owner(), medium, name);
  std::unique_ptr<Fact> fact;
  Status status = CheckMedium(sharing_->gate(), *slot->nexus(), owner, uri());
  if (status.ok()) status = StateMedium(owner, AttachMode::kNew, &fact);
  if (!status.ok()) return status;
  slot->SetMedium(medium);
  const MutexLock lock(media_mutex_);
  media_[IndexOf(*slot)] = std::move(fact);
  return status;
}

void GateStore::Detach(GateSlot* slot) {
  const size_t index = IndexOf(*slot);
  watcher_.Remove(index);
  // Behind the release the slot may be another one's already, and then so is its medium.
  std::unique_ptr<Fact> medium;
  {
    const MutexLock lock(media_mutex_);
    medium = std::move(media_[index]);
    media_.erase(index);
  }
  sharing_->ReleaseSlot(index);
}

}  // namespace scsi_pr
