// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/publisher.h"

#include <unistd.h>

#include <algorithm>

#include "cluster/names.h"
#include "core/document.h"
#include "store/membership.h"

namespace scsi_pr::agent {

struct stat LikeFor(gid_t group) {
  struct stat like = {};
  like.st_uid = geteuid();
  like.st_gid = group;
  like.st_mode = S_IFREG | 0660;
  return like;
}

// What nobody has ever changed.
class Publisher::Origin : public HostLocks::Origin {
 public:
  Status Begin(uint64_t, Record* record, RecordPlace* durable) override {
    record->version = 1;
    *durable = RecordPlace();
    begun = true;
    return Status();
  }
  Status Join(const Gate&) override { return Status(); }

  bool begun = false;
};

// The members' lock, now or not at all.
class SCOPED_CAPABILITY Publisher::Members {
 public:
  explicit Members(HostLocks& locks) ACQUIRE(kMembersLock) NO_THREAD_SAFETY_ANALYSIS
      : locks_(locks),
        locked_(locks.TryLockMembers() == Locked::kYes) {}
  ~Members() RELEASE() NO_THREAD_SAFETY_ANALYSIS {
    if (!locked_) return;
    locks_.UnlockMembers();
    locks_.gate().released.Ring();
  }
  bool locked() const { return locked_; }

 private:
  HostLocks& locks_;
  const bool locked_;
};

Status Publisher::Open(std::shared_ptr<const RuntimeDirectory> directory, const std::string& name,
                       gid_t group, std::unique_ptr<Publisher>* publisher) {
  Origin origin;
  std::unique_ptr<HostLocks> locks;
  // Whoever opens it beside this has it for moments.
  constexpr std::chrono::milliseconds kPatience{200};
  Status status = HostLocks::Open(directory, cluster::MemoryIdentity(name), LikeFor(group), origin,
                                  kPatience, &locks);
  if (!status.ok()) return status;
  // No QEMU ever takes it. It ends with the process.
  if (locks->TryLockChange() != Locked::kYes) {
    return Status::Error(Status::Code::kBusy,
                         "another scsi-prd publishes cluster:" + name + " in " + directory->path(),
                         "One daemon serves a runtime directory. Stop the other one.");
  }
  if (origin.begun) scsi_pr::AdmitUntil(locks->gate(), 0);
  publisher->reset(new Publisher(std::move(locks)));
  return Status();
}

std::shared_ptr<const Record> Publisher::InForce() {
  std::shared_ptr<const Record> record;
  return locks_->InForce(&record).ok() ? record : nullptr;
}

std::optional<std::string> Publisher::KeyOf(const GateSlot& slot) {
  const auto nexus = slot.attached_nexus();
  if (!nexus) return std::nullopt;
  return NexusKey(*nexus);
}

// Each slot has heard of what it missed, and of nothing twice: it knows its last version.
void Publisher::Tell(const StateRecord& state, const ShareOf& share) {
  for (GateSlot& slot : locks_->gate().slots) {
    const auto key = KeyOf(slot);
    if (!key || !share(*key)) continue;
    for (auto told = state.told.rbegin(); told != state.told.rend(); ++told) {
      std::vector<Sense> conditions;
      for (const UnitAttention& attention : told->unit_attentions) {
        if (attention.Reaches(*slot.nexus())) conditions.push_back(attention.sense);
      }
      kMembersLock.AssertHeld();
      static_cast<void>(slot.Tell(told->version, conditions));
    }
  }
}

// Who is attached hears of what comes behind `version`, though he may have heard of higher ones.
// What he takes meanwhile he is told twice.
void Publisher::BeginAnew(uint64_t version) {
  kRightToChange.AssertHeld();
  locks_->BeginRound();
  for (GateSlot& slot : locks_->gate().slots) {
    if (!slot.attached()) continue;
    const std::vector<Sense> waiting = slot.unit_attentions().List();
    slot.unit_attentions().Reset(version);
    slot.unit_attentions().Insert(waiting, {});
  }
}

Status Publisher::Publish(const std::optional<StateRecord>& state, const ShareOf& share,
                          bool* done) {
  *done = false;
  Record next{1, {}, {}};
  if (state) {
    next.version = state->version;
    if (Status status = DecodeDocument(state->document, &next.state); !status.ok()) return status;
  }
  const Members members(*locks_);
  if (!members.locked()) return Status();
  kRightToChange.AssertHeld();
  Gate& gate = locks_->gate();
  ForgetTheDead(gate, [this](size_t i) { return locks_->IsLive(i); });
  const auto in_force = InForce();
  // A predecessor may have died behind the acceptance of a store that was put back.
  const bool is_back = in_force != nullptr && in_force->version > next.version;
  if (is_other_life_ || is_back) BeginAnew(next.version);
  if (in_force == nullptr || in_force->version != next.version || is_other_life_) {
    if (Status status = locks_->Stage(next); !status.ok()) return status;
    locks_->Enforce();
  }
  if (state) Tell(*state, share);
  // The change that was under way, if there was one, is over: committed, as far as this can
  // tell, if the state has moved on.
  const bool has_moved_on = published_ != 0 && published_ < next.version;
  const auto limit = [&share](const Nexus& nexus) -> Publication::Limit {
    const auto its = share(NexusKey(nexus));
    return its ? Publication::Limit{its->most, its->held} : Publication::Limit{0, true};
  };
  scsi_pr::Publish(gate, next.version, next.state, {}, {limit, has_moved_on});
  published_ = next.version;
  is_other_life_ = false;
  *done = true;
  return Status();
}

template <typename Act>
bool Publisher::ForSlots(const std::vector<Victim>& victims, Act act) {
  const Members members(*locks_);
  if (!members.locked()) return false;
  bool done = true;
  for (GateSlot& slot : locks_->gate().slots) {
    const auto key = KeyOf(slot);
    if (!key) continue;
    const auto victim = std::ranges::find(victims, *key, &Victim::nexus);
    if (victim != victims.end()) done = act(slot, *victim) && done;
  }
  return done;
}

bool Publisher::Shut(const std::vector<Victim>& victims) {
  const bool done = ForSlots(victims, [](GateSlot& slot, const Victim& victim) {
    kMembersLock.AssertHeld();
    slot.Hold(victim.keep);
    return !victim.preempted || slot.BeginDrain(victim.keep);
  });
  locks_->gate().doorbell.Ring();
  return done;
}

bool Publisher::HoldAll() {
  const Members members(*locks_);
  if (!members.locked()) return false;
  for (GateSlot& slot : locks_->gate().slots) {
    if (slot.attached()) slot.Hold(0);
  }
  return true;
}

bool Publisher::IsDrained(const std::vector<std::string>& nexuses) {
  const Gate& gate = locks_->gate();
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const auto key = KeyOf(gate.slots[i]);
    if (!key || std::ranges::find(nexuses, *key) == nexuses.end()) continue;
    if (gate.slots[i].admission().draining() != 0 && locks_->IsOwned(i)) return false;
  }
  return true;
}

