// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulation.h"

#include <algorithm>
#include <utility>

#include "simulated_daemon.h"
#include "simulated_host.h"

namespace scsi_pr::agent {

namespace {

constexpr const char* kUnit = kSimulatedUnit;
constexpr Instant kMs = 1'000'000;
constexpr Instant kSeconds = 1000 * kMs;
constexpr Instant kTry = 1500 * kMs;
constexpr Instant kLatest = 20 * kSeconds;  // that a request may arrive
// Until all is at rest: everything late has come, dead changes are taken away, two commands.
constexpr Instant kCalm = 80 * kSeconds;
constexpr Instant kRest = 30 * kSeconds;

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
    : options_(options),
      random_(options.seed),
      duration_((2 + random_.Below(4)) * kSecond),
      rarely_(random_.OneIn(2)) {
  cut_until_.resize(options.hosts);
  deaf_until_.resize(options.hosts);
  is_out_.resize(options.nexuses);
  out_since_.resize(options.nexuses);
  for (size_t i = 0; i < options.nexuses; i++) {
    const Nexus nexus = SimulatedNexusOf(i);
    nexuses_.push_back({"n" + std::to_string(i), NexusKey(nexus), nexus, {}});
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
    // Wherever it runs; a host that is dead may have one, too, that does not know of it.
    const size_t nexus = random_.Below(nexuses_.size()), first = RandomHost();
    for (size_t i = 0; i < hosts_.size(); i++) {
      SimulatedHost& host = *hosts_[(first + i) % hosts_.size()];
      if (host.gate().slots[nexus].owner == 0) continue;
      host.StartCommand(nexus);
      break;
    }
    After(static_cast<Instant>(random_.Below(60 * kMs)), command);
  };
  std::function<void()> change = [&] {
    if (now_ > options_.length + kCalm - kRest) return;
    hosts_[RandomHost()]->StartChange();
    After(static_cast<Instant>(random_.Below(2 * kSeconds)), change);
  };
  std::function<void()> manage = [&] {
    if (now_ > options_.length + kCalm - kRest) return;
    Manage();
    After(static_cast<Instant>(random_.Below(600 * kMs)), manage);
  };
  std::function<void()> fault = [&] {
    if (is_calm_) return;
    Fault();
    After(static_cast<Instant>(random_.Below(rarely_ ? 30 * kSeconds : 3 * kSeconds)), fault);
  };
  command();
  After(kSeconds, manage);
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

// Whether the change that is committed takes something away from a nexus that is being migrated.
bool Simulation::HasMovingVictim() const {
  const Records records = Look();
  if (!records.change) return false;
  return std::ranges::any_of(records.change->victims, [&](const Victim& victim) {
    const auto record = records.nexuses.find(victim.nexus);
    return record != records.nexuses.end() && !record->second.heir.empty();
  });
}

void Simulation::Request(size_t host, const Transaction& transaction, Done done) {
  const auto is_answered = std::make_shared<bool>(false);
  const auto once = [is_answered, done](const Answer& answer) {
    if (!std::exchange(*is_answered, true)) done(answer);
  };
  const bool writes = !transaction.writes.empty();
  if (writes && transaction.compares.empty()) Violation("a write that compares nothing");
  const bool commits = writes && transaction.writes[0].key == keys_.State(kUnit);
  if (commits && !is_calm_ && random_.OneIn(HasMovingVictim() ? 2 : 12)) {
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
  if (transaction.writes.empty()) {
    *answer = store_.Apply(transaction);
    return;
  }
  const Records before = Look();
  std::vector<std::string> hosts_before;
  for (const auto& each : hosts_) {
    const auto* entry = store_.Find(keys_.Host(each->name()));
    hosts_before.push_back(entry == nullptr ? "" : entry->value);
  }
  *answer = store_.Apply(transaction);
  if (answer->outcome != Outcome::kApplied) return;
  Hint(transaction);
  for (const Write& write : transaction.writes) {
    Trace("h" + std::to_string(host) + " writes " + write.key + " " + write.value.value_or("-"));
    for (size_t i = 0; i < hosts_.size(); i++) {
      if (write.key != keys_.Host(hosts_[i]->name())) continue;
      CheckHostRecord(host, i, hosts_before[i], write.value.value_or(""));
    }
  }
  const Records after = Look();
  if (before.state != after.state) CheckState(host, before, after);
  for (size_t i = 0; i < nexuses_.size(); i++) {
    const std::string key = keys_.OfNexus(kUnit, nexuses_[i].key);
    if (std::ranges::find(transaction.writes, key, &Write::key) != transaction.writes.end()) {
      CheckNexus(host, i, before, after);
    }
  }
  CheckHosts(before, after);
}

// A watch tells it, or it does not, or not what; or something that was once.
void Simulation::Hint(const Transaction& transaction) {
  constexpr size_t kMost = 50;
  told_.push_back(NewsOf(transaction, store_.revision()));
  if (told_.size() > kMost) told_.pop_front();
  for (const auto& host : hosts_) {
    if (random_.OneIn(4)) continue;
    std::vector<News> news = told_.back();
    if (!is_calm_ && random_.OneIn(10)) news = told_[random_.Below(told_.size())];
    if (random_.OneIn(10)) news.clear();
    After(random_.Delay(2 * kMs, 5 * kSeconds, 20), [&host, news] { host->Hint(news); });
  }
}

// ---------------------------------------------------------------- Faults

void Simulation::Fault() {
  const size_t index = random_.Below(hosts_.size());
  SimulatedHost& host = *hosts_[index];
  const Instant length = random_.Delay(3 * kSeconds, 20 * kSeconds, 2);
  switch (random_.Below(9)) {
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
    case 7:
      if (!host.is_up()) return;
      Trace("a VM of " + host.name() + " has the members' lock for " +
            std::to_string(length / kMs) + " ms");
      host.gate().locked_until = now_ + length / 2;
      return;
    default: return;
  }
}

// One that is being migrated, or has left something on a host that is dead, often.
size_t Simulation::ChooseVictim() {
  const size_t index = random_.Below(nexuses_.size());
  if (random_.OneIn(2)) return index;
  const Records records = Look();
  for (size_t i = 0; i < nexuses_.size(); i++) {
    const auto record = records.nexuses.find(nexuses_[i].key);
    if (record == records.nexuses.end()) continue;
    if (!record->second.heir.empty() || !record->second.remains.empty()) return i;
  }
  return index;
}

// Just when somebody waits for it, and it has something under way.
void Simulation::MaybeSilence(size_t nexus, size_t but_not) {
  if (is_calm_ || !random_.OneIn(rarely_ ? 20 : 4)) return;
  for (const SimulatedVm* vm : Vms()) {
    const size_t host = vm->host().index();
    if (vm->nexus() != nexus || host == but_not) continue;
    vm->host().StartCommand(nexus);
    After(static_cast<Instant>(random_.Below(100'000)), [=, this] { Silence(host); });
    break;
  }
}

void Simulation::Silence(size_t index) {
  const Instant until = now_ + 4 * kSeconds + random_.Delay(12 * kSeconds, 40 * kSeconds, 4);
  Trace(hosts_[index]->name() + " falls silent until " + std::to_string(until / kMs) + " ms");
  switch (random_.Below(8)) {
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
    hosts_[i]->gate().locked_until = 0;
  }
}

}  // namespace scsi_pr::agent
