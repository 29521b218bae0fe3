// SPDX-License-Identifier: GPL-2.0-or-later
//
// What must hold at every step of the simulation, and in the end.
#include <algorithm>
#include <utility>

#include "simulated_daemon.h"
#include "simulated_host.h"
#include "simulation.h"

namespace scsi_pr::agent {

namespace {

constexpr const char* kUnit = kSimulatedUnit;
constexpr Instant kMs = 1'000'000;

const NexusRecord& Of(const Records& records, const std::string& key) {
  static const NexusRecord kNone;
  const auto found = records.nexuses.find(key);
  return found == records.nexuses.end() ? kNone : found->second;
}

}  // namespace

Records Simulation::Look() const {
  Records records;
  bool is_sound = true;
  if (const auto* entry = store_.Find(keys_.State(kUnit))) {
    is_sound &= Decode(entry->value, &records.state.emplace()).ok();
  }
  if (const auto* entry = store_.Find(keys_.Change(kUnit))) {
    is_sound &= Decode(entry->value, &records.change.emplace()).ok();
  }
  for (const SimulatedNexus& nexus : nexuses_) {
    const auto* entry = store_.Find(keys_.OfNexus(kUnit, nexus.key));
    if (entry != nullptr) is_sound &= Decode(entry->value, &records.nexuses[nexus.key]).ok();
  }
  if (!is_sound) const_cast<Simulation*>(this)->Violation("a record was destroyed");
  return records;
}

HostRecord Simulation::RecordOf(const std::string& host) const {
  HostRecord record;
  const auto* entry = store_.Find(keys_.Host(host));
  if (entry != nullptr) static_cast<void>(Decode(entry->value, &record).ok());
  return record;
}

// Who has no record is no member, as who was forgotten.
bool Simulation::IsDead(const std::string& host) const {
  return store_.Find(keys_.Host(host)) == nullptr ||
         RecordOf(host).state == HostRecord::State::kDead;
}

bool Simulation::IsProvedDead(const std::string& host) const {
  const HostRecord record = RecordOf(host);
  return record.state == HostRecord::State::kDead && !record.proof.empty();
}

// ---------------------------------------------------------------- Hosts

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

// ---------------------------------------------------------------- The state

void Simulation::CheckState(size_t writer, const Records& before, const Records& after) {
  const StateRecord& state = *after.state;
  if (state.version != VersionOf(before.state) + 1) Violation("a version is left out");
  const std::string& id = state.nonces.front();
  const uint64_t old_mask = SimulatedState::MaskOf(before.state);
  const uint64_t mask = SimulatedState::MaskOf(after.state);
  committed_[id] = {now_, old_mask & ~mask, state.version};
  const auto planned = planned_.find(id);
  if (planned == planned_.end()) {
    CheckPowerOn(writer, before, after);
  } else {
    Count("commits");
    if (ended_.contains(id) && ended_[id] != Change::Result::kUnknown) {
      Violation("change " + id + " is committed after it has ended");
    }
  }
  for (const Told& told : before.state ? before.state->told : std::vector<Told>()) {
    if (std::ranges::find(state.told, told) != state.told.end()) continue;
    if (state.told.size() < StateRecord::kTold) Violation("what a version tells is left out");
    dropped_.insert(told.version);
  }
  for (size_t i = 0; i < nexuses_.size(); i++) {
    SimulatedNexus& nexus = nexuses_[i];
    const auto told = ToldSince(state, nexus.nexus, state.version - 1);
    if (!told.empty()) nexus.told.push_back(state.version);
    const bool is_to_be_told = planned != planned_.end() && (planned->second.told >> i & 1) != 0;
    if (is_to_be_told && told.empty() && before.nexuses.contains(nexus.key)) {
      Violation(nexus.name + " is attached, and is not told what " + id + " tells it");
    }
    if (((mask ^ old_mask) >> i & 1) == 0) continue;
    is_out_[i] = (mask >> i & 1) == 0;
    out_since_[i] = now_;
  }
}

// Whether it is to be counted as attached. `but_for` has nothing of it, as it says itself.
bool Simulation::KeepsUnitOn(const NexusRecord& record, const std::string& but_for) const {
  const auto keeps = [&](const std::string& host) {
    return !host.empty() && host != but_for && !IsProvedDead(host);
  };
  if (keeps(record.host) || keeps(record.heir)) return true;
  return std::ranges::any_of(record.remains, [this](const NexusRecord::Remains& each) {
    const HostRecord host = RecordOf(each.host);
    return host.incarnation == each.incarnation && host.proof.empty();
  });
}

void Simulation::CheckPowerOn(size_t writer, const Records& before, const Records& after) {
  Count("power on");
  const std::string& host = hosts_[writer]->name();
  for (const SimulatedNexus& nexus : nexuses_) {
    const bool is_own = Of(after, nexus.key).nonce == after.state->nonces.front();
    if (KeepsUnitOn(Of(before, nexus.key), is_own ? host : "")) {
      Violation(host + " powers the logical unit on, and " + nexus.name + " is attached");
    }
  }
  if (before.change) Violation(host + " powers the logical unit on during a change");
  if (SimulatedState::SurvivesPowerOn(before.state) ||
      SimulatedState::MaskOf(after.state) != SimulatedState::kAll) {
    Violation("that is no power on");
  }
}

// ---------------------------------------------------------------- Nexuses

void Simulation::CheckNexus(size_t writer, size_t nexus, const Records& before,
                            const Records& after) {
  const std::string& key = nexuses_[nexus].key;
  const std::string& name = nexuses_[nexus].name;
  const std::string& host = hosts_[writer]->name();
  const NexusRecord &was = Of(before, key), &is = Of(after, key);
  const bool was_elsewhere = !was.host.empty() && was.host != host;
  if (was_elsewhere && was.owned && !IsDead(was.host) && !(is.host == was.host && is.owned)) {
    Violation(host + " takes " + name + " away from " + was.host + ", which lives");
  }
  if (!is.host.empty() && is.host != was.host && is.host != host) {
    Violation(host + " gives " + name + " to " + is.host);
  }
  if (!is.heir.empty() && is.heir != was.heir && is.heir != host) {
    Violation(host + " makes " + is.heir + " the heir of " + name);
  }
  const bool lost_heir = !was.heir.empty() && is.heir != was.heir && was.heir != host;
  if (lost_heir && !IsDead(was.heir) && is.host != host) {
    Violation(host + " takes the place of " + was.heir + " as heir of " + name);
  }
  for (const std::string& whose : {is.host, is.heir}) {
    if (before.change && !whose.empty() && !was.IsAt(whose)) {
      Violation(name + " comes to " + whose + " during a change");
    }
  }
  const bool is_first = std::ranges::none_of(
      before.nexuses, [this](const auto& each) { return KeepsUnitOn(each.second, ""); });
  const bool has_come = !before.nexuses.contains(key) && is.owned;
  if (has_come && is_first && !SimulatedState::SurvivesPowerOn(before.state) &&
      before.state == after.state) {
    Violation(name + " is the first, and does not power the logical unit on");
  }
  CheckLost(host, nexus, was, is);
}

// What may be under way on hosts that are dead is not forgotten, but by the host itself.
void Simulation::CheckLost(const std::string& by, size_t nexus, const NexusRecord& was,
                           const NexusRecord& is) {
  std::vector<NexusRecord::Remains> remains = was.remains;
  const bool has_gone = was.owned && was.host != is.host && was.host != by;
  if (has_gone && RecordOf(was.host).state == HostRecord::State::kDead) {
    remains.push_back({was.host, RecordOf(was.host).incarnation});
  }
  for (const NexusRecord::Remains& each : remains) {
    const HostRecord host = RecordOf(each.host);
    if (host.incarnation != each.incarnation || !host.proof.empty()) continue;
    if (std::ranges::find(is.remains, each) == is.remains.end()) {
      Violation("what " + nexuses_[nexus].name + " has left on " + each.host + " is forgotten");
    }
    Count("remains");
  }
}

// Since when a nexus has been where.
void Simulation::CheckHosts(const Records& before, const Records& after) {
  for (size_t i = 0; i < nexuses_.size(); i++) {
    const NexusRecord &was = Of(before, nexuses_[i].key), &is = Of(after, nexuses_[i].key);
    for (const auto& host : hosts_) {
      if (was.IsAt(host->name()) == is.IsAt(host->name())) continue;
      at_since_[{i, host->name()}] = is.IsAt(host->name()) ? now_ : -1;
    }
  }
}

// A condition reaches a VM: the next one, and none is left out but those that are told no more.
void Simulation::CheckHeard(SimulatedVm& vm, uint64_t version) {
  Count("unit attentions");
  SimulatedNexus& nexus = nexuses_[vm.nexus()];
  if (version <= vm.heard) {
    return Violation(nexus.name + " is told twice of version " + std::to_string(version));
  }
  for (const uint64_t told : nexus.told) {
    if (told <= vm.heard || told >= version || dropped_.contains(told)) continue;
    Violation(nexus.name + " is not told of version " + std::to_string(told));
  }
  vm.heard = version;
}

// ---------------------------------------------------------------- Commands

// A command has passed its gate.
void Simulation::CheckAdmitted(const SimulatedCommand& command, const SimulatedHost& host) {
  Count("commands admitted");
  const SimulatedNexus& nexus = nexuses_[command.nexus];
  const HostRecord record = RecordOf(host.name());
  if (record.incarnation.empty()) return Violation(host.name() + " admits, and nobody knows it");
  if (record.state == HostRecord::State::kDead) {
    return Violation(host.name() + " admits after it was declared dead");
  }
  if (record.incarnation != host.gate().incarnation) {
    return Violation(host.name() + " admits as an incarnation that is over");
  }
  if (command.incarnation != host.gate().incarnation) {
    return Violation(nexus.name + " enters, counted before its host had joined");
  }
  if (is_out_[command.nexus] && command.counted > out_since_[command.nexus]) {
    return Violation(nexus.name + " enters after it has lost its access");
  }
  NexusRecord owner;
  const auto* entry = store_.Find(keys_.OfNexus(kUnit, nexus.key));
  if (entry != nullptr) static_cast<void>(Decode(entry->value, &owner).ok());
  if (owner.host != host.name() || !owner.owned) {
    Violation(nexus.name + " enters on " + host.name() + ", which does not own it");
  }
}

void Simulation::CheckEnded(const SimulatedHost& host, const std::string& id,
                            Change::Result result) {
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
  CheckPublished(host, committed->second, planned_[id].concerned);
  for (size_t i = 0; i < nexuses_.size(); i++) {
    if ((planned_[id].preempted >> i & 1) == 0) continue;
    for (const auto& each : hosts_) each->MarkStale(i, committed->second.time);
    Count("fenced");
  }
}

// All gates of those whom it concerns show it, or a second has passed.
void Simulation::CheckPublished(const SimulatedHost& host, const Committed& change,
                                uint64_t concerned) {
  const auto shows = [&](const SimulatedHost& other) {
    return !other.is_up() || other.gate().is_shut || other.gate().version >= change.version;
  };
  if (!shows(host)) return Violation("GOOD, and " + host.name() + " itself does not show it");
  if (now_ - change.time > 980 * kMs) return;
  Count("published in time");
  for (const auto& [where, since] : at_since_) {
    const auto other = std::ranges::find(hosts_, where.second, &SimulatedHost::name);
    if (since < 0 || since > change.time || shows(**other)) continue;
    if ((concerned >> where.first & 1) == 0) continue;
    if (IsDead(where.second)) continue;
    Violation("GOOD, and " + where.second + " does not show it yet");
  }
}

// ---------------------------------------------------------------- The end

// Nothing is left shut, nobody outside, nothing half done.
void Simulation::CheckRest() {
  const Records records = Look();
  if (records.change) return Violation("a change is left");
  for (const auto& host : hosts_) {
    const std::string why = host->WhyNotAtRest();
    if (!why.empty()) return Violation(why + " in the end");
  }
  for (SimulatedVm* vm : Vms()) CheckVmAtRest(*vm, records);
  for (const auto& nexus : records.nexuses) {
    for (const auto& host : hosts_) {
      const auto has = [&](const auto& vm) {
        return nexuses_[vm.second->nexus()].key == nexus.first;
      };
      if (nexus.second.IsAt(host->name()) && std::ranges::none_of(host->vms(), has)) {
        Violation(host->name() + " has no VM, and a record of it in the end");
      }
    }
  }
}

void Simulation::CheckVmAtRest(SimulatedVm& vm, const Records& records) {
  SimulatedNexus& nexus = nexuses_[vm.nexus()];
  SimulatedSlot& slot = vm.host().gate().slots[vm.nexus()];
  const uint64_t mask = SimulatedState::MaskOf(records.state);
  if (!vm.is_running()) return;
  Count("run in the end");
  const NexusRecord& record = Of(records, nexus.key);
  if (record.host != vm.host().name() || !record.owned) {
    return Violation(nexus.name + " runs, and does not belong to its host in the end");
  }
  if (MayWrite(slot.allowed) != ((mask >> vm.nexus() & 1) != 0)) {
    return Violation(nexus.name + (MayWrite(slot.allowed) ? " is open" : " is shut") +
                     " in the end");
  }
  for (const uint64_t version : slot.attentions) CheckHeard(vm, version);
  for (const uint64_t told : nexus.told) {
    if (told > vm.heard && !dropped_.contains(told)) {
      Violation(nexus.name + " was not told of version " + std::to_string(told) + " in the end");
    }
  }
}

}  // namespace scsi_pr::agent
