// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/local_store.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "gate/crash_point.h"
#include "gate/fence.h"
#include "store/membership.h"

namespace scsi_pr {

namespace {

using Clock = std::chrono::steady_clock;
using Step = Failures::Step;

// To publish an older state would let in whom the newer one shuts out.
Status CommitsMissing(const std::string& uri, const Gate& gate, const Record& record) {
  return Status::Error(Status::Code::kCorrupt,
                       uri + " is damaged: version " + std::to_string(gate.published.load()) +
                           " is in force, but the newest record is version " +
                           std::to_string(record.version),
                       "Its write-ahead log was removed, or an old copy was put in its place. What "
                       "to do: scsi-pr check " + uri);
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

Status LocalStore::Busy() const {
  return Status::Error(Status::Code::kBusy,
                       uri() + " is being changed by another process that does not finish",
                       "Look for a stopped QEMU process that uses it.");
}

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
  return Noted(Step::kLoad, backing_->Load(record));
}

// The committed record, in force everywhere, without a legacy reservation that
// nobody holds any more.
Status LocalStore::LoadPublished(Record* record) {
  Settle();
  if (Status status = Load(record); !status.ok()) return status;
  Gate& gate = backing_->gate();
  if (gate.published.load() > record->version) {
    return Noted(Step::kLoad, CommitsMissing(uri(), gate, *record));
  }
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
  Gate& gate = backing_->gate();
  const uint64_t unsettled = gate.unsettled.exchange(1);
  if (Status status = Noted(Step::kSave, backing_->Save(next, durable)); !status.ok()) {
    // Locked by another program: nothing was written.
    if (status.code() == Status::Code::kBusy) gate.unsettled.store(unsettled);
    Settle();
    return status;
  }
  gate.unsettled.store(0);
  CrashPoint("committed");
  *record = std::move(next);
  Publish(gate, record->version, record->state, record->unit_attentions);
  return Status();
}

// Whoever saved last did not see the end of it. While the disk does not let us,
// the last state is in force all the same.
void LocalStore::Settle() {
  Gate& gate = backing_->gate();
  if (gate.unsettled.load() != 0 && backing_->Settle().ok()) gate.unsettled.store(0);
}

Status LocalStore::PowerOn(Record* record) {
  State powered_on = AfterPowerOn(record->state);
  if (powered_on == record->state) return Status();
  return Commit(record, std::move(powered_on), {});
}

// A slot that nobody has, for a nexus that is attached nowhere.
Status LocalStore::TakeFreeSlot(const Nexus& nexus, bool heir, size_t attached, Record* record,
                                size_t* index) {
  if (Status status = CheckNexusFree(backing_->gate(), nexus, uri()); !status.ok()) return status;
  if (attached == 0) {
    if (Status status = PowerOn(record); !status.ok()) return status;
  }
  if (backing_->TakeSlot(heir, index)) return Status();
  return Status::Error(Status::Code::kInUse, uri() + " has no room for another I_T nexus: " +
                                                 std::to_string(Gate::kSlots) + " are attached");
}

Status LocalStore::Attach(const Nexus& nexus, const Attacher& owner, AttachMode mode,
                          NexusListener* listener, GateSlot** slot) {
  const ChangeRight right(*this);
  if (!right.status().ok()) return right.status();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  const bool incoming = mode == AttachMode::kIncoming;
  std::optional<size_t> joined;
  const size_t attached = ForgetTheDead();
  if (Status status = CheckMedium(backing_->gate(), nexus, owner, uri()); !status.ok()) {
    return status;
  }
  if (Status status = incoming ? Join(nexus, &joined) : Status(); !status.ok()) return status;
  size_t index = joined.value_or(0);
  if (!joined) {
    Status status = TakeFreeSlot(nexus, incoming, attached, &record, &index);
    if (!status.ok()) return status;
  }
  try {
    watcher_.Add(index, listener);
  } catch (...) {
    backing_->ReleaseSlot(index);
    throw;
  }
  *slot = &backing_->gate().slots[index];
  if (joined) return Status();
  (*slot)->Attach(nexus, static_cast<uint32_t>(getpid()), owner,
                  AllowedAccess(record.state, nexus), record.version);
  return Status();
}

Status LocalStore::SetMedium(GateSlot* slot, const std::string& medium, const std::string&) {
  slot->SetMedium(medium);
  return Status();
}

void LocalStore::Detach(GateSlot* slot) {
  const size_t index = IndexOf(*slot);
  watcher_.Remove(index);
  backing_->ReleaseSlot(index);
}

Status LocalStore::ReadLocked(Snapshot* snapshot) {
  ForgetTheDead();
  Record record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *snapshot = {record.version, std::move(record.state), ListAll()};
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
      *snapshot = {record.version, std::move(record.state), ListAll()};
      return Status();
    }
    if (Clock::now() >= deadline) return Noted(Step::kLock, Busy());
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
                           [this](size_t index) { return backing_->IsOwned(index); },
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
