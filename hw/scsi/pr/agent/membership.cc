// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/membership.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Time kRenew = kSecond;
constexpr Time kTryAgain = 100 * kMillisecond;
// A daemon that is started again need not know the very last revision.
constexpr int64_t kRememberRevisions = 1000;

Status Restored(const std::string& what) {
  return Status::Error(Status::Code::kCorrupt, "the store is not the one that it was: " + what,
                       "If a backup was restored, and all VMs that share disks are in a state to "
                       "go on with what it says: scsi-pr accept-restore.");
}

}  // namespace

Membership::Membership(Options options, Keys keys, Memory memory, Outside& outside,
                       std::function<std::string()> nonce)
    : options_(std::move(options)),
      keys_(std::move(keys)),
      outside_(outside),
      nonce_(std::move(nonce)),
      memory_(std::move(memory)) {}

void Membership::Send(Time now, std::vector<Compare> compares, std::vector<Write> writes) {
  pending_ = Pending{++requests_, now, memory_.revision};
  // Whatever is written, what is there now comes with the answer.
  outside_.Send(requests_, {std::move(compares),
                            std::move(writes),
                            {{keys_.Host(options_.host), false}, {keys_.Meta(), false}}});
}

Time Membership::NextTick() const { return pending_ ? kNever : next_look_; }

void Membership::Tick(Time now) {
  if (now >= NextTick()) Look(now);
}

void Membership::Answered(Time now, uint64_t request, const Answer& answer) {
  if (!pending_ || pending_->request != request) return;
  const Time sent = pending_->sent;
  if (!answer.answered()) {
    pending_.reset();
    next_look_ = now + kTryAgain;
    return;
  }
  next_look_ = std::max(now, sent + kRenew);
  Found(now, sent, answer);
}

void Membership::Found(Time now, Time sent, const Answer& answer) {
  const int64_t least_revision = std::exchange(pending_, std::nullopt)->least_revision;
  const KeyValue* meta_found = answer.Find(keys_.Meta());
  if (meta_found == nullptr && memory_.life.empty()) return MakeMeta(now);
  Meta meta;
  Status status =
      meta_found == nullptr ? Restored("it is empty") : Decode(meta_found->value, &meta);
  if (status.ok()) status = CheckStore(answer, meta, least_revision);
  if (!status.ok()) return Refuse(status);

  const bool is_new_life = memory_.life != meta.life;
  if (is_new_life) memory_ = {meta.life, answer.cluster, 0, false, {}};
  if (is_new_life || answer.revision >= memory_.revision + kRememberRevisions) {
    memory_.revision = answer.revision;
    outside_.Remember(memory_);
  }
  memory_.revision = std::max(memory_.revision, answer.revision);
  duration_ = meta.duration;
  // After the accepted restore of a store our record there says nothing.
  if (is_new_life && !incarnation_.empty()) return Lose();

  const KeyValue* found = answer.Find(keys_.Host(options_.host));
  if (found == nullptr) {
    if (phase_ == Phase::kJoining) return Join(now, 0);
    if (phase_ != Phase::kLeaving) Lose();
    return;
  }
  HostRecord record;
  if (status = Decode(found->value, &record); !status.ok()) return Refuse(status);
  FoundRecord(now, sent, record, found->revision);
}

Status Membership::CheckStore(const Answer& answer, const Meta& meta, int64_t least_revision) {
  if (meta.protocol > options_.protocol) {
    return Status::Error(Status::Code::kUnsupported,
                         "the hosts of this cluster speak protocol " +
                             std::to_string(meta.protocol) + ", this one up to " +
                             std::to_string(options_.protocol),
                         "Upgrade scsi-prd on this host.");
  }
  if (memory_.life.empty()) return Status();
  if (meta.life != memory_.life) {
    if (std::ranges::find(meta.earlier_lives, memory_.life) != meta.earlier_lives.end()) {
      return Status();
    }
    return Restored("it is of another cluster");
  }
  if (answer.cluster != memory_.cluster) return Restored("another etcd answers");
  if (answer.revision < least_revision) {
    memory_.restored = true;
    return Restored("its revision has gone back");
  }
  if (memory_.restored) return Restored("it was put back");
  return Status();
}

Status Membership::See(const std::string& lu, const std::optional<StateRecord>& state) {
  std::vector<SeenVersion>& units = memory_.units;
  const auto found = std::ranges::find(units, lu, &SeenVersion::lu);
  if (found != units.end() && !found->MayBecome(state)) {
    const std::string was = "version " + std::to_string(found->version);
    return Restored("it has version " + std::to_string(VersionOf(state)) + " of cluster:" + lu +
                    ", but " + (VersionOf(state) < found->version ? "" : "another ") + was +
                    " was in force on this host");
  }
  if (!state || state->nonces.empty()) return Status();
  const SeenVersion seen{lu, state->version, state->nonces.front()};
  if (found != units.end() && *found == seen) return Status();
  if (found != units.end()) units.erase(found);
  units.insert(units.begin(), seen);
  units.resize(std::min(units.size(), Memory::kMostUnits));
  return Status();
}

