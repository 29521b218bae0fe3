// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/participant.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kTryAgain = 100 * kMillisecond;
// While a change is under way, its end must not be missed.
constexpr Time kPoll = 200 * kMillisecond;

std::vector<std::string> Preempted(const std::vector<Victim>& victims) {
  std::vector<std::string> preempted;
  for (const Victim& victim : victims) {
    if (victim.preempted) preempted.push_back(victim.nexus);
  }
  return preempted;
}

std::map<std::string, NexusRecord> At(const std::string& host,
                                      std::map<std::string, NexusRecord> nexuses) {
  std::erase_if(nexuses, [&](const auto& nexus) { return !nexus.second.IsAt(host); });
  return nexuses;
}

}  // namespace

Participant::Participant(std::string host, std::string lu, Keys keys, Outside& outside)
    : host_(std::move(host)), lu_(std::move(lu)), keys_(std::move(keys)), outside_(outside) {}

void Participant::Send(const Transaction& transaction, std::optional<AckRecord> ack) {
  wanted_ = false;
  pending_ = Pending{++requests_, epoch_, !transaction.writes.empty(), std::move(ack)};
  outside_.Send(requests_, transaction);
}

void Participant::Read() { Send({{}, {}, All()}); }

void Participant::TakeAwayChange() {
  const std::string key = keys_.Change(lu_);
  Send({{{key, borne_}}, {{key, std::nullopt}}, All()});
}

Time Participant::NextTick() const {
  const bool looks = !pending_ && (wanted_ || borne_ != 0 || !shut_for_.id.empty());
  return std::min(looks ? next_look_ : kNever, retry_.value_or(kNever));
}

void Participant::Tick(Time now) {
  if (retry_ && now >= *retry_) Act(now);
  if (!pending_ && now >= NextTick()) Read();
}

uint64_t Participant::Look(Time now) {
  wanted_ = true;
  next_look_ = now;
  Tick(now);
  return wanted_ ? requests_ + 1 : requests_;
}

// ---------------------------------------------------------------- News

void Participant::Hear(Time now, const std::vector<News>& news) {
  bool looks = news.empty();
  for (const News& each : news) {
    if (each.revision <= found_at_) continue;
    if (each.key == keys_.Change(lu_)) {
      looks |= HearOfChange(now, each);
    } else if (each.key == keys_.State(lu_)) {
      looks |= !outside_.IsCommitting();
    } else {
      looks |= each.key.starts_with(keys_.Nexuses(lu_));
    }
  }
  if (looks) Look(now);
}

// True: it must be read.
bool Participant::HearOfChange(Time now, const News& news) {
  if (!news.value && outside_.IsCommitting()) return false;
  if (!news.value) return borne_ != 0 || (!shut_for_.id.empty() && shut_for_.id != held_);
  ChangeRecord change;
  if (!Decode(*news.value, &change).ok()) return true;
  if (change.by == host_) return !outside_.IsUnderWay(change.id);
  // One that has only begun is borne when it is read, a second later.
  const bool is_new = change.is_intent && held_.empty() && shut_for_.id != change.id;
  if (is_new) HearOfIntent(now, change, news.revision);
  return false;
}

// To shut does no harm, and the acknowledgement compares what was heard: so whoever makes the
// change waits for no read here. Whom that opens again only a reading says.
void Participant::HearOfIntent(Time now, const ChangeRecord& change, int64_t revision) {
  ShutFor(change);
  presumed_ = revision;
  if (retry_) retry_ = now + kRetry;
  next_look_ = now + kPoll;
  // What was asked before has an answer that does not count.
  const bool is_reading = pending_ && !pending_->writes;
  if (is_reading) pending_.reset();
  AcknowledgePresumed();
  if (is_reading) Look(now);
}

void Participant::AcknowledgePresumed() {
  if (presumed_ == 0 || pending_ || !is_shut_ || !drained_) return;
  Acknowledge({keys_.Change(lu_), std::exchange(presumed_, 0)}, shut_for_.id,
              std::max(ack_.record.published, version_));
}

// ---------------------------------------------------------------- What is there

