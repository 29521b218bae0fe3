// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/change.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kTryAgain = 100 * kMillisecond;
// The hint of an acknowledgement may be lost.
constexpr Time kPoll = 100 * kMillisecond;

using Kind = Failure::Kind;

// Whether trying again may help.
bool IsPassing(Kind kind) {
  return kind == Kind::kUnreachable || kind == Kind::kNoAnswer || kind == Kind::kBusy ||
         kind == Kind::kBadAnswer;
}

}  // namespace

Change::Change(Options options, Keys keys, Outside& outside, std::function<std::string()> nonce)
    : options_(std::move(options)),
      keys_(std::move(keys)),
      outside_(outside),
      nonce_(std::move(nonce)) {}

void Change::Send(std::vector<Compare> compares, std::vector<Write> writes) {
  pending_ = ++requests_;
  outside_.Send(requests_, {std::move(compares),
                            std::move(writes),
                            {{keys_.State(options_.lu), false},
                             {keys_.Change(options_.lu), false},
                             {keys_.Nexuses(options_.lu), true},
                             {keys_.Acks(options_.lu), true},
                             {keys_.Hosts(), true}}});
}

Time Change::NextTick() const {
  const bool waits = pending_ || phase_ == Phase::kDeciding || phase_ == Phase::kOver;
  return waits ? std::numeric_limits<Time>::max() : next_;
}

void Change::Tick(Time now) {
  if (now < NextTick()) return;
  if (phase_ == Phase::kBeginning && there_.change.id.empty()) return Begin();
  Send();
}

void Change::Answered(Time now, uint64_t request, const Answer& answer) {
  if (pending_ != request) return;
  pending_.reset();
  next_ = now + kTryAgain;
  if (!answer.answered()) return Failed(now, answer);
  Read there;
  if (const Status status = DecodeFound(answer, &there); !status.ok()) {
    return Settle(now, Result::kRefused, {Kind::kBadAnswer, status.message(), status.hint()});
  }
  there_ = std::move(there);
  Step(now);
}

// What was sent may have been applied, or be later: the next answer tells.
void Change::Failed(Time now, const Answer& answer) {
  if (phase_ == Phase::kSettling) {
    if (now < options_.deadline + options_.settle) return;
    if (may_commit_) Tell(Result::kUnknown, answer.failure);
    return End();
  }
  if (now >= options_.deadline) return Settle(now, Result::kBusy, answer.failure);
  const bool is_final = answer.outcome == Outcome::kFailed && !IsPassing(answer.failure.kind);
  if (is_final && phase_ != Phase::kWaiting) Settle(now, Result::kRefused, answer.failure);
}

