// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/change.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kTryAgain = 100 * kMillisecond;
// The hint of an acknowledgement may be lost.
constexpr Time kPoll = 100 * kMillisecond;
constexpr Time kFirstPoll = 20 * kMillisecond;

using Kind = Failure::Kind;

}  // namespace

Change::Change(Options options, Keys keys, Outside& outside, std::function<std::string()> nonce)
    : options_(std::move(options)),
      keys_(std::move(keys)),
      outside_(outside),
      nonce_(std::move(nonce)),
      deadline_(options_.deadline) {}

std::vector<Range> Change::All() const {
  return {{keys_.Unit(options_.lu), true}, {keys_.Hosts(), true}};
}

void Change::Read() { Send({}, {}, All()); }

// `reads`: what it does not know when that is applied.
void Change::Send(std::vector<Compare> compares, std::vector<Write> writes,
                  std::vector<Range> reads) {
  pending_ = ++requests_;
  sent_ = {std::move(compares), std::move(writes), std::move(reads), {}};
  if (!sent_.writes.empty()) sent_.otherwise = All();
  outside_.Send(requests_, sent_);
}

Time Change::NextTick() const {
  const bool waits = pending_ || phase_ == Phase::kDeciding || phase_ == Phase::kOver;
  const Time next = waits ? kNever : next_;
  // An engine that is slow delays nobody's GOOD.
  const bool waits_for_others = phase_ == Phase::kPublishing && !told_;
  return waits_for_others ? std::min(next, committed_at_ + options_.publication) : next;
}

void Change::Tick(Time now) {
  if (now < NextTick()) return;
  if (phase_ == Phase::kPublishing && now >= committed_at_ + options_.publication) return Good();
  if (phase_ != Phase::kBeginning || !there_.change.id.empty()) return Read();
  const bool is_first = requests_ == 0;
  if (is_first && options_.presumption) return Presume();
  Begin();
}

void Change::Answered(Time now, uint64_t request, const Answer& answer) {
  if (pending_ != request) return;
  pending_.reset();
  next_ = now + kTryAgain;
  if (!answer.answered()) return Failed(now, answer);
  Reading there = there_;
  const Status status = UpdateReading(answer, sent_, keys_, options_.lu, &there);
  if (!status.ok()) {
    if (phase_ == Phase::kPublishing) return;
    return Settle(now, Result::kRefused, {Kind::kBadAnswer, status.message(), status.hint()});
  }
  there_ = std::move(there);
  read_at_ = answer.revision;
  if (answer.outcome == Outcome::kCompareFailed) heard_.clear();  // it may have been wrong
  AddHeard(answer.revision);
  Step(now);
}

// What was sent may have been applied, or be later: the next answer tells.
void Change::Failed(Time now, const Answer& answer) {
  if (phase_ == Phase::kPublishing) return;
  if (phase_ == Phase::kSettling) {
    if (now < deadline_ + options_.settle) return;
    if (may_commit_) Tell(Result::kUnknown, answer.failure);
    return End();
  }
  if (now >= deadline_) return Settle(now, Result::kBusy, answer.failure);
  const bool is_final = answer.outcome == Outcome::kFailed && !IsPassing(answer.failure.kind);
  if (is_final && phase_ != Phase::kWaiting) Settle(now, Result::kRefused, answer.failure);
}

void Change::Step(Time now) {
  if (phase_ == Phase::kPublishing) return Publish(now);
  if (there_.state && there_.state->Has(options_.id)) return BeCommitted(now);
  const bool may_be_foreign = phase_ < Phase::kIntending;
  if (!may_be_foreign && !IsOurs()) {
    // Whoever took it away has seen to it that it can not be committed any more.
    Tell(result_, why_);
    return End();
  }
  if (phase_ == Phase::kSettling) return TakeAway(now);
  if (now >= deadline_) return Settle(now, Result::kBusy);
  switch (phase_) {
    case Phase::kBeginning: return StepBeginning(now);
    case Phase::kConfirming: return Confirmed(now);
    case Phase::kClaiming: return Claimed(now);
    case Phase::kIntending:
      if (!there_.change.is_intent) return Intend();
      phase_ = Phase::kWaiting;
      waiting_since_ = now;
      [[fallthrough]];
    case Phase::kWaiting:
    case Phase::kCommitting: return Wait(now);
    default: return;
  }
}