// What was read before this does not count.
void Participant::NewEpoch() {
  epoch_++;
  there_.reset();
}

void Participant::Close() {
  closed_ = true;
  published_ = -1;
  version_ = not_awaited_ = 0;
  found_at_ = 0;
  NewEpoch();
}

void Participant::Open(Time now) {
  closed_ = false;
  published_ = -1;
  NewEpoch();
  Look(now);
}

const Reading* Participant::current() const {
  const bool is_shown = there_ && !closed_ && published_ >= 0;
  const bool is_quiet = !pending_ && !wanted_ && shut_for_.id.empty() && held_.empty();
  return is_shown && is_quiet && there_->change_revision == 0 ? &*there_ : nullptr;
}

void Participant::Fence(Time now, const ChangeRecord& change) {
  held_ = change.id;
  next_look_ = now + kPoll;
  ShutFor(change);
}

void Participant::Release(Time now, const std::string& id) {
  if (own_.empty() || own_.back() != id || held_ == id) Own(id);
  Look(now);
}

void Participant::Own(const std::string& id) {
  own_.push_back(id);
  if (own_.size() > StateRecord::kNonces) own_.pop_front();
  if (held_ == id) held_.clear();
  NewEpoch();
}

// It saves a read before GOOD.
void Participant::Committed(Time now, const std::string& id, uint64_t epoch, int64_t revision,
                            const Reading& there) {
  if (epoch != epoch_ || revision < found_at_) return Release(now, id);
  Own(id);
  next_look_ = now + kPoll;
  Found(now, revision, there);
}

// What was read before this must not open anybody, nor must what is drained for another change.
void Participant::ShutFor(const ChangeRecord& change) {
  shut_for_ = change;
  is_shut_ = drained_ = false;
  presumed_ = 0;
  published_ = -1;
  NewEpoch();
  TryShut();
}

void Participant::TryShut() {
  if (IsAllShut()) return;
  is_shut_ = outside_.Shut(shut_for_.victims);
  if (!is_shut_) {
    retry_ = 0;
    return;
  }
  const std::vector<std::string> preempted = Preempted(shut_for_.victims);
  drained_ = !shut_for_.aborts || preempted.empty();
  if (!drained_) return outside_.Drain(preempted);
  if (shut_for_.id == held_) outside_.Fenced(held_);
}

void Participant::Drained(Time now) {
  if (shut_for_.id.empty() || !is_shut_ || drained_) return;
  drained_ = true;
  if (shut_for_.id == held_) outside_.Fenced(held_);
  // That the change is still what it was when it was read is compared.
  if (there_ && !pending_) return UnderWay(now);
  if (presumed_ != 0 && !pending_) return AcknowledgePresumed();
  Look(now);
}

void Participant::Answered(Time now, uint64_t request, const Answer& answer) {
  if (!pending_ || pending_->request != request) return;
  const Pending pending = *std::exchange(pending_, std::nullopt);
  if (!answer.answered()) {
    wanted_ = true;
    next_look_ = now + kTryAgain;
    return;
  }
  if (pending.ack && answer.outcome == Outcome::kApplied) {
    ack_ = {*pending.ack, answer.revision};
    if (there_) UnderWay(now);
    return Tick(now);
  }
  if (pending.epoch != epoch_) {
    Look(now);
    return;
  }
  answered_ = pending.request;
  next_look_ = wanted_ ? now : now + kPoll;
  Found(now, answer);
  if (wanted_) Tick(now);
}

void Participant::Found(Time now, const Answer& answer) {
  Reading there;
  if (const Status status = DecodeReading(answer, keys_, lu_, &there); !status.ok()) {
    there_.reset();
    return Fail(status);
  }
  failed_ = false;
  const auto ack = there.acks.find(host_);
  ack_ = ack == there.acks.end() ? Entry<AckRecord>() : ack->second;
  Found(now, answer.revision, std::move(there));
}

