// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/nexus_change.h"

#include <algorithm>
#include <utility>

#include "core/document.h"

namespace scsi_pr::agent {

namespace {

constexpr Time kTryAgain = 100 * kMillisecond;
constexpr Time kPoll = 100 * kMillisecond;
// An engine has a limit for the operations of a transaction.
constexpr size_t kMostForgotten = 32;

Status Busy(const std::string& what, const std::string& hint = "") {
  return Status::Error(Status::Code::kBusy, what, hint);
}

}  // namespace

NexusChange::NexusChange(Options options, Keys keys, Outside& outside,
                         std::function<std::string()> nonce)
    : options_(std::move(options)),
      key_(NexusKey(options_.nexus)),
      keys_(std::move(keys)),
      outside_(outside),
      nonce_(nonce()),
      next_nonce_(std::move(nonce)) {}

void NexusChange::Send(Writing writing) {
  pending_ = ++requests_;
  outside_.Send(requests_, {std::move(writing.compares),
                            std::move(writing.writes),
                            {{keys_.State(options_.lu), false},
                             {keys_.Change(options_.lu), false},
                             {keys_.Nexuses(options_.lu), true},
                             {keys_.Hosts(), true}}});
}

Time NexusChange::NextTick() const { return pending_ || is_over_ ? kNever : next_; }

void NexusChange::Tick(Time now) {
  if (now >= NextTick()) Send();
}

void NexusChange::Look(Time now) {
  next_ = std::min(next_, now);
  look_again_ = pending_.has_value();  // its answer may be older
}

void NexusChange::Answered(Time now, uint64_t request, const Answer& answer) {
  if (pending_ != request || is_over_) return;
  pending_.reset();
  next_ = now + kTryAgain;
  if (!answer.answered()) return Failed(now, answer);
  Reading there;
  if (const Status status = DecodeReading(answer, keys_, options_.lu, &there); !status.ok()) {
    return End(Result::kRefused, status);
  }
  there_ = std::move(there);
  Step(now);
}

void NexusChange::Failed(Time now, const Answer& answer) {
  const Failure& failure = answer.failure;
  const bool is_final = answer.outcome == Outcome::kFailed && !IsPassing(failure.kind);
  if (!is_final && now < options_.deadline) return;
  const Status why = Status::Error(Status::Code::kIo, failure.message, failure.hint);
  if (sent_) return End(Result::kUnknown, why);
  End(is_final ? Result::kRefused : Result::kBusy, why);
}

// ---------------------------------------------------------------- What is to be written

const NexusRecord* NexusChange::record() const {
  const auto found = there_.nexuses.find(key_);
  return found == there_.nexuses.end() || found->second.host.empty() ? nullptr : &found->second;
}

void NexusChange::Step(Time now) {
  if (record() != nullptr && record()->nonce == nonce_) return Done();
  switch (options_.what) {
    case What::kAttach: return Attach(now);
    case What::kAttachIncoming: return AttachIncoming(now);
    case What::kDetach: return Detach(now);
    case What::kHandOver: return HandOver(now);
    case What::kTakeOver: return TakeOver(now);
  }
}

void NexusChange::Attach(Time now) {
  const NexusRecord* there = record();
  if (there == nullptr) return Displace(now);
  const bool is_ours = there->host == options_.host;
  if (options_.attached_here && there->IsAt(options_.host)) {
    return End(Result::kInUse, is_ours ? InUse(there->host) : IsAwaited());
  }
  // Somebody may have become the heir of what was written here, and had no answer.
  if (is_ours && sent_) return Displace(now);
  if (!is_ours && !there_.IsDead(there->host)) {
    return AwaitDeath(now, there->host, InUse(there->host));
  }
  if (!IsFree(there->heir)) return AwaitDeath(now, there->heir, IsAwaited());
  Displace(now);
}

void NexusChange::AttachIncoming(Time now) {
  const NexusRecord* there = record();
  const bool is_free = there == nullptr || IsFree(there->heir);
  if (there == nullptr || there_.IsDead(there->host)) return Attach(now);
  if (there->host == options_.host) {
    if (!options_.attached_here) return Attach(now);
    return is_free ? Done() : End(Result::kInUse, IsAwaited());
  }
  if (there->heir == options_.host && options_.attached_here) {
    return End(Result::kInUse, IsAwaited());
  }
  if (!is_free) return AwaitDeath(now, there->heir, IsAwaited());
  if (there_.change_revision != 0) return WaitForChange(now);
  NexusRecord next = *there;
  next.heir = options_.host;
  Writing writing = ComparingTheDead({there->heir});
  writing.compares.push_back({keys_.Change(options_.lu), 0});
  WriteRecord(std::move(next), std::move(writing));
}

// Where nobody has the nexus who may enter, or go on.
void NexusChange::Displace(Time now) {
  if (there_.change_revision != 0) return WaitForChange(now);
  NexusRecord next = OurRecord();
  if (next.remains.size() > NexusRecord::kRemains) {
    return End(Result::kInUse,
               Status::Error(Status::Code::kInUse,
                             Name() + " has commands that may be under way on " +
                                 std::to_string(next.remains.size()) + " hosts",
                             "They were declared dead. It goes on when they are back."));
  }
  Writing writing;
  if (const NexusRecord* there = record()) {
    if (!IsFree(there->heir)) next.heir = there->heir;
    writing = ComparingTheDead({there->host, there->heir});
  }
  writing.compares.push_back({keys_.Change(options_.lu), 0});
  writing.compares.push_back({keys_.State(options_.lu), there_.state_revision});
  bool is_left = false;
  if (const Status status = PowerOnIfFirst(&writing, &is_left); !status.ok()) {
    return End(Result::kRefused, status);
  }
  if (is_left) return DeleteRecord(std::move(writing));
  WriteRecord(std::move(next), std::move(writing));
}

void NexusChange::Detach(Time) {
  const NexusRecord* there = record();
  if (there == nullptr || !there->IsAt(options_.host)) return Done();
  NexusRecord next = *there;
  if (there->host != options_.host) {
    next.heir.clear();
    return WriteRecord(std::move(next));
  }
  if (!IsFree(there->heir)) {
    if (!there->owned) return Done();
    next.owned = false;
    return WriteRecord(std::move(next));
  }
  Writing writing = ComparingTheDead({there->heir});
  if (there_.AreRemainsGone(*there)) return DeleteRecord(std::move(writing));
  next.host.clear();
  next.heir.clear();
  next.owned = false;
  WriteRecord(std::move(next), std::move(writing));
}

void NexusChange::HandOver(Time) {
  const NexusRecord* there = record();
  if (there == nullptr || there->host != options_.host || !there->owned) return Done();
  NexusRecord next = *there;
  next.owned = false;
  WriteRecord(std::move(next));
}

void NexusChange::TakeOver(Time now) {
  const NexusRecord* there = record();
  if (there == nullptr) return Displace(now);
  const bool is_ours = there->host == options_.host;
  const bool is_dead = there_.IsDead(there->host);
  if (!is_ours && there->heir != options_.host) return End(Result::kInUse, InUse(there->host));
  if (!is_ours && there->owned && !is_dead) return End(Result::kBusy, InUse(there->host));
  Writing writing;
  if (there->owned) writing = ComparingTheDead({there->host});
  NexusRecord next = OurRecord();
  if (options_.owner_text.empty()) next.owner_text = there->owner_text;
  WriteRecord(std::move(next), std::move(writing));
}

// ---------------------------------------------------------------- Power on

// A host that is only silent keeps the unit on: its VMs may be running.
bool NexusChange::KeepsUnitOn(const NexusRecord& record) const {
  const auto is_gone = [this](const std::string& host) {
    return host.empty() || there_.IsProvedDead(host);
  };
  return !is_gone(record.host) || !is_gone(record.heir) || !there_.AreRemainsGone(record);
}

// That it keeps the unit on depends on these.
void NexusChange::CompareKeeper(const NexusRecord& record, Writing* writing) const {
  const std::string key = NexusKey(record.nexus);
  std::vector<std::string> hosts = {record.host, record.heir};
  for (const NexusRecord::Remains& each : record.remains) hosts.push_back(each.host);
  if (key != key_) {
    writing->compares.push_back({keys_.OfNexus(options_.lu, key), there_.RevisionOfNexus(key)});
  }
  for (const std::string& host : hosts) {
    if (!host.empty()) writing->compares.push_back({keys_.Host(host), there_.RevisionOfHost(host)});
  }
}

// Whoever attaches between this reading and the writing must see it as everybody does: either he
// is the first, and writes the state, or he compares who is it. So what this host has left of
// the nexus counts as well, until it is deleted: `*is_left`.
Status NexusChange::PowerOnIfFirst(Writing* writing, bool* is_left) const {
  std::optional<StateRecord> powered_on;
  if (Status status = PowerOn(&powered_on); !status.ok()) return status;
  const auto keeper = std::ranges::find_if(there_.nexuses, [this](const auto& nexus) {
    return nexus.first != key_ && KeepsUnitOn(nexus.second);
  });
  if (keeper != there_.nexuses.end()) {
    CompareKeeper(keeper->second, writing);
    return Status();
  }
  const auto own = there_.nexuses.find(key_);
  if (own != there_.nexuses.end() && KeepsUnitOn(own->second)) {
    NexusRecord others = own->second;
    if (others.host == options_.host) others.host.clear();
    if (others.heir == options_.host) others.heir.clear();
    *is_left = powered_on && !KeepsUnitOn(others);
    CompareKeeper(own->second, writing);
    return Status();
  }
  if (powered_on) Forget(writing);
  if (powered_on) writing->writes.push_back({keys_.State(options_.lu), Encode(*powered_on)});
  return Status();
}

// Nothing, if it changes nothing.
Status NexusChange::PowerOn(std::optional<StateRecord>* next) const {
  if (!there_.state) return Status();
  State state;
  if (Status status = DecodeDocument(there_.state->document, &state); !status.ok()) return status;
  const State powered_on = AfterPowerOn(state);
  if (powered_on == state) return Status();
  *next = StateRecord::Next(there_.state, nonce_, EncodeDocument(powered_on), {});
  return Status();
}

// Nexuses that nobody has any more. All hosts that are proved to be off must be it still.
void NexusChange::Forget(Writing* writing) const {
  for (const auto& [key, record] : there_.nexuses) {
    if (key == key_ || writing->writes.size() == kMostForgotten) continue;
    writing->compares.push_back({keys_.OfNexus(options_.lu, key), there_.RevisionOfNexus(key)});
    writing->writes.push_back({keys_.OfNexus(options_.lu, key), std::nullopt});
  }
  for (const auto& [host, entry] : there_.hosts) {
    if (there_.HasNexusAt(host)) writing->compares.push_back({keys_.Host(host), entry.revision});
  }
}

// ---------------------------------------------------------------- Writing, waiting, the end

// Who is dead must be it still: he would go on with the nexus.
NexusChange::Writing NexusChange::ComparingTheDead(const std::vector<std::string>& hosts) const {
  Writing writing;
  for (const std::string& host : hosts) {
    if (!there_.IsDead(host) || host == options_.host) continue;
    writing.compares.push_back({keys_.Host(host), there_.RevisionOfHost(host)});
  }
  return writing;
}

// Of us as owner.
NexusRecord NexusChange::OurRecord() const {
  NexusRecord next;
  next.nexus = options_.nexus;
  next.host = options_.host;
  next.owned = true;
  next.owner_text = options_.owner_text;
  const auto found = there_.nexuses.find(key_);
  if (found == there_.nexuses.end()) return next;
  const NexusRecord& before = found->second;
  if (!there_.AreRemainsGone(before)) next.remains = before.remains;
  const bool leaves_something = before.owned && before.host != options_.host &&
                                there_.IsDead(before.host) && !there_.IsProvedDead(before.host);
  if (leaves_something) {
    next.remains.push_back({before.host, there_.IncarnationOf(before.host)});
  }
  return next;
}

void NexusChange::WriteRecord(NexusRecord record, Writing writing) {
  const std::string key = keys_.OfNexus(options_.lu, key_);
  record.nonce = nonce_;
  sent_ = true;
  writing.compares.push_back({key, there_.RevisionOfNexus(key_)});
  writing.writes.push_back({key, Encode(record)});
  Send(std::move(writing));
}

void NexusChange::DeleteRecord(Writing writing) {
  const std::string key = keys_.OfNexus(options_.lu, key_);
  sent_ = true;
  writing.compares.push_back({key, there_.RevisionOfNexus(key_)});
  writing.writes.push_back({key, std::nullopt});
  Send(std::move(writing));
}

void NexusChange::Wait(Time now, const Status& why) {
  if (now >= options_.deadline) return End(sent_ ? Result::kUnknown : Result::kBusy, why);
  next_ = std::exchange(look_again_, false) ? now : now + kPoll;
}

void NexusChange::WaitForChange(Time now) {
  if (!there_.IsChangeLeft()) {
    return Wait(now, Busy("the reservations of " + options_.lu + " are being changed"));
  }
  const std::string key = keys_.Change(options_.lu);
  Send({{{key, there_.change_revision}}, {{key, std::nullopt}}});
}

// One that lives takes the mark away.
void NexusChange::AwaitDeath(Time now, const std::string& host, const Status& why) {
  const auto found = there_.hosts.find(host);
  if (host == options_.host || found == there_.hosts.end()) return End(Result::kInUse, why);
  bool& was_suspect = was_suspect_[host];
  const auto& [record, revision] = found->second;
  const bool is_suspect = record.state == HostRecord::State::kSuspect;
  if ((was_suspect && !is_suspect) || now >= options_.deadline) {
    return End(Result::kInUse, why);
  }
  was_suspect = is_suspect;
  Declaration& declaration = (*options_.declarations)[host];
  const auto next = declaration.Next(now, record, revision, options_.host, next_nonce_());
  if (!next) {
    next_ = now + kPoll;
    return;
  }
  Send({{{keys_.Host(host), revision}}, {{keys_.Host(host), Encode(*next)}}});
}

void NexusChange::Done() {
  owned_ = record() != nullptr && record()->host == options_.host && record()->owned;
  End(Result::kGood);
}

void NexusChange::End(Result result, const Status& why) {
  is_over_ = true;
  pending_.reset();
  outside_.Ended(result, why);
}

// ---------------------------------------------------------------- For people

// Whether no living host waits for the nexus but this one.
bool NexusChange::IsFree(const std::string& heir) const {
  return heir.empty() || heir == options_.host || there_.IsDead(heir);
}

std::string NexusChange::Name() const {
  return "I_T nexus " + options_.nexus.initiator.ToText() + ", target port " +
         std::to_string(options_.nexus.target_port) + " of cluster:" + options_.lu;
}

Status NexusChange::InUse(const std::string& host) const {
  const NexusRecord* there = record();
  const std::string who = there->owner_text.empty() ? "" : " (" + there->owner_text + ")";
  return Status::Error(Status::Code::kInUse,
                       Name() + " is attached on host " + host + who + " already",
                       "Each disk of each VM needs an initiator of its own (pr-initiator=). If "
                       "that host is gone, try again until it has been declared dead.");
}

Status NexusChange::IsAwaited() const {
  return Status::Error(
      Status::Code::kInUse,
      Name() + " is waited for by another incoming VM already, on host " + record()->heir,
      "Look for a second QEMU process with -incoming, and stop it.");
}

}  // namespace scsi_pr::agent
