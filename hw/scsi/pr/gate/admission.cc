// SPDX-License-Identifier: GPL-2.0-or-later
#include "gate/admission.h"

namespace scsi_pr {

void Admission::SetAccess(AccessMask access) {
  uint64_t word = word_.load(std::memory_order_relaxed);
  while (!word_.compare_exchange_weak(word, (word & ~kAccessMask) | (access & kAccessMask),
                                      std::memory_order_acq_rel, std::memory_order_relaxed)) {
  }
}

bool Admission::BeginDrain(AccessMask keep) {
  uint64_t word = word_.load(std::memory_order_acquire);
  if (DrainingOf(word) == 0) unfinished_drains_ = 0;
  if (unfinished_drains_ == kEpochMask) return false;
  unfinished_drains_++;
  uint64_t next = 0;
  do {
    const uint64_t epoch = (EpochOf(word) + uint64_t{1}) & kEpochMask;
    const uint64_t draining = uint64_t{DrainingOf(word)} + CurrentOf(word);
    next = (word & keep & kAccessMask) | epoch << kEpochShift |
           (word & kTenureMask << kTenureShift) | draining << kDrainingShift;
  } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                        std::memory_order_acquire));
  return true;
}

Admission::Tenure Admission::BeginTenure(bool* ended_drain) {
  uint64_t word = word_.load(std::memory_order_acquire);
  while (!word_.compare_exchange_weak(word, NextTenure(word), std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
  }
  *ended_drain = DrainingOf(word) != 0;
  return TenureOf(NextTenure(word));
}

bool Admission::EndTenure() {
  uint64_t word = word_.load(std::memory_order_acquire);
  do {
    if (CurrentOf(word) != 0 || DrainingOf(word) != 0) return false;
  } while (!word_.compare_exchange_weak(word, NextTenure(word), std::memory_order_acq_rel,
                                        std::memory_order_acquire));
  return true;
}

}  // namespace scsi_pr
