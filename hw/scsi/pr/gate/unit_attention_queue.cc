// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/unit_attention_queue.h"

#include <algorithm>

namespace scsi_pr {

namespace {

// The word: 40 bits of version, four places of 6 bits for codes, the oldest
// lowest, 0 for a free place. A code is 1 + an index into kConditions; as many
// places as there are codes cannot overflow.
constexpr unsigned kCodeBits = 6;
constexpr uint64_t kCodeMask = (1u << kCodeBits) - 1;
constexpr unsigned kPlaces = 4;
constexpr unsigned kVersionShift = kCodeBits * kPlaces;
constexpr uint64_t kVersionMask = (uint64_t{1} << (64 - kVersionShift)) - 1;

constexpr Sense kConditions[] = {
    sense::kReservationsPreempted,
    sense::kReservationsReleased,
    sense::kRegistrationsPreempted,
    sense::kBusDeviceResetFunctionOccurred,
};
static_assert(std::size(kConditions) <= kPlaces);

constexpr uint64_t Word(uint64_t version, uint64_t codes) {
  return version << kVersionShift | codes;
}
constexpr uint64_t VersionOf(uint64_t word) { return word >> kVersionShift; }
constexpr uint64_t CodesOf(uint64_t word) { return word & ((uint64_t{1} << kVersionShift) - 1); }

// Of the version there are the lowest bits. The one before it is the last that can be
// taken for the next round.
constexpr bool IsLater(uint64_t version, uint64_t word) {
  const uint64_t ahead = (version - VersionOf(word)) & kVersionMask;
  return ahead != 0 && ahead <= kVersionMask / 2;
}

// 0: a condition that the queue cannot hold.
uint64_t CodeOf(Sense condition) {
  const auto* found = std::ranges::find(kConditions, condition);
  return found == std::end(kConditions) ? 0 : static_cast<uint64_t>(found - kConditions) + 1;
}

// `codes`, which are sound, with `code` behind those that are pending, or as they are.
uint64_t WithCode(uint64_t codes, uint64_t code) {
  if (code == 0 || code > std::size(kConditions)) return codes;
  unsigned shift = 0;
  for (; (codes >> shift & kCodeMask) != 0; shift += kCodeBits) {
    if ((codes >> shift & kCodeMask) == code) return codes;
  }
  return codes | code << shift;
}

uint64_t WithConditions(uint64_t codes, const std::vector<Sense>& conditions) {
  for (const Sense condition : conditions) codes = WithCode(codes, CodeOf(condition));
  return codes;
}

// Behind `codes`, those of `word` that we write: known, each once, without gaps.
uint64_t WithThose(uint64_t codes, uint64_t word) {
  for (uint64_t raw = CodesOf(word); raw != 0; raw >>= kCodeBits) {
    codes = WithCode(codes, raw & kCodeMask);
  }
  return codes;
}
uint64_t SoundCodesOf(uint64_t word) { return WithThose(0, word); }

}  // namespace

bool UnitAttentionQueue::Raise(uint64_t version, const std::vector<Sense>& conditions) {
  uint64_t word = word_.load();
  uint64_t next = 0;
  do {
    if (!IsLater(version, word)) return false;
    next = Word(version, WithConditions(SoundCodesOf(word), conditions));
  } while (!word_.compare_exchange_weak(word, next));
  return true;
}

bool UnitAttentionQueue::HasRaised(uint64_t version) const {
  return !IsLater(version, word_.load());
}

std::optional<Sense> UnitAttentionQueue::Take() {
  uint64_t word = word_.load(std::memory_order_acquire);
  uint64_t codes = 0;
  do {
    if (CodesOf(word) == 0) return std::nullopt;
    codes = SoundCodesOf(word);
  } while (!word_.compare_exchange_weak(word, Word(VersionOf(word), codes >> kCodeBits)));
  if (codes == 0) return std::nullopt;
  return kConditions[(codes & kCodeMask) - 1];
}

std::vector<Sense> UnitAttentionQueue::List() const {
  std::vector<Sense> conditions;
  for (uint64_t codes = SoundCodesOf(word_.load()); codes != 0; codes >>= kCodeBits) {
    conditions.push_back(kConditions[(codes & kCodeMask) - 1]);
  }
  return conditions;
}

void UnitAttentionQueue::Insert(const std::vector<Sense>& first, const std::vector<Sense>& last) {
  uint64_t word = word_.load();
  uint64_t codes = 0;
  do {
    codes = WithConditions(WithThose(WithConditions(0, first), word), last);
  } while (!word_.compare_exchange_weak(word, Word(VersionOf(word), codes)));
}

void UnitAttentionQueue::Replace(const std::vector<Sense>& conditions) {
  uint64_t word = word_.load();
  while (!word_.compare_exchange_weak(word, Word(VersionOf(word), WithConditions(0, conditions)))) {
  }
}

bool UnitAttentionQueue::CanHold(Sense condition) { return CodeOf(condition) != 0; }

void UnitAttentionQueue::Reset(uint64_t version) { word_.store(Word(version, 0)); }

}  // namespace scsi_pr
