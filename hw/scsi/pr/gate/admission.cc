// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/admission.h"

#include <algorithm>

namespace scsi_pr {

// The number beside the word may be one ahead of it, while a drain begins. If it is
// the same before and after a look at the word, no drain has begun and another one
// ended in between. Somebody who writes there for ever does not keep us.
Admission::Epoch Admission::epoch() const {
  constexpr int kTries = 100;
  for (int tries = 1;; tries++) {
    const Epoch newest = epochs_.load(std::memory_order_acquire);
    const uint64_t word = word_.load(std::memory_order_acquire);
    if (epochs_.load(std::memory_order_relaxed) == newest || tries == kTries) {
      return WholeEpoch(newest, word);
    }
  }
}

Admission::WhyNot Admission::WhyRefused(uint64_t word, AccessClass access, Tenure tenure) {
  if (TenureOf(word) != (tenure & kTenureMask)) return WhyNot::kNotOwner;
  if ((word & Bit(access)) != 0) return WhyNot::kFull;
  if ((word & kHeld) != 0) return WhyNot::kHeld;
  return (word & kInformationLost) != 0 ? WhyNot::kInformationLost : WhyNot::kNoAccess;
}

std::optional<Admission::WhyNot> Admission::Refuses(AccessClass access, Tenure tenure) const {
  if (tenure == kNoTenure || !IsPresent(tenure)) return WhyNot::kNotOwner;
  const uint64_t word = word_.load(std::memory_order_acquire);
  if ((word & Bit(access)) != 0) return std::nullopt;
  return WhyRefused(word, access, tenure);
}

void Admission::SetAccess(AccessMask access) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(word, (word & ~kAccessMask) | (access & kAccessMask),
                                      std::memory_order_acq_rel, std::memory_order_relaxed)) {
  }
}

void Admission::Hold(AccessMask keep) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(word, (word & (~kAccessMask | keep)) | kHeld,
                                      std::memory_order_acq_rel, std::memory_order_relaxed)) {
  }
}

bool Admission::BeginDrain(AccessMask keep) {
  uint64_t word = word_.load(std::memory_order_acquire);
  uint32_t unfinished = unfinished_drains_.load(std::memory_order_relaxed);
  if (DrainingOf(word) == 0) unfinished = 0;
  if (unfinished >= kEpochMask) return false;
  unfinished_drains_.store(unfinished + 1, std::memory_order_relaxed);
  // Only publishers change the word's epoch, one at a time.
  const Epoch epoch = WholeEpoch(epochs_.load(std::memory_order_relaxed), word) + 1;
  // First: whoever enters in this epoch must find its number.
  epochs_.store(epoch, std::memory_order_release);
  uint64_t next = 0;
  do {
    const uint64_t draining =
        std::min<uint64_t>(uint64_t{DrainingOf(word)} + CurrentOf(word), kCountMask);
    next = (word & (keep | kHeld) & kAccessMask) | (epoch & kEpochMask) << kEpochShift |
           (word & kTenureMask << kTenureShift) | draining << kDrainingShift;
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                        std::memory_order_acquire));
  return true;
}

// Of the numbers with the word's bits the one that is next to that beside it: who
// begins or ends a tenure may have died between the two.
Admission::Tenure Admission::WholeTenure(uint64_t word) const {
  const Tenure beside = tenures_.load(std::memory_order_relaxed);
  const uint64_t ahead = (TenureOf(word) - beside) & kTenureMask;
  return ahead <= kTenureMask / 2 ? beside + ahead : beside + ahead - (kTenureMask + 1);
}

// The thread slept in the middle of Enter() while its process lost the nexus, and as
// many tenures passed as there are in the word. A tenure that has begun since has
// cleared the count.
void Admission::BackOut(uint64_t entered) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  do {
    if (TenureOf(word) != TenureOf(entered)) return;
  } while (!word_.compare_exchange_weak(word, WithoutOne(word, EpochOf(entered)),
                                        std::memory_order_acq_rel, std::memory_order_relaxed));
}

Admission::Tenure Admission::BeginTenure(bool* ended_drain) {
  uint64_t word = word_.load(std::memory_order_acquire);
  const Tenure tenure = WholeTenure(word) + 1;
  // First: whoever enters with the word's number must not find an earlier one.
  tenures_.store(tenure, std::memory_order_release);
  while (!word_.compare_exchange_weak(word, WithTenure(word, tenure), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
  }
  *ended_drain = DrainingOf(word) != 0;
  return tenure;
}

bool Admission::EndTenure() {
  uint64_t word = word_.load(std::memory_order_acquire);
  const Tenure tenure = WholeTenure(word) + 1;
  do {
    if (CurrentOf(word) != 0 || DrainingOf(word) != 0) return false;
  } while (!word_.compare_exchange_weak(word, WithTenure(word, tenure), std::memory_order_acq_rel,
                                        std::memory_order_acquire));
  tenures_.store(tenure, std::memory_order_release);
  return true;
}

void Admission::Reset(AccessMask access) {
  epochs_.store(0, std::memory_order_relaxed);
  tenures_.store(0, std::memory_order_relaxed);
  word_.store(access & kAccessMask, std::memory_order_release);
}

}  // namespace scsi_pr