void Membership::Disbelieve(const std::string& life, const Status& why) {
  if (life != memory_.life) return;
  memory_.restored = true;
  Refuse(why);
}

void Membership::MakeMeta(Time now) {
  Meta meta;
  meta.life = nonce_();
  meta.duration = options_.duration;
  Send(now, {{keys_.Meta(), 0}}, {{keys_.Meta(), Encode(meta)}});
}

void Membership::FoundRecord(Time now, Time sent, const HostRecord& record, int64_t revision) {
  using State = HostRecord::State;
  const bool is_dead = record.state == State::kDead;
  if (record.machine_id != options_.machine_id && !is_dead) {
    return Refuse(Status::Error(
        Status::Code::kInUse, "another machine has the name " + options_.host + " in this cluster",
        "Give each host a name of its own, or, if the other one is gone "
        "for ever: scsi-pr forget-host " +
            options_.host + "."));
  }
  const bool is_ours = record.boot_id == options_.boot_id && !is_dead;
  if (phase_ == Phase::kJoining) {
    if (is_dead && record.incarnation == candidate_) candidate_.clear();  // burnt
    if (!is_ours || record.incarnation != candidate_) return Join(now, revision);
    BeMember(std::exchange(candidate_, ""));
  }
  if (phase_ == Phase::kLeaving) return;
  // A predecessor's, who has shut and drained before he joined, and opened nothing of which
  // the others would not have asked him since. So this one goes on; but a host registers with
  // its storage only while nothing of it is under way.
  const bool is_registered = record.paths == options_.paths;
  if (phase_ == Phase::kStarting && is_ours && is_registered) BeMember(record.incarnation);
  // Of this boot: there may be something under way.
  const bool knows_it = phase_ == Phase::kMember || phase_ == Phase::kStarting;
  if (knows_it && is_dead && record.boot_id == options_.boot_id) {
    outside_.WasDead(record);
  }
  if (phase_ != Phase::kMember || !is_ours || record.incarnation != incarnation_) return Lose();
  recorded_watchdog_ = record.watchdog;
  const bool is_as_wanted = record.watchdog == watchdog_.value_or(record.watchdog);
  if (record.state == State::kSuspect || !is_as_wanted) return Renew(now, record, revision);
  outside_.Admit(sent + record.duration);
}

// From here on a change asks this host, so that nothing is committed between what it reads and
// what it opens.
void Membership::BeMember(const std::string& incarnation) {
  incarnation_ = incarnation;
  phase_ = Phase::kMember;
  outside_.Open();
}

// Nobody suspects it, and it says of itself what is so now.
void Membership::Renew(Time now, HostRecord record, int64_t revision) {
  record.watchdog = watchdog_.value_or(record.watchdog);
  record.state = HostRecord::State::kAlive;
  record.by.clear();
  record.nonce = nonce_();
  const std::string key = keys_.Host(options_.host);
  Send(now, {{key, revision}}, {{key, Encode(record)}});
}

void Membership::Join(Time now, int64_t revision) {
  if (candidate_.empty()) candidate_ = nonce_();
  HostRecord record;
  record.machine_id = options_.machine_id;
  record.boot_id = options_.boot_id;
  record.incarnation = candidate_;
  record.protocol = options_.protocol;
  record.duration = duration_;
  record.nonce = nonce_();
  record.joined = options_.date();
  record.watchdog = watchdog_.value_or(0);
  record.paths = options_.paths;
  const std::string key = keys_.Host(options_.host);
  Send(now, {{key, revision}}, {{key, Encode(record)}});
}

void Membership::Lose() {
  phase_ = Phase::kLeaving;
  recorded_watchdog_.reset();
  incarnation_.clear();
  candidate_.clear();
  outside_.Shut();
  outside_.Drain();
}

void Membership::Refuse(const Status& why) {
  if (std::exchange(phase_, Phase::kRefused) == Phase::kRefused) return;
  incarnation_.clear();
  candidate_.clear();
  outside_.Shut();
  outside_.Remember(memory_);
  outside_.Refused(why);
}

void Membership::Rejoin() {
  if (phase_ == Phase::kMember) Lose();
}

void Membership::Drained(Time now) {
  if (phase_ != Phase::kLeaving) return;
  phase_ = Phase::kJoining;
  next_look_ = now;
}

Time Declaration::Wait(Time duration) { return duration + duration / 100 + kSecond / 2; }

std::optional<HostRecord> Declaration::Next(Time now, const HostRecord& record, int64_t revision,
                                            const std::string& by, const std::string& nonce) {
  using State = HostRecord::State;
  if (record.state == State::kDead) return std::nullopt;
  HostRecord next = record;
  next.by = by;
  next.nonce = nonce;
  if (record.state == State::kAlive) {
    next.state = State::kSuspect;
    return next;
  }
  // Whoever has made the mark: a read of the host that did not see it was sent before now.
  if (marked_ != revision) {
    marked_ = revision;
    seen_ = now;
  }
  if (now <= seen_ + Wait(record.duration)) return std::nullopt;
  next.state = State::kDead;
  return next;
}

}  // namespace scsi_pr::agent