void Participant::Found(Time now, int64_t revision, Reading there) {
  found_at_ = revision;
  presumed_ = 0;
  FoundNexuses(there);
  if (published_ != there.state_revision) published_ = -1;
  if (!shut_for_.id.empty() && shut_for_.id != held_ && shut_for_.id != there.change.id) {
    shut_for_ = ChangeRecord();  // it is over
    published_ = -1;
  }
  if (there.change.is_intent && shut_for_.id != there.change.id && held_.empty()) {
    ShutFor(there.change);
  }
  if (borne_ != there.change_revision) borne_since_ = now;
  borne_ = there.change_revision;
  there_ = std::move(there);
  Act(now);
}

// A nexus that has come to this host is opened, one that has gone to another is shut. One that was
// here before may have come anew.
void Participant::FoundNexuses(const Reading& there) {
  if (std::exchange(is_attached_told_, true) && there.nexuses == nexuses_) return;
  if (At(host_, nexuses_) != At(host_, there.nexuses)) {
    published_ = -1;
    not_awaited_ = 0;  // it may be waited for on their behalf
  }
  nexuses_ = there.nexuses;
  outside_.Attached(nexuses_);
}

// What the last reading asks for, as far as it can be done now.
void Participant::Act(Time now) {
  retry_.reset();
  TryShut();
  TryPublish();
  if (there_ && published_ >= 0) seen_ = answered_;
  if (retry_) retry_ = now + kRetry;
  if (there_ && !pending_) UnderWay(now);
}

void Participant::TryPublish() {
  if (!there_ || closed_ || published_ >= 0 || !IsAllShut()) return;
  const std::optional<StateRecord>& state = there_->state;
  const bool is_awaited =
      !state || outside_.IsConcerned(*state) || IsNews(*state, NotAwaited(), state->version - 1);
  if (!outside_.Publish(state, shut_for_.victims)) {
    retry_ = 0;
    return;
  }
  published_ = there_->state_revision;
  version_ = VersionOf(state);
  if (!is_awaited) not_awaited_ = version_;
}

// Versions that are not told any more to those who wait for this host.
uint64_t Participant::NotAwaited() const { return std::max(not_awaited_, ack_.record.published); }

// The change of somebody, or what a predecessor of this process has left; and what was
// committed.
void Participant::UnderWay(Time now) {
  const ChangeRecord& change = there_->change;
  if (borne_ != 0 && held_.empty()) {
    const bool is_left = change.by == host_ && !outside_.IsUnderWay(change.id);
    if (is_left || now > borne_since_ + change.patience) return TakeAwayChange();
    // An intent that has been taken away is not acknowledged any more.
    if (change.is_intent && is_shut_ && drained_ && change.by != host_ &&
        ack_.record.id != change.id) {
      return Acknowledge({keys_.Change(lu_), borne_}, change.id,
                         std::max(ack_.record.published, version_));
    }
  }
  AcknowledgePublished();
}

// The one record says two things: who writes one keeps the other, and compares it.
void Participant::Acknowledge(const Compare& condition, const std::string& id, uint64_t published) {
  const AckRecord ack{id, published};
  Send({{condition, {AckKey(), ack_.revision}}, {{AckKey(), Encode(ack)}}, {}, All()}, ack);
}

// Who has made a change waits for the gates of the others.
void Participant::AcknowledgePublished() {
  if (!there_->state || published_ < 0 || !there_->HasNexusAt(host_)) return;
  if (!IsNews(*there_->state, NotAwaited(), there_->state->version)) return;
  Acknowledge({keys_.State(lu_), there_->state_revision}, ack_.record.id, version_);
}

// Whether somebody else has made a version after that, up to `until`.
bool Participant::IsNews(const StateRecord& state, uint64_t since, uint64_t until) const {
  if (until <= since) return false;
  if (state.version - since > state.nonces.size()) return true;
  const auto newest = state.nonces.begin();
  const auto begin = newest + static_cast<ptrdiff_t>(state.version - until);
  const auto end = newest + static_cast<ptrdiff_t>(state.version - since);
  return std::any_of(begin, end, [this](const std::string& nonce) {
    return std::ranges::find(own_, nonce) == own_.end();
  });
}

void Participant::Fail(const Status& why) {
  if (!std::exchange(failed_, true)) outside_.Failed(why);
}

}  // namespace scsi_pr::agent