void Change::StepBeginning(Time now) {
  if (there_.change.id.empty()) return Begin();
  if (!IsOurs()) return MeetForeign(now);
  phase_ = Phase::kDeciding;
  outside_.Decide(there_.state, there_.nexuses);
}

// ---------------------------------------------------------------- A presumption

void Change::Presume() {
  there_.state = options_.presumption->state;
  there_.state_revision = options_.presumption->state_revision;
  there_.nexuses = options_.presumption->nexuses;
  phase_ = Phase::kDeciding;
  outside_.Decide(there_.state, there_.nexuses);
}

// Who attaches before it is committed may lose something by a change by which now nobody does: it
// has to begin.
void Change::DecidedByPresumption() {
  if (!decision_.changes) {
    phase_ = Phase::kConfirming;
    return Read();
  }
  if (decision_.victims.empty()) {
    phase_ = Phase::kBeginning;
    return Begin();
  }
  phase_ = Phase::kClaiming;
  const std::string key = keys_.Change(options_.lu);
  Send({{key, 0}, {keys_.State(options_.lu), there_.state_revision}}, {{key, Encode(Record(true))}},
       {{keys_.Nexuses(options_.lu), true}});
}

// That it changes nothing.
void Change::Confirmed(Time now) {
  if (there_.state_revision != options_.presumption->state_revision) {
    phase_ = Phase::kBeginning;
    return StepBeginning(now);
  }
  Tell(Result::kGood);
  End();
}

void Change::Claimed(Time now) {
  if (!IsOurs()) {
    phase_ = Phase::kBeginning;
    return StepBeginning(now);
  }
  // Others may have acknowledged it already: it cannot become another one.
  if (there_.nexuses != options_.presumption->nexuses) return Settle(now, Result::kForeign);
  outside_.Fence(Record(true));
  phase_ = Phase::kWaiting;
  waiting_since_ = now;
  Wait(now);
}

// ---------------------------------------------------------------- The change

ChangeRecord Change::Record(bool is_intent) const {
  ChangeRecord record;
  record.id = options_.id;
  record.by = options_.host;
  record.patience = options_.patience;
  if (!is_intent) return record;
  record.is_intent = true;
  record.victims = decision_.victims;
  record.aborts = decision_.aborts;
  return record;
}

void Change::Begin() {
  const std::string key = keys_.Change(options_.lu);
  Send({{key, 0}}, {{key, Encode(Record(false))}},
       {{keys_.State(options_.lu), false}, {keys_.Nexuses(options_.lu), true}});
}

// Whoever makes it may be silent, and never end it. This host makes one after the other.
void Change::MeetForeign(Time now) {
  const ChangeRecord& change = there_.change;
  if (there_.IsChangeLeft() || change.by == options_.host) return TakeAwayChange();
  const bool is_late =
      change.id == options_.foreign && now >= options_.foreign_since + options_.silent;
  if (is_late && Declare(now, change.by)) return;
  Tell(Result::kForeign);
  End();
}

void Change::Decided(Time now, Decision decision) {
  if (phase_ != Phase::kDeciding) return;
  decision_ = std::move(decision);
  version_ = VersionOf(there_.state);
  if (decision_.deadline != 0) deadline_ = decision_.deadline;
  if (requests_ == 0) return DecidedByPresumption();
  if (!decision_.changes) return Settle(now, Result::kGood);
  if (decision_.victims.empty()) {
    phase_ = Phase::kCommitting;
    fenced_ = true;
    return Commit();
  }
  phase_ = Phase::kIntending;
  outside_.Fence(Record(true));
  Intend();
}

void Change::Intend() {
  const std::string key = keys_.Change(options_.lu);
  Send({{key, there_.change_revision}}, {{key, Encode(Record(true))}}, {});
}

void Change::Fenced(Time) {
  fenced_ = true;
  GoOn();
}

// Without another reading, if none has to be waited for.
bool Change::GoOn() {
  const bool is_free = !pending_ || sent_.writes.empty();
  if (phase_ != Phase::kWaiting || !is_free || !AreAllDone()) return false;
  pending_.reset();
  Commit();
  return true;
}

void Change::Look(Time now) {
  if (phase_ != Phase::kWaiting && phase_ != Phase::kPublishing) return;
  next_ = std::min(next_, now);
  look_again_ = pending_.has_value();  // its answer may be older
}

// Who has acknowledged says so once: the commit need not wait for a reading, for it compares that.
void Change::Hear(Time now, const std::vector<News>& news) {
  bool looks = news.empty();
  for (const News& each : news) looks |= HearOf(each);
  AddHeard(0);
  if (GoOn()) return;
  if (phase_ == Phase::kPublishing && IsPublished()) return Good();
  if (looks) Look(now);
}

