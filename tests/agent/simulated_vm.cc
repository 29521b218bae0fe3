// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulated_vm.h"

#include <utility>

#include "simulated_daemon.h"
#include "simulated_host.h"

namespace scsi_pr::agent {

namespace {

constexpr Instant kMs = 1'000'000;
constexpr Instant kSeconds = 1000 * kMs;
using What = NexusChange::What;

}  // namespace

void SimulatedVm::Later(Instant delay, State state, std::function<void(SimulatedVm&)> act) {
  host_.Step(delay, [&host = host_, id = id_, state, act = std::move(act)] {
    SimulatedVm* vm = host.FindVm(id);
    if (vm != nullptr && vm->state_ == state) act(*vm);
  });
}

void SimulatedVm::Ask(What what, Done done) {
  const auto again = [what, done](SimulatedVm& vm) { vm.Ask(what, done); };
  const auto answered = [&host = host_, id = id_, state = state_, done](bool ok, bool owned) {
    const SimulatedVm* vm = host.FindVm(id);
    if (vm != nullptr && vm->state_ == state) done(ok, owned);
  };
  if (!host_.daemon_ || !host_.daemon_->Operate(what, nexus_, answered)) {
    Later(50 * kMs, state_, again);
  }
}

void SimulatedVm::Attach(bool incoming, Done done) {
  const uint64_t since = host_.gate().slots[nexus_].version;
  Ask(incoming ? What::kAttachIncoming : What::kAttach, [this, since, done](bool ok, bool owned) {
    if (!ok) return done(false, false);
    state_ = State::kIncoming;
    heard = since;
    if (owned) Run();
    done(true, owned);
  });
}

void SimulatedVm::Run() {
  state_ = State::kRunning;
  host_.gate().slots[nexus_].owner = id_;
}

void SimulatedVm::Pause(Done done) {
  if (state_ != State::kRunning) return;
  state_ = State::kPausing;
  EndTenure(std::move(done));
}

void SimulatedVm::EndTenure(Done done) {
  if (host_.HasCommands(id_)) {
    return Later(5 * kMs, State::kPausing, [done](SimulatedVm& vm) { vm.EndTenure(done); });
  }
  host_.gate().slots[nexus_].owner = 0;
  Ask(What::kHandOver, [this, done](bool ok, bool owned) {
    state_ = State::kPaused;
    done(ok, owned);
  });
}

SimulatedHandedOver SimulatedVm::handed_over() const {
  const SimulatedSlot& slot = host_.gate().slots[nexus_];
  return {slot.version, heard, slot.attentions};
}

void SimulatedVm::Resume(const std::optional<SimulatedHandedOver>& handed, Done done) {
  constexpr int kTries = 20;
  if (!waits()) return;
  state_ = State::kResuming;
  if (handed) Arrive(*handed);
  TakeOver(kTries, std::move(done));
}

// Before the record says that this host has the nexus: only then it is told more.
void SimulatedVm::Arrive(const SimulatedHandedOver& handed) {
  SimulatedSlot& slot = host_.gate().slots[nexus_];
  slot.version = handed.version;
  slot.attentions = handed.attentions;
  heard = handed.heard;
}

void SimulatedVm::TakeOver(int tries, Done done) {
  Ask(What::kTakeOver, [this, tries, done](bool ok, bool owned) {
    if (!ok && tries > 0) {
      return Later(500 * kMs, State::kResuming,
                   [=](SimulatedVm& vm) { vm.TakeOver(tries - 1, done); });
    }
    state_ = State::kPaused;
    if (!ok) return done(false, false);
    Run();
    done(true, owned);
  });
}

// What it has sent reaches the medium, or does not, until the kernel has seen to its end.
void SimulatedVm::Kill() {
  if (state_ == State::kDying) return;
  state_ = State::kDying;
  host_.Step(host_.simulation_.random_.Delay(kMs, 3 * kSeconds, 10),
             [&host = host_, id = id_] { host.EndVm(id); });
}

}  // namespace scsi_pr::agent
