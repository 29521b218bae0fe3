// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/gate.h"

#include <glib.h>

#include <algorithm>

#include "gate/crash_point.h"

namespace scsi_pr {

namespace {

// The word of a UnitAttentionQueue: 40 bits of version, four places of 6 bits
// for codes, the oldest lowest, 0 for a free place. A code is 1 + an index
// into kConditions; as many places as there are codes cannot overflow.
constexpr unsigned kCodeBits = 6;
constexpr uint64_t kCodeMask = (1u << kCodeBits) - 1;
constexpr unsigned kPlaces = 4;
constexpr unsigned kVersionShift = kCodeBits * kPlaces;

constexpr Sense kConditions[] = {
    sense::kReservationsPreempted,
    sense::kReservationsReleased,
    sense::kRegistrationsPreempted,
    sense::kBusDeviceResetFunctionOccurred,
};
static_assert(std::size(kConditions) <= kPlaces);

constexpr uint64_t VersionOf(uint64_t word) { return word >> kVersionShift; }
constexpr uint64_t CodesOf(uint64_t word) { return word & ((uint64_t{1} << kVersionShift) - 1); }

// 0 for one that is none of these.
uint64_t CodeOf(Sense sense) {
  const auto* found = std::ranges::find(kConditions, sense);
  return found == std::end(kConditions) ? 0 : static_cast<uint64_t>(found - kConditions) + 1;
}

// `codes` with `code` behind those that are pending, or as they are.
uint64_t WithCode(uint64_t codes, uint64_t code) {
  unsigned shift = 0;
  for (; (codes >> shift & kCodeMask) != 0; shift += kCodeBits) {
    if ((codes >> shift & kCodeMask) == code) return codes;
  }
  return codes | code << shift;
}

// The memory is shared: a code that nobody writes must not reach the table.
std::vector<Sense> ConditionsOf(uint64_t word) {
  std::vector<Sense> conditions;
  for (uint64_t codes = CodesOf(word); codes != 0; codes >>= kCodeBits) {
    const uint64_t code = codes & kCodeMask;
    if (code != 0 && code <= std::size(kConditions)) conditions.push_back(kConditions[code - 1]);
  }
  return conditions;
}

}  // namespace

bool UnitAttentionQueue::Raise(uint64_t version, Sense sense) {
  const uint64_t code = CodeOf(sense);
  uint64_t word = word_.load();
  uint64_t next = 0;
  do {
    if (VersionOf(word) >= version) return false;
    next = version << kVersionShift | WithCode(CodesOf(word), code);
  } while (!word_.compare_exchange_weak(word, next));
  return true;
}

std::optional<Sense> UnitAttentionQueue::Take() {
  uint64_t word = word_.load(std::memory_order_acquire);
  uint64_t next = 0;
  do {
    if (CodesOf(word) == 0) return std::nullopt;
    next = VersionOf(word) << kVersionShift | CodesOf(word) >> kCodeBits;
  } while (!word_.compare_exchange_weak(word, next));
  // The memory is shared: a code that nobody writes must not reach the table.
  const uint64_t code = word & kCodeMask;
  if (code == 0 || code > std::size(kConditions)) return std::nullopt;
  return kConditions[code - 1];
}

std::vector<Sense> UnitAttentionQueue::List() const { return ConditionsOf(word_.load()); }

void UnitAttentionQueue::Insert(const std::vector<Sense>& first, const std::vector<Sense>& last) {
  uint64_t word = word_.load();
  uint64_t codes = 0;
  do {
    codes = 0;
    for (const Sense sense : first) codes = WithCode(codes, CodeOf(sense));
    for (const Sense sense : ConditionsOf(word)) codes = WithCode(codes, CodeOf(sense));
    for (const Sense sense : last) codes = WithCode(codes, CodeOf(sense));
  } while (!word_.compare_exchange_weak(word, VersionOf(word) << kVersionShift | codes));
}

bool UnitAttentionQueue::CanHold(Sense sense) {
  return std::ranges::find(kConditions, sense) != std::end(kConditions);
}

void UnitAttentionQueue::Reset(uint64_t version) { word_.store(version << kVersionShift); }

std::optional<Nexus> GateSlot::nexus() const {
  std::string error;
  const std::string text(initiator_, strnlen(initiator_, sizeof initiator_));
  const auto initiator = TransportId::FromText(text, &error);
  if (!initiator) return std::nullopt;
  return Nexus{*initiator, target_port_};
}

std::string GateSlot::owner() const { return std::string(owner_, strnlen(owner_, sizeof owner_)); }

void GateSlot::SetMedium(const std::string& medium) {
  uint64_t digest = 0xCBF29CE484222325;  // FNV-1a
  for (const unsigned char byte : medium) digest = (digest ^ byte) * 0x100000001B3;
  medium_.store(medium.empty() ? 0 : digest, std::memory_order_relaxed);
}

void GateSlot::Attach(const Nexus& nexus, uint32_t process_id, const Attacher& owner,
                      AccessMask access, uint64_t version) {
  g_strlcpy(initiator_, nexus.initiator.ToText().c_str(), sizeof initiator_);
  g_strlcpy(owner_, owner.name.c_str(), sizeof owner_);
  SetMedium(owner.medium);
  target_port_ = nexus.target_port;
  attachment_++;
  process_id_.store(process_id, std::memory_order_relaxed);
  unit_attentions_.Reset(version);
  fencing_.store(0, std::memory_order_release);
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

// Counted before it is forgotten: whoever repeats this after a death may count
// it twice, but never not at all.
bool GateSlot::EndFencing(bool committed) {
  const bool fenced = committed && fencing_.load(std::memory_order_acquire) != 0;
  if (fenced) fencings_.fetch_add(1, std::memory_order_acq_rel);
  fencing_.store(0, std::memory_order_release);
  return fenced;
}

namespace {

bool IsPreemption(Sense sense) {
  return sense == sense::kReservationsPreempted || sense == sense::kRegistrationsPreempted;
}

}  // namespace

void Publish(Gate& gate, uint64_t version, const State& state,
             const std::vector<UnitAttention>& unit_attentions) {
  // Another version: that fencing died before it was committed.
  const bool fenced = gate.fencing.load() == version;
  bool news = false;
  for (GateSlot& slot : gate.slots) {
    const auto nexus = slot.attached_nexus();
    if (!nexus) continue;
    for (const UnitAttention& attention : unit_attentions) {
      if (!attention.Reaches(*nexus)) continue;
      const bool is_new = slot.unit_attentions().Raise(version, attention.sense);
      if (!is_new || !IsPreemption(attention.sense)) continue;
      slot.CountPreemption();
      news = true;
    }
    slot.SetAccess(AllowedAccess(state, *nexus));
    if (slot.EndFencing(fenced)) news = true;
    CrashPoint("publishing");
  }
  gate.generation.store(state.generation, std::memory_order_relaxed);
  if (gate.published.exchange(version, std::memory_order_seq_cst) != version) news = true;
  CrashPoint("published");
  gate.fencing.store(0, std::memory_order_seq_cst);
  if (news) gate.doorbell.Ring();
}

}  // namespace scsi_pr
