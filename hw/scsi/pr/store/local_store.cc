// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/local_store.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "gate/crash_point.h"
#include "gate/fence.h"
#include "store/membership.h"

namespace scsi_pr {

namespace {

using Clock = std::chrono::steady_clock;
using Step = Failures::Step;

// Waits between two attempts, a little longer each time.
class Pause {
 public:
  void operator()() {
    std::this_thread::sleep_for(length_);
    length_ = std::min(length_ * 2, std::chrono::microseconds{2000});
  }

 private:
  std::chrono::microseconds length_{50};
};

Status Busy(const std::string& uri) {
  return Status::Error(Status::Code::kBusy,
                       uri + " is being changed by another process that does not finish",
                       "Look for a stopped QEMU process that uses it.");
}

}  // namespace

bool LocalStore::TryLock() {
  if (!threads_.try_lock()) return false;
  if (backing_->TryLock()) return true;
  threads_.unlock();
  return false;
}

void LocalStore::Unlock() {
  backing_->Unlock();
  threads_.unlock();
}

// The right to change the state, in this process and among all. It polls: a
// lock that is waited for in the kernel could not be given up.
class LocalStore::ChangeRight {
 public:
  ChangeRight(LocalStore& store, const std::function<bool()>& cancelled) : store_(store) {
    const auto deadline = Clock::now() + kPatience;
    for (Pause pause; !(held_ = store.TryLock());) {
      if (cancelled()) return;
      if (Clock::now() >= deadline) {
        static_cast<void>(store.Noted(Step::kLock, status()).ok());
        return;
      }
      pause();
    }
    static_cast<void>(store.Noted(Step::kLock, Status()).ok());
  }
  explicit ChangeRight(LocalStore& store) : ChangeRight(store, [] { return false; }) {}
  ~ChangeRight() {
    if (held_) store_.Unlock();
  }
  ChangeRight(const ChangeRight&) = delete;
  ChangeRight& operator=(const ChangeRight&) = delete;

  Status status() const { return held_ ? Status() : Busy(store_.uri()); }

