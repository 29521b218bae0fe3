// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/participant.h"

#include <limits>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kTryAgain = 100 * kMillisecond;
// While a change is under way, its end must not be missed.
constexpr Time kPoll = 200 * kMillisecond;

}  // namespace

Participant::Participant(std::string host, std::string lu, Keys keys, Outside& outside)
    : host_(std::move(host)), lu_(std::move(lu)), keys_(std::move(keys)), outside_(outside) {}

void Participant::Send(std::vector<Compare> compares, std::vector<Write> writes) {
  wanted_ = false;
  pending_ = Pending{++requests_, epoch_};
  outside_.Send(requests_,
                {std::move(compares),
                 std::move(writes),
                 {{keys_.State(lu_), false}, {keys_.Change(lu_), false}, {AckKey(), false}}});
}

Time Participant::NextTick() const {
  constexpr Time kNever = std::numeric_limits<Time>::max();
  if (pending_) return kNever;
  return wanted_ || borne_ != 0 || !shut_for_.id.empty() ? next_look_ : kNever;
}

void Participant::Tick(Time now) {
  if (now >= NextTick()) Send();
}

void Participant::Look(Time now) {
  wanted_ = true;
  next_look_ = now;
  Tick(now);
}

void Participant::Close() {
  closed_ = true;
  epoch_++;
}

void Participant::Open(Time now) {
  closed_ = false;
  published_ = -1;
  epoch_++;
  Look(now);
}

void Participant::Fence(const ChangeRecord& change) {
  held_ = change.id;
  ShutFor(change);
  if (drained_) outside_.Fenced(change.id);
}

void Participant::Release(Time now, const std::string& id) {
  if (held_ == id) held_.clear();
  epoch_++;
  Look(now);
}

// What was read before this must not open anybody, nor must what is drained for another change.
void Participant::ShutFor(const ChangeRecord& change) {
  shut_for_ = change;
  drained_ = !change.aborts;
  epoch_++;
  published_ = -1;
  outside_.Shut(change.victims);
  if (change.aborts) outside_.Drain(change.victims);
}

void Participant::Drained(Time now) {
  if (shut_for_.id.empty() || drained_) return;
  drained_ = true;
  if (shut_for_.id == held_) outside_.Fenced(held_);
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
  if (pending.epoch != epoch_) return Look(now);
  next_look_ = now + kPoll;
  Found(now, answer);
  if (wanted_) Tick(now);
}

void Participant::Found(Time now, const Answer& answer) {
  Read there;
  if (const Status status = DecodeFound(answer, &there); !status.ok()) return Fail(status);
  failed_ = false;
  if (published_ != there.state_revision) published_ = -1;
  if (!shut_for_.id.empty() && shut_for_.id != held_ && shut_for_.id != there.change.id) {
    shut_for_ = ChangeRecord();  // it is over
    published_ = -1;
  }
  if (there.change.is_intent && shut_for_.id != there.change.id && held_.empty()) {
    ShutFor(there.change);
    published_ = -1;
  }
  if (!closed_ && published_ < 0) {
    outside_.Publish(there.state, shut_for_.victims);
    published_ = there.state_revision;
  }
  UnderWay(now, there);
}

Status Participant::DecodeFound(const Answer& answer, Read* there) const {
  if (const KeyValue* found = answer.Find(keys_.State(lu_))) {
    there->state_revision = found->revision;
    there->state.emplace();
    if (Status status = Decode(found->value, &*there->state); !status.ok()) return status;
  }
  if (const KeyValue* found = answer.Find(keys_.Change(lu_))) {
    there->change_revision = found->revision;
    if (Status status = Decode(found->value, &there->change); !status.ok()) return status;
  }
  // One that cannot be read is written anew.
  AckRecord ack;
  const KeyValue* found = answer.Find(AckKey());
  if (found != nullptr && Decode(found->value, &ack).ok()) there->acknowledged = ack.id;
  return Status();
}

// The change of somebody, or what a predecessor of this process has left.
void Participant::UnderWay(Time now, const Read& there) {
  if (borne_ != there.change_revision) borne_since_ = now;
  borne_ = there.change_revision;
  if (borne_ == 0 || !held_.empty()) return;
  const std::string key = keys_.Change(lu_);
  if (now > borne_since_ + there.change.patience) {
    return Send({{key, borne_}}, {{key, std::nullopt}});
  }
  // An intent that has been taken away is not acknowledged any more.
  if (there.change.is_intent && drained_ && there.change.by != host_ &&
      there.acknowledged != there.change.id) {
    Send({{key, borne_}}, {{AckKey(), Encode(AckRecord{there.change.id})}});
  }
}

void Participant::Fail(const Status& why) {
  if (!std::exchange(failed_, true)) outside_.Failed(why);
}

}  // namespace scsi_pr::agent
