// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who starts, ends and migrates the VMs of the simulation: an administrator who is not careful.
#include <algorithm>
#include <utility>

#include "simulated_daemon.h"
#include "simulated_host.h"
#include "simulation.h"

namespace scsi_pr::agent {

namespace {

constexpr Instant kMs = 1'000'000;
constexpr Instant kSeconds = 1000 * kMs;

}  // namespace

struct Simulation::Migration {
  uint64_t source = 0, destination = 0;
  std::optional<SimulatedHandedOver> handed;
};

SimulatedVm* Simulation::FindVm(uint64_t id) const {
  for (const auto& host : hosts_) {
    if (SimulatedVm* vm = host->FindVm(id)) return vm;
  }
  return nullptr;
}

std::vector<SimulatedVm*> Simulation::Vms() const {
  std::vector<SimulatedVm*> vms;
  for (const auto& host : hosts_) {
    for (const auto& [id, vm] : host->vms()) {
      if (!vm->is_dying()) vms.push_back(vm.get());
    }
  }
  return vms;
}

void Simulation::Manage() {
  TidyUp();
  switch (random_.Below(is_calm_ ? 2 : 6)) {
    case 0:
    case 1:
    case 2: return StartVm();
    case 3:
    case 4: return Migrate();
    default: {
      const std::vector<SimulatedVm*> vms = Vms();
      if (!vms.empty() && random_.OneIn(rarely_ ? 8 : 3)) vms[random_.Below(vms.size())]->Kill();
    }
  }
}

void Simulation::StartVm() {
  const size_t nexus = random_.Below(nexuses_.size());
  const bool is_there = std::ranges::any_of(Vms(), [nexus, this](const SimulatedVm* vm) {
    // One whose host does not answer is started elsewhere.
    return vm->nexus() == nexus && (is_calm_ || !vm->host().is_frozen());
  });
  // Now and then once more, by mistake.
  if (is_there && (is_calm_ || !random_.OneIn(8))) return;
  SimulatedHost& host = *hosts_[RandomHost()];
  SimulatedVm* vm = host.StartVm(nexus);
  if (vm == nullptr) return;
  Trace(nexuses_[nexus].name + " is started on " + host.name());
  const bool incoming = !is_calm_ && random_.OneIn(8);  // from a file
  vm->Attach(incoming, [this, id = vm->id()](bool ok, bool owned) {
    if (!ok || !owned) FindVm(id)->Kill();
  });
}

void Simulation::Migrate() {
  const std::vector<SimulatedVm*> vms = Vms();
  if (vms.empty()) return;
  SimulatedVm* source = vms[random_.Below(vms.size())];
  SimulatedHost& to = *hosts_[RandomHost()];
  if (!source->is_running() || &to == &source->host()) return;
  SimulatedVm* destination = to.StartVm(source->nexus());
  if (destination == nullptr) return;
  Trace(nexuses_[source->nexus()].name + " is migrated from " + source->host().name() + " to " +
        to.name());
  Count("migrations");
  const auto migration = std::make_shared<Migration>();
  migration->source = source->id();
  migration->destination = destination->id();
  destination->Attach(true, [=, this](bool ok, bool owned) { Arrived(migration, ok, owned); });
}

// The destination has attached.
void Simulation::Arrived(const std::shared_ptr<Migration>& migration, bool ok, bool owned) {
  if (ok && owned) return;  // the source has gone
  if (!ok) return FindVm(migration->destination)->Kill();
  After(random_.Delay(kSeconds, 5 * kSeconds, 4), [=, this] {
    SimulatedVm* source = FindVm(migration->source);
    if (source == nullptr || random_.OneIn(6)) {  // cancelled
      if (SimulatedVm* there = FindVm(migration->destination)) there->Kill();
      return;
    }
    source->Pause([=, this](bool paused, bool) { Paused(migration, paused); });
  });
}

// The source has handed over, or does not know whether it has.
void Simulation::Paused(const std::shared_ptr<Migration>& migration, bool ok) {
  if (ok) migration->handed = FindVm(migration->source)->handed_over();
  const uint64_t fate = ok ? random_.Below(8) : 7;
  After(random_.Delay(10 * kMs, 3 * kSeconds, 6), [=, this] {
    // Fails; or goes on there; or nobody knows, and both are told to go on.
    if (fate >= 6) {
      SimulatedVm* there = FindVm(migration->destination);
      if (there != nullptr && random_.OneIn(2)) there->Kill();
    }
    if (fate <= 5) GoOn(migration, true);
    if (fate >= 5) GoOn(migration, false);
  });
}

void Simulation::GoOn(const std::shared_ptr<Migration>& migration, bool there) {
  const uint64_t id = there ? migration->destination : migration->source;
  SimulatedVm* vm = FindVm(id);
  if (vm == nullptr) return;
  vm->Resume(there ? migration->handed : std::nullopt, [=, this](bool ok, bool) {
    if (!ok) return FindVm(id)->Kill();
    Count(there ? "gone on elsewhere" : "taken back");
    SimulatedVm* other = FindVm(there ? migration->source : migration->destination);
    if (other != nullptr && other->waits()) other->Kill();
  });
}

// Its nexus went on elsewhere, when its host was dead.
bool Simulation::IsLost(const SimulatedVm& vm) const {
  NexusRecord record;
  const auto* entry = store_.Find(keys_.OfNexus(kSimulatedUnit, nexuses_[vm.nexus()].key));
  return entry == nullptr || !Decode(entry->value, &record).ok() || !record.IsAt(vm.host().name());
}

// Somebody finds VMs that nobody goes on with: their migration has died half-way.
void Simulation::TidyUp() {
  for (SimulatedVm* vm : Vms()) {
    if (!random_.OneIn(is_calm_ ? 4 : 40)) continue;
    if (vm->is_running() && IsLost(*vm)) return vm->Kill();
    if (!vm->waits()) continue;
    if (vm->is_incoming() || random_.OneIn(2)) return vm->Kill();
    return vm->Resume(std::nullopt, [this, id = vm->id()](bool ok, bool) {
      if (!ok) FindVm(id)->Kill();
    });
  }
}

}  // namespace scsi_pr::agent