 private:
  LocalStore& store_;
  bool held_ = false;
};

LocalStore::LocalStore(std::string uri, std::unique_ptr<Backing> backing)
    : Store(std::move(uri)), backing_(std::move(backing)), watcher_(backing_->gate(), [this] {
        Repair();
      }) {}

size_t LocalStore::ForgetTheDead() {
  return scsi_pr::ForgetTheDead(backing_->gate(), [this](size_t i) { return backing_->IsLive(i); });
}

std::vector<Attachment> LocalStore::List(const std::vector<size_t>& slots) const {
  return ListAttached(backing_->gate(), slots, [this](size_t i) { return backing_->IsLive(i); });
}

std::vector<Attachment> LocalStore::ListAll() const {
  std::vector<size_t> all(Gate::kSlots);
  std::iota(all.begin(), all.end(), size_t{0});
  return List(all);
}

Status LocalStore::Noted(Step step, Status status) {
  if (failures_.IsNews(step, status)) watcher_.StoreFailed(status);
  return status;
}

Status LocalStore::Load(Record* record) {
  Status status = backing_->Check();
  if (status.ok()) status = backing_->Load(record);
  return Noted(Step::kLoad, std::move(status));
}

// The committed record, in force everywhere, without a legacy reservation that
// nobody holds any more.
Status LocalStore::LoadPublished(Record* record) {
  if (Status status = Load(record); !status.ok()) return status;
  Gate& gate = backing_->gate();
  // Who had the right to change before may have died at any point.
  if (gate.published.load() != record->version || gate.fencing.load() != 0) {
    Publish(gate, record->version, record->state, record->unit_attentions);
  }
  return ReleaseForTheGone(record);
}

// A legacy reservation ends with the process of its holder. Only where there
// is one is it worth asking the kernel who lives.
Status LocalStore::ReleaseForTheGone(Record* record) {
  if (!record->state.legacy_holder) return Status();
  ForgetTheDead();
  auto outcome = LoseNexusThatIsGone(record->state, backing_->gate());
  if (!outcome) return Status();
  return Commit(record, std::move(outcome->state), std::move(outcome->unit_attentions));
}

// Replaces `*record` by its successor.
Status LocalStore::Commit(Record* record, State state, std::vector<UnitAttention> unit_attentions) {
  // Also the change that turns APTPL off: the last valid value counts (5.6.3).
  const bool durable = record->state.aptpl || state.aptpl;
  Record next{record->version + 1, std::move(state), std::move(unit_attentions)};
  if (Status status = Noted(Step::kSave, backing_->Save(next, durable)); !status.ok()) {
    return status;
  }
  CrashPoint("committed");
  *record = std::move(next);
  Publish(backing_->gate(), record->version, record->state, record->unit_attentions);
  return Status();
}

Status LocalStore::PowerOn(Record* record) {
  State powered_on = AfterPowerOn(record->state);
  if (powered_on == record->state) return Status();
  return Commit(record, std::move(powered_on), {});
}

Status LocalStore::Attach(const Nexus& nexus, const std::string& owner, NexusListener* listener,
                          GateSlot** slot) {
  const ChangeRight right(*this);
  if (!right.status().ok()) return right.status();
  Gate& gate = backing_->gate();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  const size_t attached = ForgetTheDead();
  if (Status status = CheckNexusFree(ListAll(), nexus, uri()); !status.ok()) return status;
  if (attached == 0) {
    if (Status status = PowerOn(&record); !status.ok()) return status;
  }
  size_t index = 0;
  if (!backing_->TakeSlot(&index)) {
    return Status::Error(Status::Code::kInUse, uri() + " has no room for another I_T nexus: " +
                                                   std::to_string(Gate::kSlots) + " are attached");
  }
  *slot = &gate.slots[index];
  try {
    watcher_.Add(index, listener);
  } catch (...) {
    backing_->ReleaseSlot(index);
    throw;
  }
  (*slot)->Attach(nexus, static_cast<uint32_t>(getpid()), owner,
                  AllowedAccess(record.state, nexus), record.version);
  return Status();
}

void LocalStore::Detach(GateSlot* slot) {
  const auto index = static_cast<size_t>(slot - backing_->gate().slots);
  watcher_.Remove(index);
  backing_->ReleaseSlot(index);
}

Status LocalStore::ReadLocked(Snapshot* snapshot) {
  ForgetTheDead();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *snapshot = {std::move(record.state), ListAll()};
  return Status();
}

// Whoever has the right to change may keep it long, for a fencing waits for
// the commands of others. Until he commits, what is committed is in force.
Status LocalStore::Read(Snapshot* snapshot) {
  const auto deadline = Clock::now() + kPatience;
  for (Pause pause;; pause()) {
    if (TryLock()) {
      const Status status = ReadLocked(snapshot);
      Unlock();
      return status;
    }
    Record record;
    if (Status status = Load(&record); !status.ok()) return status;
    // Unless somebody is gone whose legacy reservation has to end first.
    const bool in_force = backing_->gate().published.load() == record.version;
    if (in_force && !record.state.legacy_holder) {
      *snapshot = {std::move(record.state), ListAll()};
      return Status();
    }
    if (Clock::now() >= deadline) return Noted(Step::kLock, Busy(uri()));
  }
}

std::vector<Attachment> LocalStore::Attached() {
  std::vector<Attachment> attached = ListAll();
  std::erase_if(attached, [](const Attachment& attachment) { return !attachment.live; });
  return attached;
}

Status LocalStore::Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) {
  const ChangeRight right(*this, waiting.cancelled);
  if (!right.status().ok()) return right.status();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *outcome = transition(record.state);
  if (outcome->status != ScsiStatus::kGood || outcome->state == record.state) return Status();
  if (!outcome->preempted.empty()) return FenceAndCommit(&record, *outcome, waiting);
  return Commit(&record, outcome->state, outcome->unit_attentions);
}

Status LocalStore::FenceAndCommit(Record* record, const Outcome& outcome, const Waiting& waiting) {
  Gate& gate = backing_->gate();
  const State before = record->state;
  Fence fence(gate, record->version + 1, outcome.preempted, before, outcome.state);
  const Fence::Watch watch{Clock::now() + waiting.abort_timeout,
                           [this](size_t index) { return backing_->IsLive(index); },
                           waiting.cancelled,
                           [&] { waiting.late(List(fence.Pending())); }};
  const auto start = Clock::now();
  waiting.begun();
  Status status;
  const bool drained = fence.Shut() && fence.Drain(watch);
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
  if (!drained) {
    status = NotDrained(fence, waiting);
  } else {
    status = Commit(record, outcome.state, outcome.unit_attentions);
  }
  if (!status.ok()) fence.Reopen();
  waiting.ended(waited, status);
  return status;
}

Status LocalStore::NotDrained(const Fence& fence, const Waiting& waiting) const {
  std::string who;
  for (const Attachment& pending : List(fence.Pending())) {
    who += (who.empty() ? "" : ", ") + std::to_string(pending.process_id) + " (" + pending.owner + ")";
  }
  return Status::Error(Status::Code::kBusy,
                       "PREEMPT AND ABORT on " + uri() + " given up: within " +
                           std::to_string(waiting.abort_timeout.count()) +
                           " ms commands did not end of process " + (who.empty() ? "?" : who),
                       "Nothing has changed. Is that process stopped, or its storage hung? Try "
                       "again when it runs, or is gone.");
}

// A fencer that died left gates shut.
void LocalStore::Repair() {
  if (!TryLock()) return;  // it lives, or somebody else sees to it
  Record record;
  // An error is told to the listeners.
  if (backing_->gate().fencing.load() != 0) static_cast<void>(LoadPublished(&record).ok());
  Unlock();
}

}  // namespace scsi_pr
