// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulation.h"

#include <algorithm>
#include <utility>

#include "simulated_host.h"

namespace scsi_pr::agent {

namespace {

constexpr const char* kLu = "lu";
constexpr Instant kMs = 1'000'000;
constexpr Instant kSeconds = 1000 * kMs;
constexpr Instant kTry = 1500 * kMs;
constexpr Instant kLatest = 20 * kSeconds;  // that a request may arrive
// Until all is at rest: everything late has come, dead changes are taken away, two commands.
constexpr Instant kCalm = 80 * kSeconds;
constexpr Instant kRest = 30 * kSeconds;

uint64_t MaskOf(const std::string& state) {
  StateRecord record;
  if (state.empty() || !Decode(state, &record).ok()) return ~uint64_t{0};
  return std::stoull(record.document);
}

}  // namespace

uint64_t Random::Next() {
  uint64_t z = (state_ += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Instant Random::Delay(Instant usual, Instant longest, uint64_t one_in) {
  const Instant most = OneIn(one_in) ? longest : usual;
  return 1 + static_cast<Instant>(Below(static_cast<uint64_t>(most)));
}

Simulation::Simulation(Options options)
    : options_(options), random_(options.seed), duration_((2 + random_.Below(4)) * kSecond) {
  cut_until_.resize(options.hosts);
  deaf_until_.resize(options.hosts);
  is_out_.resize(options.nexuses);
  out_since_.resize(options.nexuses);
  for (size_t i = 0; i < options.nexuses; i++) {
    nexuses_.push_back({"n" + std::to_string(i), i % options.hosts, false});
    store_.Apply({{},
                  {{keys_.Nexuses(kLu) + nexuses_[i].name,
                    Encode(NexusRecord{"h" + std::to_string(nexuses_[i].host)})}},
                  {}});
  }
  for (size_t i = 0; i < options.hosts; i++) {
    hosts_.push_back(std::make_unique<SimulatedHost>(*this, i));
  }
}

Simulation::~Simulation() = default;

void Simulation::At(Instant time, std::function<void()> act) {
  events_.push({time, ++events_made_, std::move(act)});
}

void Simulation::Violation(const std::string& what) {
  if (violation_.empty()) violation_ = "at " + std::to_string(now_ / kMs) + " ms: " + what;
  Trace("VIOLATION: " + what);
}

void Simulation::Trace(const std::string& what) {
  constexpr size_t kMost = 20000;
  if (!options_.trace) return;
  trace_.push_back(std::to_string(now_ / kMs) + " ms: " + what);
  if (trace_.size() > kMost) trace_.pop_front();
}

uint64_t Simulation::Run() {
  std::function<void()> command = [&] {
    const size_t nexus = random_.Below(nexuses_.size());
    hosts_[nexuses_[nexus].host]->StartCommand(nexus);
    After(static_cast<Instant>(random_.Below(100 * kMs)), command);
  };
  std::function<void()> change = [&] {
    if (now_ > options_.length + kCalm - kRest) return;
    hosts_[random_.Below(hosts_.size())]->StartChange();
    After(static_cast<Instant>(random_.Below(kSeconds)), change);
  };
  std::function<void()> fault = [&] {
    if (is_calm_) return;
    Fault();
    After(static_cast<Instant>(random_.Below(3 * kSeconds)), fault);
  };
  command();
  After(2 * kSeconds, change);
  After(4 * kSeconds, fault);
  At(options_.length, [this] { Calm(); });
  while (violation_.empty() && now_ < options_.length + kCalm) {
    const Event event = events_.top();
    events_.pop();
    now_ = event.time;
    steps_++;
    event.act();
  }
  if (violation_.empty()) CheckRest();
  return steps_ - idle_;
}

// ---------------------------------------------------------------- The network

bool Simulation::IsCut(size_t host) const {
  return now_ < cut_until_[host] || now_ < engine_down_until_;
}

void Simulation::Request(size_t host, const Transaction& transaction, Done done) {
  const auto is_answered = std::make_shared<bool>(false);
  const auto once = [is_answered, done](const Answer& answer) {
    if (!std::exchange(*is_answered, true)) done(answer);
  };
  const bool writes = !transaction.writes.empty();
  if (writes && transaction.compares.empty()) Violation("a write that compares nothing");
  if (writes && transaction.writes[0].key == keys_.State(kLu) && !is_calm_ && random_.OneIn(12)) {
    // A commit that nobody hears of, and that may be applied when nobody waits for it any more.
    Trace("the commit of h" + std::to_string(host) + " is lost or late");
    deaf_until_[host] = now_ + random_.Delay(5 * kSeconds, kLatest, 2);
    After(random_.Delay(2 * kMs, kLatest, 2), [=, this] { Deliver(host, transaction, once); });
    return After(kTry, [once] { once(Answer{}); });
  }
  if (IsCut(host) && random_.OneIn(4)) {
    // Nobody takes it.
    After(kMs, [once] {
      Answer answer;
      answer.outcome = Outcome::kFailed;
      answer.failure.kind = Failure::Kind::kUnreachable;
      once(answer);
    });
    return;
  }
  After(kTry, [this, is_answered, once, writes] {
    if (*is_answered) idle_++;
    Answer answer;
    answer.outcome = writes ? Outcome::kUnknown : Outcome::kFailed;
    answer.failure.kind = Failure::Kind::kNoAnswer;
    once(answer);
  });
  const uint64_t chance = is_calm_ ? 1000000 : 40;
  if (!random_.OneIn(chance)) {
    After(random_.Delay(2 * kMs, kLatest, chance), [=, this] { Deliver(host, transaction, once); });
  }
  if (random_.OneIn(chance)) {  // twice
    After(random_.Delay(2 * kMs, kLatest, 2), [=, this] { Deliver(host, transaction, once); });
  }
}

void Simulation::Deliver(size_t host, const Transaction& transaction, const Done& done) {
  if (IsCut(host)) {
    // Lost, or kept by somebody on the way.
    if (random_.OneIn(2)) return;
    const Instant until = std::max(cut_until_[host], engine_down_until_);
    At(until + static_cast<Instant>(random_.Below(2 * kSeconds)),
       [=, this] { Deliver(host, transaction, done); });
    return;
  }
  Answer answer;
  Apply(host, transaction, &answer);
  if (now_ < deaf_until_[host] || (!is_calm_ && random_.OneIn(40))) return;
  After(random_.Delay(2 * kMs, 3 * kSeconds, is_calm_ ? 1000000 : 30),
        [done, answer] { done(answer); });
}

void Simulation::Apply(size_t host, const Transaction& transaction, Answer* answer) {
  std::map<std::string, std::string> before;
  for (const Write& write : transaction.writes) {
    const auto* entry = store_.Find(write.key);
    before[write.key] = entry == nullptr ? "" : entry->value;
  }
  *answer = store_.Apply(transaction);
  if (answer->outcome != Outcome::kApplied || transaction.writes.empty()) return;
  Hint();
  for (const Write& write : transaction.writes) {
    Trace("h" + std::to_string(host) + " writes " + write.key + " " + write.value.value_or("-"));
    if (write.key == keys_.State(kLu)) CheckState(before[write.key], *write.value);
    for (size_t i = 0; i < hosts_.size(); i++) {
      if (write.key != keys_.Host(hosts_[i]->name())) continue;
      CheckHostRecord(host, i, before[write.key], write.value.value_or(""));
    }
  }
}

// A watch tells it, or it does not.
void Simulation::Hint() {
  for (const auto& host : hosts_) {
    if (random_.OneIn(4)) continue;
    After(random_.Delay(2 * kMs, 5 * kSeconds, 20), [&host] { host->Hint(); });
  }
}

// ---------------------------------------------------------------- What must hold

// An incarnation is begun by its host alone, and never again once it is dead or has a successor.
void Simulation::CheckHostRecord(size_t writer, size_t host, const std::string& before,
                                 const std::string& after) {
  HostRecord old, now;
  if (!Decode(after, &now).ok()) return Violation("a host's record was destroyed");
  const bool had = !before.empty() && Decode(before, &old).ok();
  if (had && old.incarnation != now.incarnation) burnt_.insert(old.incarnation);
  if ((!had || old.incarnation != now.incarnation) && writer != host) {
    Violation("somebody else has begun an incarnation of " + hosts_[host]->name());
  }
  if (now.state != HostRecord::State::kDead && burnt_.contains(now.incarnation)) {
    Violation("the dead incarnation " + now.incarnation + " is alive again");
  }
  if (now.state == HostRecord::State::kDead) {
    burnt_.insert(now.incarnation);
    Count("declared dead");
  }
  if (now.state == HostRecord::State::kSuspect) Count("suspected");
}

void Simulation::CheckState(const std::string& before, const std::string& after) {
  StateRecord state;
  if (!Decode(after, &state).ok()) return Violation("the state was destroyed");
  const uint64_t old_mask = MaskOf(before), mask = MaskOf(after);
  const std::string& id = state.nonces.front();
  committed_[id] = {now_, old_mask & ~mask};
  Count("commits");
  if (ended_.contains(id) && ended_[id] != Change::Result::kUnknown) {
    Violation("change " + id + " is committed after it has ended");
  }
  for (size_t i = 0; i < nexuses_.size(); i++) {
    if (((mask ^ old_mask) >> i & 1) == 0) continue;
    is_out_[i] = (mask >> i & 1) == 0;
    out_since_[i] = now_;
  }
}

// A command has passed its gate.
void Simulation::CheckAdmitted(const SimulatedCommand& command) {
  Count("commands admitted");
  const SimulatedNexus& nexus = nexuses_[command.nexus];
  const SimulatedHost& host = *hosts_[nexus.host];
  const auto* entry = store_.Find(keys_.Host(host.name()));
  HostRecord record;
  if (entry == nullptr || !Decode(entry->value, &record).ok()) {
    return Violation(host.name() + " admits, and nobody knows it");
  }
  if (record.state == HostRecord::State::kDead) {
    return Violation(host.name() + " admits after it was declared dead");
  }
  if (record.incarnation != host.incarnation()) {
    return Violation(host.name() + " admits as an incarnation that is over");
  }
  if (command.incarnation != host.incarnation()) {
    return Violation(nexus.name + " enters, counted before its host had joined");
  }
  if (is_out_[command.nexus] && command.counted > out_since_[command.nexus]) {
    Violation(nexus.name + " enters after it has lost its access");
  }
}

void Simulation::CheckEnded(const std::string& id, Change::Result result, bool aborts) {
  constexpr const char* kNames[] = {"GOOD", "foreign", "busy", "refused", "unknown"};
  Count(kNames[static_cast<size_t>(result)]);
  Trace("change " + id + " ends: " + kNames[static_cast<size_t>(result)]);
  ended_[id] = result;
  const auto committed = committed_.find(id);
  if (result != Change::Result::kGood) {
    if (result != Change::Result::kUnknown && committed != committed_.end()) {
      Violation("change " + id + " is committed, and its status is not GOOD");
    }
    return;
  }
  if (committed == committed_.end()) return Violation("GOOD, and nothing is committed");
  const Committed& change = committed->second;
  for (size_t i = 0; i < nexuses_.size(); i++) {
    if (!aborts || (change.removed >> i & 1) == 0) continue;
    hosts_[nexuses_[i].host]->MarkStale(i, change.time);
    Count("fenced");
  }
}

// Nothing is left shut, nobody outside, nothing half done.
void Simulation::CheckRest() {
  const auto* state = store_.Find(keys_.State(kLu));
  const uint64_t mask = MaskOf(state == nullptr ? "" : state->value);
  if (store_.Find(keys_.Change(kLu)) != nullptr) return Violation("a change is left");
  for (const auto& host : hosts_) {
    const std::string why = host->WhyNotAtRest(mask);
    if (!why.empty()) return Violation(why + " in the end");
  }
}

// ---------------------------------------------------------------- Faults

void Simulation::Fault() {
  const size_t index = random_.Below(hosts_.size());
  SimulatedHost& host = *hosts_[index];
  const Instant length = random_.Delay(3 * kSeconds, 20 * kSeconds, 2);
  switch (random_.Below(8)) {
    case 0:
      Trace(host.name() + " freezes for " + std::to_string(length / kMs) + " ms");
      return host.Freeze(now_ + length);
    case 1:
      Trace(host.name() + "'s daemon freezes for " + std::to_string(length / kMs) + " ms");
      return host.FreezeDaemon(now_ + length);
    case 2: cut_until_[index] = now_ + length; [[fallthrough]];
    case 3:
      Trace(host.name() + " is cut off for " + std::to_string(length / kMs) + " ms");
      deaf_until_[index] = now_ + length;
      return;
    case 4:
      if (!random_.OneIn(3)) return;
      Trace("the engine is away for " + std::to_string(length / kMs) + " ms");
      engine_down_until_ = now_ + length / 2;
      return;
    case 5:
      if (!host.is_running()) return;
      Trace(host.name() + "'s daemon is killed");
      host.StopDaemon();
      return After(random_.Delay(kSeconds, 15 * kSeconds, 2), [&host] { host.StartDaemon(); });
    case 6: {
      if (!host.is_up()) return;
      Trace(host.name() + " is off for " + std::to_string(length / kMs) + " ms");
      host.PowerOff();
      const std::string boot_id = host.boot_id();
      for (Instant at = 0; at < length; at += 2 * kSeconds) {
        After(at, [=, this] { ConfirmDead(index, boot_id); });
      }
      return After(length, [this, &host] {
        if (!host.is_up()) host.PowerOn();
        Trace(host.name() + " is on");
      });
    }
    default: return;
  }
}

// Just when somebody waits for it.
void Simulation::Silence(size_t index) {
  const Instant until = now_ + random_.Delay(12 * kSeconds, 20 * kSeconds, 4);
  Trace(hosts_[index]->name() + " falls silent until " + std::to_string(until / kMs) + " ms");
  switch (random_.Below(6)) {
    case 0: return hosts_[index]->FreezeDaemon(until);
    case 1: cut_until_[index] = until; [[fallthrough]];
    case 2: deaf_until_[index] = until; return;
    default: return hosts_[index]->Freeze(until);
  }
}

// Somebody has looked: it is off.
void Simulation::ConfirmDead(size_t index, const std::string& boot_id) {
  const SimulatedHost& host = *hosts_[index];
  const std::string key = keys_.Host(host.name());
  const auto* entry = store_.Find(key);
  HostRecord record;
  if (entry == nullptr || host.is_up() || !Decode(entry->value, &record).ok()) return;
  if (record.state != HostRecord::State::kDead || record.boot_id != boot_id) return;
  if (!record.proof.empty()) return;
  record.proof = "confirmed";
  Answer answer;
  Apply(index, {{{key, entry->revision}}, {{key, Encode(record)}}, {}}, &answer);
  Count("confirmed");
}

void Simulation::Calm() {
  Trace("calm");
  is_calm_ = true;
  engine_down_until_ = 0;
  for (size_t i = 0; i < hosts_.size(); i++) {
    cut_until_[i] = deaf_until_[i] = 0;
    hosts_[i]->Freeze(0);
    hosts_[i]->FreezeDaemon(0);
    if (!hosts_[i]->is_up()) hosts_[i]->PowerOn();
    hosts_[i]->StartDaemon();
  }
}

}  // namespace scsi_pr::agent