// True: it must be read.
bool Change::HearOf(const News& news) {
  if (news.key.starts_with(keys_.Nexuses(options_.lu))) return true;
  if (news.key == keys_.Change(options_.lu)) return !news.value;
  const std::string acks = keys_.Acks(options_.lu);
  Entry<AckRecord> ack{{}, news.revision};
  if (!news.key.starts_with(acks) || !news.value || !Decode(*news.value, &ack.record).ok()) {
    return false;
  }
  heard_[news.key.substr(acks.size())] = ack;
  return false;
}

// What was written after the revision `since`.
void Change::AddHeard(int64_t since) {
  std::erase_if(heard_, [since](const auto& heard) { return heard.second.revision <= since; });
  for (const auto& [host, ack] : heard_) {
    if (Entry<AckRecord>& known = there_.acks[host]; ack.revision > known.revision) known = ack;
  }
}

// Who is dead says nothing: that is to be read soon.
void Change::WaitAgain(Time now) {
  const Time poll = there_.has_hosts ? kPoll : kFirstPoll;
  next_ = std::exchange(look_again_, false) ? now : now + poll;
}

// ---------------------------------------------------------------- The other hosts

// The other hosts where a victim is or may go on, and whether commands that are to be aborted
// may be under way there. Both the owner's and the heir's have shut when they have
// acknowledged, so it does not matter what is handed over between them until the commit.
std::map<std::string, bool> Change::Asked() const {
  std::map<std::string, bool> asked;
  for (const Victim& victim : decision_.victims) {
    const auto found = there_.nexuses.find(victim.nexus);
    if (found == there_.nexuses.end()) continue;  // detached: nothing of it is left
    const NexusRecord& nexus = found->second;
    // Who has handed over had nothing under way any more.
    if (!nexus.host.empty()) asked[nexus.host] |= victim.preempted && nexus.owned;
    if (!nexus.heir.empty()) asked[nexus.heir] |= false;
  }
  asked.erase(options_.host);
  return asked;
}

bool Change::HasAcknowledged(const std::string& host) const {
  const auto ack = there_.acks.find(host);
  return ack != there_.acks.end() && ack->second.record.id == options_.id;
}

bool Change::IsDone(const std::string& host, bool aborts) const {
  if (HasAcknowledged(host)) return true;
  return there_.IsDead(host) && (!aborts || there_.IsProvedDead(host));
}

// What a victim had on its way on hosts where it was before.
bool Change::AreRemainsGone() const {
  return std::ranges::all_of(decision_.victims, [this](const Victim& victim) {
    const auto found = there_.nexuses.find(victim.nexus);
    return !victim.preempted || found == there_.nexuses.end() ||
           there_.AreRemainsGone(found->second);
  });
}

bool Change::AreAllDone() const {
  return fenced_ && AreRemainsGone() && std::ranges::all_of(Asked(), [this](const auto& asked) {
           return IsDone(asked.first, asked.second);
         });
}

void Change::Wait(Time now) {
  if (AreAllDone()) return Commit();
  phase_ = Phase::kWaiting;
  for (const auto& [host, record] : ToBeProved()) {
    if (record->proof.empty()) outside_.NeedProof(host);
  }
  // Who has little time asks sooner: he comes again, and goes on from what he has seen.
  const Time silent = std::min(options_.silent, (deadline_ - waiting_since_) / 2);
  if (now >= waiting_since_ + silent && DeclareNext(now)) return;
  WaitAgain(now);
}

// The dead hosts where there may be commands that are to be aborted, with their records, which
// are those of the last reading.
std::map<std::string, const HostRecord*> Change::ToBeProved() const {
  std::map<std::string, const HostRecord*> hosts;
  const auto add = [&](const std::string& host) {
    const HostRecord* record = there_.Host(host);
    if (record != nullptr && there_.IsDead(host)) hosts[host] = record;
  };
  for (const auto& [host, aborts] : Asked()) {
    if (aborts && !HasAcknowledged(host)) add(host);
  }
  for (const Victim& victim : decision_.victims) {
    const auto nexus = there_.nexuses.find(victim.nexus);
    if (!victim.preempted || nexus == there_.nexuses.end()) continue;
    for (const auto& remains : nexus->second.remains) {
      if (there_.IncarnationOf(remains.host) == remains.incarnation) add(remains.host);
    }
  }
  return hosts;
}