bool Publisher::IsEmpty() {
  const Gate& gate = locks_->gate();
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const GateSlot& slot = gate.slots[i];
    if (slot.attached() && slot.admission().in_flight() != 0 && locks_->IsOwned(i)) return false;
  }
  return true;
}

void Publisher::AdmitUntil(Time until) { scsi_pr::AdmitUntil(locks_->gate(), until); }

bool Publisher::Welcome(const std::string& nexus, uint64_t version) {
  return ForSlots({{nexus}}, [version](GateSlot& slot, const Victim&) {
    slot.unit_attentions().Reset(version);
    return true;
  });
}

std::vector<Publisher::Slot> Publisher::Slots() {
  std::vector<Slot> slots;
  const Gate& gate = locks_->gate();
  for (size_t i = 0; i < Gate::kSlots; i++) {
    const auto key = KeyOf(gate.slots[i]);
    if (!key) continue;
    auto attached = ListAttached(gate, {i}, [this](size_t index) { return locks_->IsLive(index); });
    if (attached.empty()) continue;
    slots.push_back({i, *key, std::move(attached[0]), locks_->IsOwned(i)});
  }
  return slots;
}

bool Publisher::IsUsed() const { return HostLocks::IsInUse(locks_->memory().locks()); }

}  // namespace scsi_pr::agent
