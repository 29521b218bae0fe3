// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a ClusterStore reads and changes the state: the daemon keeps others away while this
// process decides, and then carries the decision out.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cluster/cluster_store.h"
#include "core/envelope.h"
#include "core/guarded.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;
using Step = Failures::Step;
using std::chrono::milliseconds;

// How long it is asked what has become of a change, beyond what the change itself may take.
constexpr milliseconds kSettling{5000};
// As long as it takes the daemon to declare a host dead that is silent, and longer.
constexpr milliseconds kDeclaring{15000};
// What the daemon needs for a change that waits for nobody, many times.
constexpr milliseconds kHurried{300};
// While the daemon has no answer to that.
constexpr milliseconds kAgain{100};

milliseconds Until(Deadline deadline) {
  const auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
  return std::max(left, milliseconds(1));
}

// An older daemon says nothing of them, nor does one that needed none.
std::vector<HostProof> ProofsIn(const json& result) {
  if (!result.contains("proofs")) return {};
  return ProofsFromJson(result.at("proofs"));
}

}  // namespace

// What the listener hears of a change that preempts.
class ClusterStore::Drain {
 public:
  explicit Drain(FencingListener* listener) : listener_(listener), start_(Clock::now()) {
    if (listener_ != nullptr) listener_->FencingBegun();
  }
  void Late(const std::vector<Attachment>& pending) {
    if (listener_ != nullptr && !std::exchange(told_, true)) listener_->DrainLate(pending);
  }
  // What the daemon's answer says.
  void Proved(std::vector<HostProof> proofs) { proofs_ = std::move(proofs); }
  void Ended(const Status& status) {
    if (listener_ == nullptr) return;
    if (status.ok() && !proofs_.empty()) listener_->Proved(proofs_);
    listener_->FencingEnded(std::chrono::duration_cast<milliseconds>(Clock::now() - start_),
                            status);
  }

 private:
  FencingListener* const listener_;
  const Clock::time_point start_;
  bool told_ = false;
  std::vector<HostProof> proofs_;
};

// Who is in a hurry (Waiting::cancelled) gives a daemon that answers the time that this takes. One
// that does not answer keeps him once, and not with each command that waits.
class ClusterStore::Hurry {
 public:
  Hurry(ClusterStore& store, const Waiting& waiting) : store_(store), waiting_(waiting) {}
  bool operator()() {
    if (!waiting_.cancelled()) return false;
    if (!since_) since_ = Clock::now();
    return !store_.answers_ || Clock::now() - *since_ >= kHurried;
  }
  // How what was asked has ended.
  void Ended(const Status& status) { store_.answers_ = status.ok() || !since_; }

 private:
  ClusterStore& store_;
  const Waiting& waiting_;
  std::optional<Clock::time_point> since_;
};

Status ClusterStore::Read(RecordPointer* record) {
  json result;
  uint64_t version = 0;
  const auto deadline = Clock::now() + kPatience;
  Status status = client_.Ask(client_.Request("read"), deadline, NeverCancelled, &result);
  if (status.ok()) {
    status = Decoded([&] { version = GetUnsigned<uint64_t>(result, "version", 1); });
  }
  if (status.ok()) status = InForce(record);
  if (status.ok() && (*record)->version < version) status = NotPublished(version);
  return Noted(Step::kLock, status);
}

// The memory is not what the daemon takes it for: it was removed, say.
Status ClusterStore::NotPublished(uint64_t version) const {
  return Status::Error(Code::kBusy,
                       locks_->memory().path() + " does not have version " +
                           std::to_string(version) + " of " + uri(),
                       "Restart the VMs of this host that use it, if that lasts.");
}

Status ClusterStore::Update(const Transition& transition, const Waiting& waiting,
                            Outcome* outcome) {
  const auto start = Clock::now();
  Turn turn;
  Status status = Noted(Step::kLock, BeginTurn(waiting, start + kPatience, &turn));
  if (!status.ok()) return status;
  const auto others = std::max(waiting.abort_timeout, kDeclaring);
  const auto deadline = start + kPatience + others + kSettling;
  std::optional<Drain> drain;
  do {
    turn.again = false;
    RecordPointer record;
    if (status = InForce(&record); !status.ok()) break;
    if (record->version < turn.version) {
      status = NotPublished(turn.version);
      break;
    }
    // Since it was shown another host's change has been published. To "no change" the daemon has
    // to say that it is to be decided again.
    const bool is_overtaken = record->version > turn.version;
    if (!is_overtaken) *outcome = transition(record->state);
    turn.changes =
        !is_overtaken && outcome->status == ScsiStatus::kGood && outcome->state != record->state;
    if (!drain && turn.changes && !outcome->preempted.empty()) drain.emplace(waiting.listener);
    status = Decide(turn, *outcome, waiting, deadline, drain ? &*drain : nullptr);
    if (status.ok() && is_overtaken && !turn.again) status = NotPublished(turn.version);
  } while (status.ok() && turn.again);
  if (drain) drain->Ended(status);
  // Others that are in the way are no failure of the store.
  if (status.code() != Code::kBusy) status = Noted(Step::kSave, status);
  return status;
}

