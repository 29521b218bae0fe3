// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/gate.h"

#include <glib.h>
#include <time.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "gate/crash_point.h"
#include "spc/text.h"

namespace scsi_pr {

namespace {

// Of an array that a 0 may end.
template <size_t kBytes>
std::string_view Text(const char (&array)[kBytes]) {
  return {array, strnlen(array, kBytes)};
}

template <size_t kBytes>
void Fill(char (&array)[kBytes], std::string_view text) {
  memcpy(array, text.data(), std::min(text.size(), kBytes));
}

bool IsPreemption(Sense condition) {
  return condition == sense::kReservationsPreempted || condition == sense::kRegistrationsPreempted;
}

AccessMask Limited(AccessMask access, const Nexus& nexus, const Publication& how) {
  if (!how.limit) return access;
  const Publication::Limit limit = how.limit(nexus);
  return (access & limit.most) | (limit.held ? kHeld : 0);
}

}  // namespace

uint64_t BootTime() {
  struct timespec now = {};
  // It cannot fail on Linux; if it did, nothing would be in time.
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) return ~uint64_t{0};
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Of a command that was counted behind a drain the step that began the drain has been
// seen (Admission::Enter() acquires what it released), and so is what was stored before.
bool GateSlot::IsLate(Admission::Epoch epoch, Admission::WhyNot* why) {
  CrashPoint("counted");
  const uint64_t until = admit_until();
  if (BootTime() <= until) return false;
  Leave(epoch);
  if (why != nullptr) *why = Admission::WhyNot::kDeadline;
  return true;
}

std::optional<Nexus> GateSlot::nexus() const {
  const auto occupant = occupant_.Load();
  if (!occupant) return std::nullopt;
  std::string error;
  const auto initiator = TransportId::FromText(Text(occupant->initiator), &error);
  if (!initiator) return std::nullopt;
  return Nexus{*initiator, occupant->target_port};
}

std::string GateSlot::owner() const {
  const auto occupant = occupant_.Load();
  return occupant ? Printable(Text(occupant->owner)) : std::string();
}

void GateSlot::SetMedium(const std::string& medium) {
  uint64_t digest = 0xCBF29CE484222325;  // FNV-1a
  for (const unsigned char byte : medium) digest = (digest ^ byte) * 0x100000001B3;
  medium_.store(medium.empty() ? 0 : digest, std::memory_order_relaxed);
}

// AdmitUntil() sets the gate's first, then the slot's. If the gate's is still the same
// behind our store, whoever changes it stores to the slot behind that; if it is not, ours
// may have come too late, and is done again. Somebody who changes it for ever does not
// keep us: then nothing is admitted until he says the next.
void GateSlot::TakeAdmitUntil(const Gate& gate) {
  constexpr int kTries = 100;
  for (int tries = 0; tries < kTries; tries++) {
    const uint64_t until = gate.admit_until.load(std::memory_order_seq_cst);
    CrashPoint("deadline");
    SetAdmitUntil(until);
    if (gate.admit_until.load(std::memory_order_seq_cst) == until) return;
  }
  SetAdmitUntil(0);
}

void GateSlot::Attach(const Gate& gate, const Nexus& nexus, uint32_t process_id,
                      const Attacher& owner, AccessMask access, uint64_t version) {
  Occupant occupant = {};
  Fill(occupant.initiator, nexus.initiator.ToText());
  Fill(occupant.owner, Printable(owner.name, sizeof occupant.owner));
  occupant.target_port = nexus.target_port;
  occupant_.Store(occupant);
  SetMedium(owner.medium);
  attachment_.fetch_add(1, std::memory_order_acq_rel);
  process_id_.store(process_id, std::memory_order_relaxed);
  unit_attentions_.Reset(version);
  fencing_.store(0, std::memory_order_release);
  TakeAdmitUntil(gate);
  admission_.Reset(access);
  attached_.store(1, std::memory_order_release);
}

Admission::Tenure GateSlot::BeginTenure(uint32_t process_id) {
  process_id_.store(process_id, std::memory_order_relaxed);
  bool ended_drain = false;
  const Admission::Tenure tenure = admission_.BeginTenure(&ended_drain);
  if (ended_drain) drained_.Ring();
  return tenure;
}

// What a dead process had on its way is gone with it.
void GateSlot::Detach() {
  admission_.Reset(0);
  attached_.store(0, std::memory_order_release);
}

bool GateSlot::BeginDrain(AccessMask keep) {
  if (!admission_.BeginDrain(keep)) return false;
  fencing_.store(1, std::memory_order_release);
  abort_requests_.fetch_add(1, std::memory_order_acq_rel);
  return true;
}

bool GateSlot::Tell(uint64_t version, const std::vector<Sense>& conditions) {
  if (conditions.empty() || unit_attentions_.HasRaised(version)) return false;
  if (std::ranges::any_of(conditions, IsPreemption)) {
    preemptions_.fetch_add(1, std::memory_order_acq_rel);
  }
  CrashPoint("telling");
  return unit_attentions_.Raise(version, conditions);
}

// Counted before it is forgotten: whoever repeats this after a death may count
// it twice, but never not at all.
bool GateSlot::EndFencing(bool committed) {
  const bool fenced = committed && fencing_.load(std::memory_order_acquire) != 0;
  if (fenced) fencings_.fetch_add(1, std::memory_order_acq_rel);
  fencing_.store(0, std::memory_order_release);
  return fenced;
}

void Publish(Gate& gate, uint64_t version, const State& state,
             const std::vector<UnitAttention>& unit_attentions, const Publication& how) {
  // Another version: that fencing died before it was committed.
  const bool fenced = how.committed.value_or(gate.fencing.load() == version);
  bool news = false;
  for (GateSlot& slot : gate.slots) {
    const auto nexus = slot.attached_nexus();
    if (!nexus) continue;
    std::vector<Sense> conditions;
    for (const UnitAttention& attention : unit_attentions) {
      if (attention.Reaches(*nexus)) conditions.push_back(attention.sense);
    }
    if (slot.Tell(version, conditions)) news = true;
    slot.SetAccess(Limited(AllowedAccess(state, *nexus), *nexus, how));
    if (!slot.is_held() && slot.EndFencing(fenced)) news = true;
    CrashPoint("publishing");
  }
  gate.generation.store(state.generation, std::memory_order_relaxed);
  if (gate.published.exchange(version, std::memory_order_seq_cst) != version) news = true;
  CrashPoint("published");
  gate.fencing.store(0, std::memory_order_seq_cst);
  if (news) gate.doorbell.Ring();
}

void AdmitUntil(Gate& gate, uint64_t until) {
  gate.admit_until.store(until, std::memory_order_seq_cst);
  for (GateSlot& slot : gate.slots) slot.SetAdmitUntil(until);
}

}  // namespace scsi_pr
