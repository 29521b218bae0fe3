// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/fence.h"

#include <algorithm>

#include "gate/crash_point.h"
#include "gate/pace.h"

namespace scsi_pr {

Fence::Fence(Gate& gate, uint64_t version, const std::vector<Nexus>& preempted, const State& before,
             const State& after)
    : gate_(gate), version_(version), before_(before), after_(after), preempted_(preempted) {}

bool Fence::Shut() {
  // Everybody who could miss this publisher, should it die, knows before
  // anything is shut.
  gate_.fencing.store(version_, std::memory_order_seq_cst);
  gate_.doorbell.Ring();
  CrashPoint("fencing");
  for (size_t index = 0; index < Gate::kSlots; index++) {
    GateSlot& slot = gate_.slots[index];
    const auto nexus = slot.attached_nexus();
    const auto covers = [&](const Nexus& whom) { return whom.Covers(*nexus); };
    if (!nexus || std::ranges::none_of(preempted_, covers)) continue;
    slots_.push_back(index);
    if (!slot.BeginDrain(AllowedAccess(after_, *nexus))) return false;
    CrashPoint("shut");
  }
  if (!slots_.empty()) gate_.doorbell.Ring();
  CrashPoint("notified");
  return true;
}

bool Fence::DrainSlot(size_t index, const Watch& watch, Clock::time_point* late_at) {
  GateSlot& slot = gate_.slots[index];
  for (Pace pace;;) {
    pace.Keep();
    const uint32_t seen = slot.drained().count();
    if (slot.admission().draining() == 0 || !watch.is_owned(index)) return true;
    const auto now = Clock::now();
    if (now >= watch.deadline || watch.cancelled()) return false;
    if (now >= *late_at) {
      *late_at = Clock::time_point::max();
      watch.late();
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(watch.deadline - now);
    CrashPoint("waiting");
    slot.drained().Wait(seen, std::min(kPoll, left));
  }
}

bool Fence::Drain(const Watch& watch) {
  auto late_at = Clock::now() + kLate;
  for (const size_t index : slots_) {
    if (!DrainSlot(index, watch, &late_at)) return false;
  }
  CrashPoint("drained");
  return true;
}

// All of them: somebody may have come meanwhile.
void Fence::Reopen() {
  for (GateSlot& slot : gate_.slots) {
    const auto nexus = slot.attached_nexus();
    if (!nexus) continue;
    slot.SetAccess(AllowedAccess(before_, *nexus));
    slot.EndFencing(false);
    CrashPoint("reopening");
  }
  gate_.fencing.store(0, std::memory_order_seq_cst);
}

std::vector<size_t> Fence::Pending() const {
  std::vector<size_t> pending;
  std::ranges::copy_if(slots_, std::back_inserter(pending), [this](size_t index) {
    return gate_.slots[index].admission().draining() != 0;
  });
  return pending;
}

}  // namespace scsi_pr