Status ClusterStore::BeginTurn(const Waiting& waiting, Deadline deadline, Turn* turn) {
  json request = client_.Request("change");
  request["patience-ms"] = Until(deadline).count();
  request["abort-timeout-ms"] = waiting.abort_timeout.count();
  json answer;
  Hurry hurry(*this, waiting);
  Status status = client_.Converse(request, deadline, std::ref(hurry), &turn->connection, &answer);
  hurry.Ended(status);
  json unexpected;
  if (status.ok() && IsResult(answer)) status = ResultOf(answer, &unexpected);
  return status.ok() ? TakeTurn(answer, turn) : status;
}

Status ClusterStore::TakeTurn(const json& message, Turn* turn) {
  return Decoded([&] {
    const json& state = message.at("state");
    turn->version = GetUnsigned<uint64_t>(state, "version", 1);
    turn->id = state.at("id").get<std::string>();
  });
}

// Whatever happens behind the sending of the decision, it may be carried out.
Status ClusterStore::Decide(Turn& turn, const Outcome& outcome, const Waiting& waiting,
                            Deadline deadline, Drain* drain) {
  json decision;
  if (turn.changes) {
    decision = DecisionToJson({outcome.state, outcome.unit_attentions, outcome.preempted});
  }
  Hurry hurry(*this, waiting);
  // For the commands of others nobody waits who is in a hurry.
  const Cancelled cancelled = drain != nullptr ? waiting.cancelled : std::ref(hurry);
  const Status status = Guarded(uri(), [&] {
    const Status sent = turn.connection.Send({{"decide", decision}}, deadline, cancelled);
    // It was too long.
    if (sent.code() == Code::kInvalid) return sent;
    return Result(turn, cancelled, deadline, drain);
  });
  hurry.Ended(status);
  return status;
}

// Also that what changes nothing has been decided by what is in force. If it is not any more, it is
// to be decided again (Turn::again).
Status ClusterStore::Result(Turn& turn, const Cancelled& cancelled, Deadline deadline,
                            Drain* drain) {
  for (;;) {
    json message;
    json result;
    Status status = turn.connection.Receive(&message, deadline, cancelled);
    if (status.ok() && IsResult(message)) {
      status = ResultOf(message, &result);
      if (status.ok() && drain != nullptr) {
        status = Decoded([&] { drain->Proved(ProofsIn(result)); });
      }
      if (status.code() != Code::kCorrupt) return status;
    } else if (status.ok() && message.contains("state")) {
      status = TakeTurn(message, &turn);
      turn.again = status.ok();
      if (turn.again) return status;
    } else if (status.ok()) {
      std::vector<Attachment> pending;
      status = Decoded([&] { pending = AttachmentsFromJson(message.at("late")); });
      if (status.ok() && drain != nullptr) drain->Late(pending);
    }
    if (status.ok()) continue;
    turn.connection.Close();
    if (!turn.changes) return Status::Error(Code::kBusy, status.message(), status.hint());
    return AskOutcome(turn.id, cancelled, deadline, status);
  }
}

// Until somebody knows: this daemon, or the next one. Who is in a hurry does not wait as long.
Status ClusterStore::AskOutcome(const std::string& id, const Cancelled& cancelled,
                                Deadline deadline, const Status& why) const {
  json request = client_.Request("outcome");
  request["id"] = id;
  bool hurries = false;
  const auto given_up = [&] {
    if (!hurries && cancelled()) {
      hurries = true;
      deadline = std::min(deadline, Clock::now() + kSettling);
    }
    return Clock::now() >= deadline;
  };
  Status status;
  while (!given_up()) {
    json result;
    bool committed = false;
    status = client_.Ask(request, deadline, given_up, &result);
    if (status.ok()) status = Decoded([&] { committed = result.at("committed").get<bool>(); });
    if (status.ok() && !committed) return Status::Error(Code::kBusy, why.message(), why.hint());
    if (status.ok()) {
      // It is in force. Here it is published as soon as the daemon has seen it.
      json seen;
      static_cast<void>(client_.Ask(client_.Request("read"), deadline, given_up, &seen).ok());
      return status;
    }
    std::this_thread::sleep_for(kAgain);
  }
  return Status::Error(Code::kUnknown,
                       "it is not known whether a change of " + uri() +
                           " is in force: " + (status.ok() ? why : status).message(),
                       "Look at the registrations once scsi-prd and etcd answer again.");
}

}  // namespace scsi_pr::cluster
