// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/change_operation.h"

#include <algorithm>
#include <utility>

#include "cluster/messages.h"
#include "cluster/wire.h"
#include "core/document.h"

namespace scsi_pr::agent {

namespace {

// Longer than it takes to declare a silent host dead (Declaration::Wait of the longest D that
// anybody should choose for a cluster whose changes are waited for).
constexpr Time kDeclaring = 12 * kSecond;
constexpr Time kLate = kSecond;
constexpr Time kShow = kSecond;

Change::Decision NoChange() {
  Change::Decision decision;
  decision.changes = false;
  return decision;
}

const char* NameOf(Change::Result result) {
  switch (result) {
    case Change::Result::kGood: return "committed";
    case Change::Result::kRefused: return "refused";
    case Change::Result::kUnknown: return "unknown";
    default: return "given-up";
  }
}

}  // namespace

ChangeOperation::ChangeOperation(LogicalUnit& unit, std::shared_ptr<Client> client, Limits limits,
                                 Transition transition)
    : Operation(std::move(client)),
      unit_(unit),
      limits_(limits),
      transition_(std::move(transition)) {}

ChangeOperation::~ChangeOperation() = default;

void ChangeOperation::Begin(Time now) { give_up_ = now + limits_.patience; }

void ChangeOperation::BeginNow(Time now) {
  if (is_over_) return;  // its client has gone
  give_up_ = now + limits_.patience;
  Try(now);
}

// Another one each time: what was sent for an earlier one may still be applied.
void ChangeOperation::Try(Time now) {
  try_again_ = kNever;
  id_ = unit_.house().nonce();
  Change::Options options;
  options.host = unit_.house().host;
  options.lu = unit_.name();
  options.id = id_;
  options.deadline = give_up_;
  options.declarations = unit_.house().declarations;
  options.foreign = foreign_;
  options.foreign_since = foreign_since_;
  if (const Reading* there = unit_.participant().current()) {
    options.presumption = {there->state, there->state_revision, there->nexuses};
  }
  decided_by_.reset();  // the client has to hear the id
  options.patience = give_up_ - now + TimeFor(true) + TimeFor(false) + 10 * kSecond;
  Change::Outside& outside = *this;
  change_ = std::make_unique<Change>(std::move(options), unit_.house().keys, outside,
                                     unit_.house().nonce);
  change_->Tick(now);
}

// How long others may take, when it is decided.
Time ChangeOperation::TimeFor(bool aborts) const {
  return aborts ? limits_.abort_timeout : kDeclaring;
}

void ChangeOperation::Send(uint64_t request, const Transaction& transaction) {
  sent_in_ = unit_.participant().epoch();
  unit_.house().asker.Ask(transaction, alive_, [this, id = id_, request](const Answer& answer) {
    if (id == id_) change_->Answered(Loop::Now(), request, answer);
  });
}

// ---------------------------------------------------------------- Deciding

// The client decides by what is shown here, which must be what was read; by what is newer it does
// not decide. It may come again: by what was presumed, and by what is.
void ChangeOperation::Decide(const std::optional<StateRecord>& state,
                             const std::map<std::string, NexusRecord>& nexuses) {
  before_ = state;
  nexuses_ = nexuses;
  deciding_ = true;
  if (!client_gone_ && !IsDecided() && !IsShown()) unit_.participant().Look(Loop::Now());
}

bool ChangeOperation::IsShown() const {
  return unit_.publisher().published() >= VersionOf(before_);
}

bool ChangeOperation::IsDecided() const { return decided_by_ && *decided_by_ == before_; }

void ChangeOperation::AskClient(Time now) {
  deciding_ = false;
  if (!client_) return DecideSelf(now);
  asked_ = true;
  client_->Send({{"state", {{"version", VersionOf(before_)}, {"id", id_}}}});
}

void ChangeOperation::DecideSelf(Time now) {
  State state;
  const bool is_sound = !before_ || DecodeDocument(before_->document, &state).ok();
  outcome_.reset();
  if (transition_ && is_sound) outcome_ = transition_(state);
  Decided(now);
}

void ChangeOperation::Decided(Time now) {
  deciding_ = asked_ = false;
  decided_by_ = before_;
  Change::Decision decision = outcome_ ? DecisionOf(*outcome_, now) : NoChange();
  changes_ = decision.changes;
  change_->Decided(now, std::move(decision));
}

Change::Decision ChangeOperation::DecisionOf(const scsi_pr::Outcome& outcome, Time now) {
  State before;
  if (before_) {
    const Status status = DecodeDocument(before_->document, &before);
    if (!status.ok()) throw std::invalid_argument(status.message());
  }
  Change::Decision decision;
  decision.changes = outcome.state != before;
  decision.aborts = !outcome.preempted.empty();
  decision.document = EncodeDocument(outcome.state);
  decision.victims = VictimsOf(before, outcome.state, outcome.preempted, decision.aborts, nexuses_);
  decision.concerned = ConcernedBy(before, outcome.state, outcome.unit_attentions, nexuses_);
  preempted_.clear();
  for (const Victim& victim : decision.victims) {
    if (victim.preempted) preempted_.push_back(victim.nexus);
  }
  decision.unit_attentions = outcome.unit_attentions;
  decision.deadline = now + TimeFor(decision.aborts);
  return decision;
}

void ChangeOperation::Receive(const nlohmann::json& frame, Time now) {
  if (!asked_) throw std::invalid_argument("nothing was asked for");
  const nlohmann::json& decide = frame.at("decide");
  outcome_.reset();
  if (!decide.is_null()) {
    cluster::Decision decision = cluster::DecisionFromJson(decide);
    outcome_.emplace();
    outcome_->state = std::move(decision.state);
    outcome_->unit_attentions = std::move(decision.unit_attentions);
    outcome_->preempted = std::move(decision.preempted);
  }
  Decided(now);
}

void ChangeOperation::Hear(Time now, const std::vector<News>& news) {
  if (change_) change_->Hear(now, news);
}

// What it has decided may be committed; what it has not, never.
void ChangeOperation::ClientGone(Time now) {
  client_gone_ = true;
  if (!change_) is_over_ = true;
  if (deciding_ || asked_) GiveUpDeciding(now);
}

void ChangeOperation::GiveUpDeciding(Time now) {
  deciding_ = asked_ = false;
  undecided_ = true;
  change_->Decided(now, NoChange());
}

// ---------------------------------------------------------------- Fencing

void ChangeOperation::Fence(const ChangeRecord& change) {
  const Time now = Loop::Now();
  if (change.aborts) late_at_ = now + kLate;
  unit_.participant().Fence(now, change);
}

void ChangeOperation::NeedProof(const std::string& host) { unit_.house().need_proof(host); }

void ChangeOperation::Fenced(Time now) {
  if (change_) change_->Fenced(now);
}

void ChangeOperation::TellLate(Time) {
  late_at_ = kNever;
  std::vector<Attachment> late = unit_.Late();
  for (const std::string& key : preempted_) {
    const NexusRecord& record = nexuses_.at(key);
    if (record.host == unit_.house().host) continue;
    Attachment elsewhere;
    elsewhere.nexus = record.nexus;
    elsewhere.owner = record.owner_text;
    elsewhere.host = record.host;
    elsewhere.being_fenced = true;
    late.push_back(std::move(elsewhere));
  }
  unit_.house().log.Say(Message::kDrainLate, "PREEMPT AND ABORT on " + UriOf(unit_.name()) +
                                                 " waits for commands of " +
                                                 std::to_string(late.size()) + " I_T nexuses");
  if (client_) client_->Send({{"late", cluster::AttachmentsToJson(late)}});
}

// ---------------------------------------------------------------- The end

void ChangeOperation::Ended(Change::Result result, const Failure& why) {
  result_ = result;
  why_ = why;
  // Of what changes nothing there is nothing to be shown.
  if (result != Change::Result::kGood || changes_ || undecided_ || !client_) return;
  answered_ = true;
  client_->Good({{"version", unit_.publisher().published()}});
}

void ChangeOperation::Committed(int64_t revision) {
  released_ = true;
  unit_.participant().Committed(Loop::Now(), id_, sent_in_, revision, change_->there());
}

// What is committed is shown here before anybody hears of it, if that takes no second.
void ChangeOperation::Over() {
  const Time now = Loop::Now();
  if (!std::exchange(released_, false)) unit_.participant().Release(now, id_);
  show_until_ = now + kShow;
  waits_for_show_ = true;
}

bool ChangeOperation::IsShownHere() const {
  return unit_.participant().published_version() >= change_->version();
}

void ChangeOperation::Finish(Time now) {
  using Result = Change::Result;
  waits_for_show_ = false;
  late_at_ = kNever;
  const Result result = undecided_ ? Result::kBusy : result_.value_or(Result::kBusy);
  if (result == Result::kForeign && now < give_up_ && !client_gone_) return TryLater(now);
  unit_.house().metrics.Count(Metric::kChanges, NameOf(result));
  if (result == Result::kGood) return FinishGood();
  const Status status = WhyNot();
  if (client_gone_ && undecided_) return Bad(status);  // nobody else has given it up
  unit_.house().log.Say(
      result == Result::kUnknown ? Message::kChangeUnknown : Message::kChangeGivenUp, status,
      {{"LU", unit_.name()}, {"CHANGE", id_}});
  Bad(status);
}

// Not all in step, and not in haste behind one that takes long.
void ChangeOperation::TryLater(Time now) {
  if (foreign_ != change_->foreign()) {
    foreign_ = change_->foreign();
    foreign_since_ = now;
  }
  change_.reset();
  const Time patience = std::min((now - foreign_since_) / 8, 100 * kMillisecond);
  try_again_ = now + patience + 5 * kMillisecond + now % (10 * kMillisecond);
}

// What a GOOD rests on must be visible.
void ChangeOperation::FinishGood() {
  if (answered_) {
    is_over_ = true;
    return;
  }
  const std::vector<HostProof>& proofs = change_->proofs();
  nlohmann::json good = {{"version", unit_.publisher().published()}};
  if (!proofs.empty()) good["proofs"] = cluster::ProofsToJson(proofs);
  for (const HostProof& each : proofs) {
    unit_.house().metrics.Count(Metric::kProofs, each.proof);
    unit_.house().log.Say(Message::kProof,
                          "PREEMPT AND ABORT on " + UriOf(unit_.name()) +
                              " has ended in GOOD by the proof \"" + each.proof + "\" that host " +
                              each.host + " is dead",
                          {{"LU", unit_.name()}, {"CHANGE", id_}});
  }
  Good(std::move(good));
}

Status ChangeOperation::WhyNot() const {
  const std::string uri = UriOf(unit_.name());
  const std::string detail = why_.message.empty() ? "" : ": " + why_.message;
  switch (result_.value_or(Change::Result::kBusy)) {
    case Change::Result::kForeign:
      return Status::Error(Status::Code::kBusy, uri + " is being changed by another host",
                           "Nothing has changed. Try again.");
    case Change::Result::kRefused:
      return Status::Error(Status::Code::kIo, uri + " cannot be changed" + detail,
                           "Nothing has changed. " + why_.hint);
    case Change::Result::kUnknown:
      return Status::Error(Status::Code::kUnknown,
                           "etcd does not say whether a change of " + uri + " is in force" + detail,
                           "Look at the registrations when it answers again.");
    default:
      return Status::Error(Status::Code::kBusy, "a change of " + uri + " was given up" + detail,
                           "Nothing has changed. A host that has to acknowledge is silent, or "
                           "commands there do not end, or etcd is away: see scsi-pr hosts.");
  }
}

void ChangeOperation::Tick(Time now) {
  if (is_over_) return;
  if (!change_) {
    if (now >= try_again_) Try(now);
    return;
  }
  if (deciding_ && IsDecided()) Decided(now);
  if (deciding_ && !client_gone_ && IsShown()) AskClient(now);
  // A stopped client does not keep the others waiting.
  if ((deciding_ || asked_) && (client_gone_ || now >= give_up_)) GiveUpDeciding(now);
  if (now >= late_at_) TellLate(now);
  if (now >= change_->NextTick()) change_->Tick(now);
  if (!waits_for_show_) return;
  if (IsShownHere() || now >= show_until_ || result_ != Change::Result::kGood) Finish(now);
}

Time ChangeOperation::NextTick() const {
  if (is_over_) return kNever;
  if (!change_) return try_again_;
  if (deciding_ && (client_gone_ || IsDecided() || IsShown())) return 0;
  Time next = std::min(change_->NextTick(), late_at_);
  if (deciding_ || asked_) next = std::min(next, give_up_);
  if (!waits_for_show_) return next;
  return IsShownHere() ? 0 : std::min(next, show_until_);
}

}  // namespace scsi_pr::agent
