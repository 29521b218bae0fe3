// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/logical_unit.h"

#include <algorithm>
#include <utility>

#include "agent/change_operation.h"
#include "agent/nexus_operation.h"
#include "agent/operation.h"
#include "core/document.h"
#include "core/legacy.h"

namespace scsi_pr::agent {

namespace {

constexpr Time kReconcile = kSecond;
constexpr Time kDrainPoll = 2 * kMillisecond;
constexpr Time kLockPoll = 10 * kMillisecond;

}  // namespace

LogicalUnit::LogicalUnit(House& house, std::string name, std::unique_ptr<Publisher> publisher)
    : house_(house),
      name_(std::move(name)),
      publisher_(std::move(publisher)),
      participant_(house.host, name_, house.keys, *this) {}

LogicalUnit::~LogicalUnit() { cluster::RemoveElsewhere(*house_.directory, name_); }

bool LogicalUnit::IsAttached(const std::string& nexus) {
  return std::ranges::any_of(publisher_->Slots(), [&](const Publisher::Slot& slot) {
    return slot.nexus == nexus && slot.attachment.live;
  });
}

bool LogicalUnit::IsOwned(const std::string& nexus) {
  return std::ranges::any_of(publisher_->Slots(), [&](const Publisher::Slot& slot) {
    return slot.nexus == nexus && slot.is_owned;
  });
}

bool LogicalUnit::IsNext(const NexusOperation& operation) const {
  for (const auto& each : operations_) {
    const auto* other = dynamic_cast<const NexusOperation*>(each.get());
    if (other == &operation) return true;
    if (other != nullptr && !other->is_over() && other->key() == operation.key()) return false;
  }
  return true;
}

// ---------------------------------------------------------------- As the membership is

void LogicalUnit::Close() {
  publisher_->AdmitUntil(0);
  participant_.Close();
  open_ = false;
  draining_.reset();
  closing_ = !publisher_->HoldAll();
}

void LogicalUnit::Forget() {
  state_.reset();
  publisher_->Forget();
}

bool LogicalUnit::IsClosedAndEmpty() {
  if (closing_) closing_ = !publisher_->HoldAll();
  return !closing_ && publisher_->IsEmpty();
}

void LogicalUnit::Open(Time now) { participant_.Open(now); }

void LogicalUnit::Look(Time now, const std::vector<News>& news) {
  participant_.Hear(now, news);
  if (ChangeOperation* change = changing()) change->Hear(now, news);
  for (const auto& operation : operations_) operation->Look(now);
}

bool LogicalUnit::IsCommitting() const {
  const ChangeOperation* change = changing();
  return change != nullptr && change->is_committing();
}

// ---------------------------------------------------------------- Time

Time LogicalUnit::NextTick() const {
  Time next = std::min(participant_.NextTick(), next_reconcile_);
  if (draining_) next = std::min(next, next_drain_);
  if (stale_ || closing_) next = std::min(next, next_lock_);
  if (fenced_) next = 0;
  for (const auto& operation : operations_) next = std::min(next, operation->NextTick());
  if (!changes_.empty()) next = std::min(next, changes_.front()->NextTick());
  return next;
}

void LogicalUnit::Tick(Time now) {
  participant_.Tick(now);
  StepLocked(now);
  StepDrain(now);
  if (auto id = std::exchange(fenced_, std::nullopt)) {
    if (ChangeOperation* change = changing(); change != nullptr && change->id() == *id) {
      change->Fenced(now);
    }
  }
  for (const auto& operation : operations_) {
    if (now >= operation->NextTick()) operation->Tick(now);
  }
  operations_.remove_if([](const auto& operation) { return operation->is_over(); });
  StepChanges(now);
  if (now >= next_reconcile_) Reconcile(now);
}

void LogicalUnit::StepChanges(Time now) {
  while (!changes_.empty()) {
    ChangeOperation& change = *changes_.front();
    if (now >= change.NextTick()) change.Tick(now);
    if (!change.is_over()) return;
    changes_.pop_front();
    if (!changes_.empty()) changes_.front()->BeginNow(now);
  }
}

void LogicalUnit::Run(std::shared_ptr<Operation> operation, Time now) {
  operations_.push_back(operation);
  operation->Begin(now);
}

void LogicalUnit::RunChange(std::shared_ptr<ChangeOperation> change, Time now) {
  changes_.push_back(change);
  change->Begin(now);
  if (changes_.size() == 1) change->BeginNow(now);
}

std::shared_ptr<ChangeOperation> LogicalUnit::FindChange(const std::string& id) const {
  const auto found =
      std::ranges::find_if(changes_, [&](const auto& change) { return change->id() == id; });
  return found == changes_.end() ? nullptr : *found;
}

// ---------------------------------------------------------------- The participant's

void LogicalUnit::Send(uint64_t request, const Transaction& transaction) {
  house_.asker.Ask(transaction, alive_, [this, request](const Answer& answer) {
    participant_.Answered(Loop::Now(), request, answer);
  });
}

// What was shown here once cannot be undone but by a restore, which is to be accepted first.
bool LogicalUnit::Publish(const std::optional<StateRecord>& state,
                          const std::vector<Victim>& shut) {
  if (!house_.see(name_, state).ok()) {
    open_ = false;
    static_cast<void>(publisher_->HoldAll());
    return false;
  }
  state_ = state;
  shut_ = shut;
  open_ = true;
  return PublishAgain();
}

bool LogicalUnit::IsConcerned(const StateRecord& next) const {
  State before, after;
  const bool is_next = state_ && next.version == state_->version + 1;
  if (!is_next || !DecodeDocument(state_->document, &before).ok() ||
      !DecodeDocument(next.document, &after).ok()) {
    return true;
  }
  return ConcernsHost(before, after, next, state_->version, house_.host, nexuses_);
}

// A nexus of which no record says that this host owns it stays held.
bool LogicalUnit::PublishAgain() {
  bool done = false;
  const Status status = publisher_->Publish(
      state_,
      [this](const std::string& nexus) -> std::optional<Publisher::Share> {
        const auto record = nexuses_.find(nexus);
        const bool is_ours =
            record != nexuses_.end() && record->second.owned && record->second.host == house_.host;
        if (!is_ours) return std::nullopt;
        const auto victim = std::ranges::find(shut_, nexus, &Victim::nexus);
        if (victim == shut_.end()) return Publisher::Share();
        return Publisher::Share{victim->keep, true};
      },
      &done);
  if (!status.ok()) Failed(status);
  stale_ = !done;
  return done;
}

bool LogicalUnit::Shut(const std::vector<Victim>& victims) {
  shut_ = victims;
  draining_.reset();
  return publisher_->Shut(victims);
}

void LogicalUnit::Drain(const std::vector<std::string>& nexuses) {
  draining_ = nexuses;
  next_drain_ = 0;
}

// What needs the members' lock.
void LogicalUnit::StepLocked(Time now) {
  if (now < next_lock_) return;
  if (closing_) closing_ = !publisher_->HoldAll();
  if (stale_ && open_) PublishAgain();
  if (stale_ || closing_) next_lock_ = now + kLockPoll;
}

void LogicalUnit::StepDrain(Time now) {
  if (!draining_ || now < next_drain_) return;
  next_drain_ = now + kDrainPoll;
  if (!publisher_->IsDrained(*draining_)) return;
  draining_.reset();
  participant_.Drained(now);
}

std::vector<Attachment> LogicalUnit::Late() {
  std::vector<Attachment> late;
  if (!draining_) return late;
  for (Publisher::Slot& slot : publisher_->Slots()) {
    if (std::ranges::find(*draining_, slot.nexus) == draining_->end()) continue;
    if (slot.attachment.commands != 0) late.push_back(std::move(slot.attachment));
  }
  return late;
}

// Told in the next tick: a machine is not called from another one's call.
void LogicalUnit::Fenced(const std::string& id) { fenced_ = id; }

void LogicalUnit::Failed(const Status& why) {
  if (std::exchange(failed_, true)) return;
  house_.log.Say(Message::kUnitDamaged, why, {{"LU", name_}});
}

void LogicalUnit::Attached(const Nexuses& nexuses) {
  is_read_ = true;
  if (nexuses == nexuses_) return;
  nexuses_ = nexuses;
  stale_ = true;
  TellElsewhere();
}

// ---------------------------------------------------------------- Who is where

void LogicalUnit::TellElsewhere() {
  cluster::Elsewhere elsewhere{house_.host, {}};
  for (const auto& [key, record] : nexuses_) {
    if (record.host == house_.host || record.host.empty()) continue;
    elsewhere.attached.push_back({record.nexus, record.host, record.owner_text, true});
  }
  if (elsewhere == elsewhere_) return;
  const Status status =
      cluster::WriteElsewhere(*house_.directory, name_, LikeFor(house_.group), elsewhere);
  // For people only: the next change of it tries again.
  if (status.ok()) elsewhere_ = std::move(elsewhere);
}

bool LogicalUnit::IsBeingChanged(const std::string& nexus) const {
  return std::ranges::any_of(operations_, [&](const auto& operation) {
    const auto* change = dynamic_cast<const NexusOperation*>(operation.get());
    return change != nullptr && !change->is_over() && change->key() == nexus;
  });
}

// The kernel says who lives; the records say who is attached. Where they differ, somebody has
// died, or a daemon has.
void LogicalUnit::Reconcile(Time now) {
  next_reconcile_ = now + kReconcile;
  if (!open_) return;
  const std::vector<Publisher::Slot> slots = publisher_->Slots();
  const auto is_live = [&](const std::string& nexus) {
    return std::ranges::any_of(
        slots, [&](const auto& slot) { return slot.nexus == nexus && slot.attachment.live; });
  };
  for (const auto& [key, record] : nexuses_) {
    const bool is_here = record.IsAt(house_.host);
    if (is_here && !is_live(key) && !IsBeingChanged(key)) TakeBack(key, record, now);
  }
  for (const Publisher::Slot& slot : slots) {
    if (!slot.attachment.live || IsBeingChanged(slot.nexus)) continue;
    const auto record = nexuses_.find(slot.nexus);
    if (record == nexuses_.end()) GiveBack(slot, now);
  }
  ReleaseForTheGone(now);
}

void LogicalUnit::TakeBack(const std::string&, const NexusRecord& record, Time now) {
  Run(std::make_shared<NexusOperation>(*this, nullptr, NexusChange::What::kDetach, record.nexus,
                                       record.owner_text),
      now);
}

// A VM that runs without a record: the engine was put back, or is another one. It is attached
// again if that can be; until then it is held.
void LogicalUnit::GiveBack(const Publisher::Slot& slot, Time now) {
  if (!slot.is_owned) return;
  Run(std::make_shared<NexusOperation>(*this, nullptr, NexusChange::What::kAttach,
                                       slot.attachment.nexus, slot.attachment.owner),
      now);
}

// A legacy reservation ends with its holder's attachment; nobody else would ever release it.
void LogicalUnit::ReleaseForTheGone(Time now) {
  if (!state_ || !changes_.empty()) return;
  State state;
  if (!DecodeDocument(state_->document, &state).ok() || !state.legacy_holder) return;
  const Nexus holder = *state.legacy_holder;
  if (nexuses_.contains(NexusKey(holder))) return;
  RunChange(std::make_shared<ChangeOperation>(*this, nullptr, ChangeOperation::Limits(),
                                              [holder](const State& before) {
                                                if (before.legacy_holder != holder)
                                                  return Unchanged(before, ScsiStatus::kGood);
                                                return ApplyReset(before, holder,
                                                                  Reset::kNexusLoss);
                                              }),
            now);
}

bool LogicalUnit::IsIdle() {
  // What has not been read yet may say that somebody has.
  if (!is_read_ || uses_ != 0 || !operations_.empty() || !changes_.empty()) return false;
  if (publisher_->IsUsed()) return false;
  return std::ranges::none_of(nexuses_,
                              [this](const auto& entry) { return entry.second.IsAt(house_.host); });
}

}  // namespace scsi_pr::agent