// The first silent host of which there is something to be written.
bool Change::DeclareNext(Time now) {
  return std::ranges::any_of(Asked(), [&](const auto& asked) {
    return !IsDone(asked.first, asked.second) && Declare(now, asked.first);
  });
}

// Whether there is something to be written of it, which is sent.
bool Change::Declare(Time now, const std::string& host) {
  const auto found = there_.hosts.find(host);
  if (found == there_.hosts.end()) return false;
  const auto& [record, revision] = found->second;
  Declaration& declaration = (*options_.declarations)[host];
  const auto next = declaration.Next(now, record, revision, options_.host, nonce_());
  if (!next) return false;
  Send({{keys_.Host(host), revision}}, {{keys_.Host(host), Encode(*next)}}, All());
  return true;
}

// ---------------------------------------------------------------- The end

void Change::Commit() {
  phase_ = Phase::kCommitting;
  may_commit_ = true;
  proofs_.clear();
  for (const auto& [host, record] : ToBeProved()) {
    proofs_.push_back({host, record->proof, record->proof_text});
  }
  const StateRecord next =
      StateRecord::Next(there_.state, options_.id, decision_.document, ToBeTold());
  std::vector<Compare> compares = {{keys_.Change(options_.lu), there_.change_revision},
                                   {keys_.State(options_.lu), there_.state_revision}};
  // The dead need not be dead still: who joins reads the intent.
  for (const auto& [host, aborts] : Asked()) {
    if (!HasAcknowledged(host)) continue;
    compares.push_back({keys_.Ack(options_.lu, host), there_.acks.at(host).revision});
  }
  Send(std::move(compares),
       {{keys_.State(options_.lu), Encode(next)}, {keys_.Change(options_.lu), std::nullopt}},
       {{keys_.Nexuses(options_.lu), true}});
}

// Who attaches later hears nothing of this version.
std::vector<UnitAttention> Change::ToBeTold() const {
  std::vector<UnitAttention> told = decision_.unit_attentions;
  std::erase_if(told, [this](const UnitAttention& attention) {
    return std::ranges::none_of(
        there_.nexuses, [&](const auto& nexus) { return attention.Reaches(nexus.second.nexus); });
  });
  return told;
}

void Change::BeCommitted(Time now) {
  const std::vector<std::string>& nonces = there_.state->nonces;
  version_ = there_.state->version -
             static_cast<uint64_t>(std::ranges::find(nonces, options_.id) - nonces.begin());
  phase_ = Phase::kPublishing;
  committed_at_ = now;
  there_.has_hosts = there_.has_hosts && sent_.writes.empty();  // who was dead may have joined
  outside_.Committed(read_at_);
  Publish(now);
}

void Change::Publish(Time now) {
  if (IsPublished()) return Good();
  WaitAgain(now);
}

// On all other hosts whom it concerns. The dead show nothing.
bool Change::IsPublished() const {
  const auto shows = [this](const std::string& host) {
    if (host.empty() || host == options_.host || there_.IsDead(host)) return true;
    const auto ack = there_.acks.find(host);
    return ack != there_.acks.end() && ack->second.record.published >= version_;
  };
  return std::ranges::all_of(there_.nexuses, [&](const auto& nexus) {
    if (std::ranges::find(decision_.concerned, nexus.first) == decision_.concerned.end())
      return true;
    return shows(nexus.second.host) && shows(nexus.second.heir);
  });
}

// Whatever is read meanwhile says nothing more.
void Change::Good() {
  pending_.reset();
  Tell(Result::kGood);
  End();
}

void Change::Settle(Time now, Result result, const Failure& why) {
  phase_ = Phase::kSettling;
  result_ = result;
  why_ = why;
  next_ = now;
  // Nothing was sent that could change the state.
  if (!may_commit_) Tell(result, why);
}

void Change::TakeAway(Time now) {
  if (now >= deadline_ + options_.settle && told_) return End();
  TakeAwayChange();
}

void Change::TakeAwayChange() {
  const std::string key = keys_.Change(options_.lu);
  Send({{key, there_.change_revision}}, {{key, std::nullopt}}, {});
}

void Change::Tell(Result result, const Failure& why) {
  if (!std::exchange(told_, true)) outside_.Ended(result, why);
}

void Change::End() {
  phase_ = Phase::kOver;
  outside_.Over();
}

}  // namespace scsi_pr::agent