void Change::Step(Time now) {
  if (there_.state && there_.state->Has(options_.id)) {
    Tell(Result::kGood);
    return End();
  }
  if (phase_ != Phase::kBeginning && !IsOurs()) {
    // Whoever took it away has seen to it that it can not be committed any more.
    Tell(result_, why_);
    return End();
  }
  if (phase_ == Phase::kSettling) return TakeAway(now);
  if (now >= options_.deadline) return Settle(now, Result::kBusy);
  switch (phase_) {
    case Phase::kBeginning:
      if (there_.change.id.empty()) return Begin();
      if (!IsOurs()) {
        Tell(Result::kForeign);
        return End();
      }
      phase_ = Phase::kDeciding;
      return outside_.Decide(there_.state);
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
  Send({{key, 0}}, {{key, Encode(Record(false))}});
}

void Change::Decided(Time now, Decision decision) {
  if (phase_ != Phase::kDeciding) return;
  decision_ = std::move(decision);
  if (!decision_.changes) return Settle(now, Result::kGood);
  for (const std::string& victim : decision_.victims) {
    const auto nexus = there_.nexuses.find(victim);
    if (nexus == there_.nexuses.end() || nexus->second == options_.host) continue;
    if (std::ranges::find(asked_, nexus->second) == asked_.end()) asked_.push_back(nexus->second);
  }
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
  Send({{key, there_.change_revision}}, {{key, Encode(Record(true))}});
}

void Change::Fenced(Time now) {
  fenced_ = true;
  next_ = std::min(next_, now);
}

// ---------------------------------------------------------------- The other hosts

bool Change::IsDone(const std::string& host) const {
  const auto ack = there_.acks.find(host);
  if (ack != there_.acks.end() && ack->second == options_.id) return true;
  const auto record = there_.hosts.find(host);
  if (record == there_.hosts.end()) return false;
  return record->second.state == HostRecord::State::kDead &&
         (!decision_.aborts || !record->second.proof.empty());
}

bool Change::AreAllDone() const {
  return fenced_ && std::ranges::all_of(asked_, [this](const auto& host) { return IsDone(host); });
}

void Change::Wait(Time now) {
  if (AreAllDone()) return Commit();
  phase_ = Phase::kWaiting;
  if (now >= waiting_since_ + options_.silent && DeclareNext(now)) return;
  next_ = now + kPoll;
}

// The first silent host of which there is something to be written.
bool Change::DeclareNext(Time now) {
  for (const std::string& host : asked_) {
    const auto record = there_.hosts.find(host);
    if (IsDone(host) || record == there_.hosts.end()) continue;
    const int64_t revision = there_.host_revisions.at(host);
    const auto next =
        declarations_[host].Next(now, record->second, revision, options_.host, nonce_());
    if (!next) continue;
    Send({{keys_.Host(host), revision}}, {{keys_.Host(host), Encode(*next)}});
    return true;
  }
  return false;
}

// ---------------------------------------------------------------- The end

void Change::Commit() {
  phase_ = Phase::kCommitting;
  may_commit_ = true;
  StateRecord next;
  if (there_.state) next = *there_.state;
  next.version++;
  next.nonces.insert(next.nonces.begin(), options_.id);
  next.nonces.resize(std::min(next.nonces.size(), StateRecord::kNonces));
  next.document = decision_.document;
  // The dead need not be dead still: who joins reads the intent.
  std::vector<Compare> compares = {{keys_.Change(options_.lu), there_.change_revision},
                                   {keys_.State(options_.lu), there_.state_revision}};
  std::vector<Write> writes = {{keys_.State(options_.lu), Encode(next)},
                               {keys_.Change(options_.lu), std::nullopt}};
  for (const std::string& host : asked_) {
    const auto ack = there_.acks.find(host);
    if (ack != there_.acks.end()) {
      writes.push_back({keys_.Acks(options_.lu) + host, std::nullopt});
    }
  }
  Send(std::move(compares), std::move(writes));
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
  if (now >= options_.deadline + options_.settle && told_) return End();
  const std::string key = keys_.Change(options_.lu);
  Send({{key, there_.change_revision}}, {{key, std::nullopt}});
}

void Change::Tell(Result result, const Failure& why) {
  if (!std::exchange(told_, true)) outside_.Ended(result, why);
}

void Change::End() {
  phase_ = Phase::kOver;
  outside_.Over();
}

// ---------------------------------------------------------------- What there is

Status Change::DecodeFound(const Answer& answer, Read* there) const {
  for (const KeyValue& found : answer.found) {
    if (Status status = DecodeBelow(found, there); !status.ok()) return status;
  }
  return Status();
}

Status Change::DecodeBelow(const KeyValue& found, Read* there) const {
  const auto below = [&](const std::string& prefix) {
    return found.key.starts_with(prefix) ? found.key.substr(prefix.size()) : "";
  };
  if (found.key == keys_.State(options_.lu)) {
    there->state_revision = found.revision;
    return Decode(found.value, &there->state.emplace());
  }
  if (found.key == keys_.Change(options_.lu)) {
    there->change_revision = found.revision;
    return Decode(found.value, &there->change);
  }
  if (const std::string nexus = below(keys_.Nexuses(options_.lu)); !nexus.empty()) {
    NexusRecord record;
    Status status = Decode(found.value, &record);
    there->nexuses[nexus] = record.host;
    return status;
  }
  if (const std::string host = below(keys_.Acks(options_.lu)); !host.empty()) {
    AckRecord record;
    Status status = Decode(found.value, &record);
    there->acks[host] = record.id;
    return status;
  }
  if (const std::string host = below(keys_.Hosts()); !host.empty()) {
    there->host_revisions[host] = found.revision;
    return Decode(found.value, &there->hosts[host]);
  }
  return Status();
}

}  // namespace scsi_pr::agent
