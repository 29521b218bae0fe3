// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulated_host.h"

#include <algorithm>
#include <utility>

#include "simulated_daemon.h"

namespace scsi_pr::agent {

namespace {

constexpr Instant kMicrosecond = 1000;

}  // namespace

// ---------------------------------------------------------------- The machine

SimulatedHost::SimulatedHost(Simulation& simulation, size_t index)
    : simulation_(simulation),
      index_(index),
      name_("h" + std::to_string(index)),
      // Two clocks differ by less than 1 %.
      rate_(0.9955 + 0.009 * static_cast<double>(simulation.random_.Below(1000)) / 1000),
      offset_((1 + simulation.random_.Below(100000)) * kSecond) {
  PowerOn();
}

SimulatedHost::~SimulatedHost() = default;

Time SimulatedHost::Now() const {
  return offset_ + static_cast<Time>(static_cast<double>(simulation_.now_) * rate_);
}

bool SimulatedHost::is_frozen() const {
  return simulation_.now_ < std::max(frozen_until_, daemon_frozen_until_);
}

void SimulatedHost::PowerOn() {
  up_ = true;
  boot_id_ = "boot-" + name_ + "-" + std::to_string(++boots_);
  gate_ = {};
  gate_.slots.resize(simulation_.nexuses_.size());
  StartDaemon();
}

void SimulatedHost::PowerOff() {
  StopDaemon();
  up_ = false;
  boots_++;
  gate_.admit_until = 0;
  gate_.is_shut = true;
  in_flight_.clear();
  vms_.clear();
}

void SimulatedHost::StartDaemon() {
  if (up_ && !daemon_) daemon_ = std::make_unique<SimulatedDaemon>(*this);
}

// Who has asked it something sees that.
void SimulatedHost::StopDaemon() {
  daemons_++;
  const auto daemon = std::move(daemon_);
  drains_.clear();
  if (!daemon) return;
  for (const auto& done : daemon->Unanswered()) Step(kMicrosecond, [done] { done(false, false); });
}

void SimulatedHost::Step(Instant delay, std::function<void()> act) {
  simulation_.After(delay, [this, boots = boots_, act = std::move(act)] {
    if (boots != boots_) return;
    if (simulation_.now_ >= frozen_until_) return act();
    // All go on together, in any order.
    const auto jitter = static_cast<Instant>(simulation_.random_.Below(300) * kMicrosecond);
    Step(frozen_until_ - simulation_.now_ + jitter, act);
  });
}

void SimulatedHost::DaemonStep(Instant delay, std::function<void()> act) {
  Step(delay, [this, daemons = daemons_, act = std::move(act)] {
    if (daemons != daemons_) return;
    if (simulation_.now_ >= daemon_frozen_until_) return act();
    DaemonStep(daemon_frozen_until_ - simulation_.now_, act);
  });
}

void SimulatedHost::Hint(const std::vector<News>& news) {
  if (daemon_) DaemonStep(0, [this, news] { daemon_->Hint(news); });
}

void SimulatedHost::StartChange() {
  if (!up_ || !daemon_ || daemon_->has_change() || is_frozen()) return;
  Random& random = simulation_.random_;
  // Two at a time are not the most interesting.
  const auto* change = simulation_.store_.Find(simulation_.keys_.Change(kSimulatedUnit));
  if (change != nullptr && !random.OneIn(4)) return;
  SimulatedDaemon::Plan plan;
  const size_t count = simulation_.nexuses_.size();
  plan.aborts = random.OneIn(2);
  if (!random.OneIn(3)) plan.victims.push_back(simulation_.ChooseVictim());
  if (!plan.victims.empty() && random.OneIn(3)) plan.victims.push_back(random.Below(count));
  plan.aptpl = random.OneIn(4);
  plan.newcomers = random.OneIn(3) ? uint64_t{1} << random.Below(count) : SimulatedState::kAll;
  plan.told = random.Next() & random.Next();
  if (!plan.victims.empty()) simulation_.MaybeSilence(plan.victims[0], index_);
  daemon_->StartChange(plan, (2 + random.Below(14)) * kSecond);
}

std::string SimulatedHost::WhyNotAtRest() const {
  if (!daemon_ || daemon_->membership().phase() != Membership::Phase::kMember) {
    return name_ + " is no member";
  }
  return admits() ? "" : name_ + " admits nothing";
}

// ---------------------------------------------------------------- VMs

SimulatedVm* SimulatedHost::StartVm(size_t nexus) {
  SimulatedSlot& slot = gate_.slots[nexus];
  if (!up_ || slot.vm != 0) return nullptr;
  const uint64_t id = ++simulation_.vms_;
  // Allowed nothing, until the daemon finds the record.
  slot = {.vm = id, .owner = 0, .allowed = 0, .version = gate_.version, .attentions = {}};
  return (vms_[id] = std::make_unique<SimulatedVm>(*this, id, nexus)).get();
}

SimulatedVm* SimulatedHost::FindVm(uint64_t id) const {
  const auto found = vms_.find(id);
  return found == vms_.end() ? nullptr : found->second.get();
}

bool SimulatedHost::HasCommands(uint64_t vm) const {
  return std::ranges::any_of(in_flight_, [vm](const auto& each) { return each.second.vm == vm; });
}

void SimulatedHost::EndVm(uint64_t vm) {
  const SimulatedVm* ending = FindVm(vm);
  if (ending == nullptr) return;
  std::vector<uint64_t> commands;
  for (const auto& [id, command] : in_flight_) {
    if (command.vm == vm) commands.push_back(id);
  }
  for (const uint64_t id : commands) Leave(id);
  gate_.slots[ending->nexus()] = {};
  vms_.erase(vm);
}

// ---------------------------------------------------------------- Commands

// Counted, then the clock, then on its way, then over: gate/gate.h of a store with a deadline.
void SimulatedHost::StartCommand(size_t nexus) {
  if (!up_ || simulation_.now_ < frozen_until_) return;
  SimulatedSlot& slot = gate_.slots[nexus];
  if (slot.owner == 0) return;
  SimulatedVm& vm = *FindVm(slot.owner);
  if (!vm.is_running()) return;
  // It is told first what there is, as the reservation commands tell it, too.
  if (!slot.attentions.empty() && admits() && simulation_.random_.OneIn(3)) {
    simulation_.CheckHeard(vm, slot.attentions.front());
    slot.attentions.pop_front();
  }
  if (!MayWrite(slot.allowed)) return;
  const uint64_t id = ++commands_;
  in_flight_[id] = {vm.id(), nexus, simulation_.now_, gate_.incarnation, false};
  Step(simulation_.random_.Delay(20 * kMicrosecond, 3'000'000'000, 50), [this, id] { Check(id); });
}

// Its VM may have ended meanwhile.
void SimulatedHost::Check(uint64_t id) {
  if (!in_flight_.contains(id)) return;
  if (!admits()) return Leave(id);
  simulation_.CheckAdmitted(in_flight_.at(id), *this);
  Step(simulation_.random_.Delay(50 * kMicrosecond, 6'000'000'000, 50), [this, id] { Submit(id); });
}

void SimulatedHost::Submit(uint64_t id) {
  if (!in_flight_.contains(id)) return;
  if (in_flight_.at(id).stale) {
    simulation_.Violation("a command of " + simulation_.nexuses_[in_flight_.at(id).nexus].name +
                          " reaches the medium after its PREEMPT AND ABORT was GOOD");
  }
  Step(simulation_.random_.Delay(500 * kMicrosecond, 1'000'000'000, 50), [this, id] { Leave(id); });
}

void SimulatedHost::Leave(uint64_t id) {
  in_flight_.erase(id);
  for (auto& [waited, drained] : drains_) {
    std::erase(waited, id);
    if (waited.empty()) drained();
  }
  std::erase_if(drains_, [](const auto& drain) { return drain.first.empty(); });
}

void SimulatedHost::Drain(const std::vector<size_t>* nexuses, std::function<void()> drained) {
  std::vector<uint64_t> waited;
  for (const auto& [id, command] : in_flight_) {
    if (nexuses == nullptr || std::ranges::find(*nexuses, command.nexus) != nexuses->end()) {
      waited.push_back(id);
    }
  }
  if (waited.empty()) return drained();
  drains_.emplace_back(std::move(waited), std::move(drained));
}

void SimulatedHost::MarkStale(size_t nexus, Instant before) {
  for (auto& [id, command] : in_flight_) {
    if (command.nexus == nexus && command.counted < before) command.stale = true;
  }
}

}  // namespace scsi_pr::agent
