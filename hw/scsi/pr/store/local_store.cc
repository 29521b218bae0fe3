// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/local_store.h"

#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "core/guarded.h"
#include "gate/crash_point.h"
#include "gate/fence.h"
#include "store/local_locks.h"
#include "store/membership.h"

namespace scsi_pr {

namespace {

using Clock = std::chrono::steady_clock;
using Step = Failures::Step;

// What a power off must not take away.
bool MustSurvive(const State& state) { return state.aptpl || state.information_lost; }

// Longer than who is woken up takes to come.
constexpr uint64_t kTurns = 20;

uint64_t Milliseconds() {
  using std::chrono::duration_cast;
  const auto now = Clock::now().time_since_epoch();
  return static_cast<uint64_t>(duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

LocalStore::LocalStore(std::string uri, std::shared_ptr<const RuntimeDirectory> directory,
                       std::shared_ptr<Sharing> sharing, std::unique_ptr<Durable> durable)
    : GateStore(std::move(uri), std::move(directory), std::move(sharing), [this] { Repair(); }),
      durable_(std::move(durable)) {
  durable_->Follow(
      [this](const Status& status) { static_cast<void>(Noted(Step::kSave, status).ok()); });
}

LocalStore::~LocalStore() {
  StopWatching();
  durable_->Follow(nullptr);
}

// Who always comes back at once would get the right to change before all who have to be
// woken up for it. As long as anybody waits everybody does, and all are alike.
void LocalStore::BeginTurns() {
  sharing().gate().contended_until.store(Milliseconds() + kTurns, std::memory_order_relaxed);
}

bool LocalStore::TakesTurns() const {
  return sharing().gate().contended_until.load(std::memory_order_relaxed) > Milliseconds();
}

bool LocalStore::IsPublished(const Record& record) const {
  return sharing().gate().published.load() == record.version;
}

// A legacy reservation ends with the process of its holder.
bool LocalStore::HolderIsGone(const State& state) const {
  if (!state.legacy_holder) return false;
  const auto index = FindAttached(sharing().gate(), *state.legacy_holder);
  return !index || !sharing().IsLive(*index);
}

// Nobody has died on the way to it, and a legacy holder lives.
bool LocalStore::IsShown(const Record& record) const {
  return IsPublished(record) && !HolderIsGone(record.state);
}

// The committed record, in force everywhere, without a legacy
// reservation that nobody holds any more.
Status LocalStore::LoadPublished(RecordPointer* record) {
  if (Status status = InForce(record); !status.ok()) return status;
  durable_->TakeBackDisowned();
  Gate& gate = sharing().gate();
  // Who had the right to change before may have died at any point.
  if (!IsPublished(**record) || gate.fencing.load() != 0) {
    Members members(*this);
    if (!members.Lock()) return members.status();
    const Record& r = **record;
    Publish(gate, r.version, r.state, r.unit_attentions);
  }
  return ReleaseForTheGone(record);
}

Status LocalStore::ReleaseForTheGone(RecordPointer* record) {
  if (!HolderIsGone((*record)->state)) return Status();
  std::optional<Outcome> outcome;
  {
    Members members(*this);
    if (!members.Lock()) return members.status();
    ForgetTheDead();
    outcome = LoseNexusThatIsGone((*record)->state, sharing().gate());
  }
  if (!outcome) return Status();
  const RecordPointer before = *record;
  return Commit(*before, std::move(outcome->state), std::move(outcome->unit_attentions), record);
}

Status LocalStore::Commit(const Record& before, State state,
                          std::vector<UnitAttention> unit_attentions, RecordPointer* committed) {
  Record next{durable_->NextVersion(before.version), std::move(state), std::move(unit_attentions)};
  const bool survives = MustSurvive(before.state) || MustSurvive(next.state);
  if (Status status = Noted(Step::kStage, sharing().Stage(next)); !status.ok()) return status;
  return Finish(next, survives, committed);
}

// The record is staged. Also the change that turns APTPL off must survive: the last valid
// value counts (5.6.3).
Status LocalStore::Finish(const Record& next, bool survives, RecordPointer* committed) {
  if (survives) {
    if (Status status = Noted(Step::kSave, durable_->Persist(next)); !status.ok()) return status;
  }
  Members members(*this);
  if (!members.Lock()) {
    if (survives) durable_->Revoke();
    return members.status();
  }
  Enforce(next);
  return committed != nullptr ? sharing().InForce(committed) : Status();
}

// The staged record, with the members' lock.
void LocalStore::Enforce(const Record& next) {
  sharing().Enforce();
  CrashPoint("committed");
  Publish(sharing().gate(), next.version, next.state, next.unit_attentions);
}

// Whatever the disk has, the next power on finds the same: this need not survive.
Status LocalStore::PowerOnIfFirst(RecordPointer record) {
  {
    Members members(*this);
    if (!members.Lock()) return members.status();
    if (ForgetTheDead() != 0) return Status();
  }
  State powered_on = AfterPowerOn(record->state);
  if (powered_on == record->state) return Status();
  Record next{durable_->NextVersion(record->version), std::move(powered_on), {}};
  if (Status status = Noted(Step::kStage, sharing().Stage(next)); !status.ok()) return status;
  return Finish(next, false, nullptr);
}

Status LocalStore::Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) {
  Right right(*this);
  if (!right.LockUntil(Clock::now() + kPatience, waiting.cancelled))
    return Noted(Step::kLock, right.status());
  static_cast<void>(Noted(Step::kLock, Status()).ok());
  RecordPointer record;
  if (Status status = LoadPublished(&record); !status.ok()) return status;
  *outcome = transition(record->state);
  if (outcome->status != ScsiStatus::kGood || outcome->state == record->state) return Status();
  if (!outcome->preempted.empty()) return FenceAndCommit(*record, *outcome, waiting);
  return Commit(*record, outcome->state, outcome->unit_attentions, nullptr);
}

bool LocalStore::TryRead(RecordPointer* record) {
  return sharing().TryInForce(record) && IsShown(**record) && sharing().gate().fencing.load() == 0;
}

bool LocalStore::TryUpdate(const Transition& transition, Outcome* outcome) {
  // Whether it works again has to be told.
  if (AnyFailure() || TakesTurns()) return false;
  Right right(*this);
  RecordPointer record;
  if (!right.TryLock() || !TryRead(&record)) return false;
  durable_->TakeBackDisowned();
  Outcome after = transition(record->state);
  if (after.status == ScsiStatus::kGood && after.state != record->state) {
    if (!after.preempted.empty() || MustSurvive(record->state) || MustSurvive(after.state))
      return false;
    Members members(*this);
    const Record next{durable_->NextVersion(record->version), after.state, after.unit_attentions};
    if (!members.TryLock()) return false;
    if (!sharing().Stage(next).ok()) return false;
    Enforce(next);
  }
  *outcome = std::move(after);
  return true;
}

Status LocalStore::Shut(Fence& fence) {
  Members members(*this);
  if (!members.Lock()) return members.status();
  if (fence.Shut()) return Status();
  return Status::Error(Status::Code::kBusy,
                       "too many fencings of one nexus on " + uri() + " were given up",
                       "Its commands have not ended for long. Is its storage hung?");
}

// If it cannot be had now, whoever has the right to change next opens the gates.
void LocalStore::Reopen(Fence& fence) {
  Members members(*this);
  if (members.Lock()) fence.Reopen();
}

Status LocalStore::FenceAndCommit(const Record& before, const Outcome& outcome,
                                  const Waiting& waiting) {
  const Record next{durable_->NextVersion(before.version), outcome.state, outcome.unit_attentions};
  if (Status status = Noted(Step::kStage, sharing().Stage(next)); !status.ok()) return status;
  Fence fence(sharing().gate(), next.version, outcome.preempted, before.state, next.state);
  FencingListener nobody;
  FencingListener& listener = waiting.listener != nullptr ? *waiting.listener : nobody;
  const Fence::Watch watch{Clock::now() + waiting.abort_timeout,
                           [this](size_t index) { return sharing().IsOwned(index); },
                           waiting.cancelled, [&] { listener.DrainLate(List(fence.Pending())); }};
  const auto start = Clock::now();
  listener.FencingBegun();
  auto waited = Clock::duration::zero();
  // Whatever fails, or throws, the gates do not stay shut.
  const Status status = Guarded(uri(), [&] {
    kRightToChange.AssertHeld();
    if (Status shut = Shut(fence); !shut.ok()) return shut;
    const bool drained = fence.Drain(watch);
    waited = Clock::now() - start;
    if (!drained) return NotDrained(fence, waiting);
    return Finish(next, MustSurvive(before.state) || MustSurvive(next.state), nullptr);
  });
  if (!status.ok()) Reopen(fence);
  listener.FencingEnded(std::chrono::duration_cast<std::chrono::milliseconds>(waited), status);
  return status;
}

Status LocalStore::NotDrained(const Fence& fence, const Waiting& waiting) const {
  std::string who;
  for (const Attachment& pending : List(fence.Pending())) {
    who +=
        (who.empty() ? "" : ", ") + std::to_string(pending.process_id) + " (" + pending.owner + ")";
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
  Right right(*this);
  if (!right.TryLock()) return;  // it lives, or somebody else sees to it
  RecordPointer record;
  // An error is told to the listeners.
  if (sharing().gate().fencing.load() != 0) static_cast<void>(LoadPublished(&record).ok());
}

// What is committed is in force until the next change commits. Who is about to publish it
// has the right to change; if nobody has, he has died.
Status LocalStore::Read(RecordPointer* record) {
  const auto deadline = Clock::now() + kPatience;
  const Gate& gate = sharing().gate();
  const Bell& released = gate.released;
  for (;;) {
    const uint32_t seen = released.count();
    if (Status status = InForce(record); !status.ok()) return status;
    const bool in_force = IsShown(**record);
    if (in_force && gate.fencing.load() == 0) return Status();
    Right right(*this);
    if (right.TryLock()) return LoadPublished(record);
    // A fencer that lives; his change is not committed yet.
    if (in_force) return Status();
    if (Clock::now() >= deadline) return Noted(Step::kLock, right.status());
    released.Wait(seen, std::chrono::milliseconds(1));
  }
}

// The right to change is needed to power the logical unit on, and to do what somebody has
// left undone who died. While others change the state, neither is to be done.
Status LocalStore::TryAttach(const Comer& comer, GateSlot** slot, bool* later) {
  Right right(*this);
  const bool may_change = right.TryLock();
  RecordPointer record;
  Status status;
  if (may_change) {
    status = LoadPublished(&record);
    if (status.ok()) status = PowerOnIfFirst(std::move(record));
  }
  if (!status.ok()) return status;
  Members members(*this);
  if (!members.Lock()) return members.status();
  *later = !may_change && ForgetTheDead() == 0;
  if (*later) return right.status();
  bool joined = false;
  return AttachAsMember(comer, slot, &joined, later);
}

// What the state in force allows, and the one to come if a fencing is under way: nothing
// has to be taken away then, whichever it will be.
Status LocalStore::AllowedFor(const Nexus& nexus, AccessMask* access, uint64_t* version) {
  RecordPointer record;
  if (Status status = InForce(&record); !status.ok()) return status;
  *version = record->version;
  *access = AllowedAccess(record->state, nexus);
  const uint64_t to_come = sharing().gate().fencing.load();
  if (to_come == 0 || to_come == record->version) return Status();
  Record next;
  if (Status status = sharing().ToCome(to_come, &next); !status.ok()) return status;
  *access = static_cast<AccessMask>(*access & AllowedAccess(next.state, nexus));
  return Status();
}

Status LocalStore::Identify(StoreIdentity* identity) {
  identity->uri = uri();
  durable_->Identify(identity);
  return Status();
}

// Those of another memory count other changes.
bool LocalStore::HasVersionsOf(const HandedOver& handed) const {
  return handed.attachment.starts_with(gate().nonce);
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
  if (!handed->state) return GateStore::Arrive(slot, handed);
  sharing().EndHeirship(IndexOf(*slot));
  return PutInPlace(slot, handed);
}

}  // namespace scsi_pr
