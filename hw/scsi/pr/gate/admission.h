// SPDX-License-Identifier: GPL-2.0-or-later
//
// The right of one nexus to send commands to the medium, and how many of its
// commands are on their way: one word, so that "may I?" and "I am in" are one
// indivisible step. A publisher that takes the right away and starts a drain
// in one step of its own has every command on one side of that step.
//
// Epochs: a drain waits for the commands that entered before it began. Those
// that enter later (of a nexus that keeps its access) carry another epoch and
// are counted apart, so they never delay it.
//
// Tenures: a nexus that is handed over from one process to another has one
// owner at most, and only he may enter. Whoever takes it over begins a tenure,
// whose number the word carries: commands that come with the number of another
// one do not get in, in the same indivisible step.
//
// The word may lie in memory that processes share. Enter() and Leave() may run
// on any thread; SetAccess(), BeginDrain() and Reset() are the publisher's,
// BeginTenure() and EndTenure() the owner's.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "core/access.h"

namespace scsi_pr {

class Admission {
 public:
  // What a command got when it entered, and gives back when it leaves.
  using Epoch = uint16_t;
  using Tenure = uint8_t;

  // Of who has attached the nexus.
  static constexpr Tenure kFirstTenure = 0;
  // Of who does not own it: no tenure has this number.
  static constexpr Tenure kNoTenure = 0xFF;

  // Nothing if the nexus may not run a command of this class now, or if
  // `tenure` is not the present one.
  std::optional<Epoch> Enter(AccessClass access, Tenure tenure = kFirstTenure) {
    uint64_t word = word_.load(std::memory_order_acquire);
    do {
      if ((word & Bit(access)) == 0 || TenureOf(word) != tenure) return std::nullopt;
    } while (!word_.compare_exchange_weak(word, word + kOneCurrent, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
    return EpochOf(word);
  }

  // Once for each Enter(). True if that ended a drain.
  bool Leave(Epoch epoch) {
    uint64_t word = word_.load(std::memory_order_relaxed);
    uint64_t next = 0;
    do {
      next = word - (EpochOf(word) == epoch ? kOneCurrent : kOneDraining);
    } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    return DrainingOf(word) != 0 && DrainingOf(next) == 0;
  }

  bool Admits(AccessClass access) const { return (this->access() & Bit(access)) != 0; }
  AccessMask access() const {
    return static_cast<AccessMask>(word_.load(std::memory_order_acquire) & kAccessMask);
  }
  Tenure tenure() const { return TenureOf(word_.load(std::memory_order_acquire)); }
  Epoch epoch() const { return EpochOf(word_.load(std::memory_order_acquire)); }
  // Whether a drain has begun since a command entered. It may have left.
  bool HasDrained(Epoch since) const { return epoch() != since; }
  // Commands that a drain waits for.
  uint32_t draining() const { return DrainingOf(word_.load(std::memory_order_acquire)); }
  // All commands on their way.
  uint32_t in_flight() const {
    const uint64_t word = word_.load(std::memory_order_acquire);
    return CurrentOf(word) + DrainingOf(word);
  }

  void SetAccess(AccessMask access);
  // Takes the classes outside `keep` away and moves every command that is on
  // its way to those that draining() counts. False, with nothing done, if
  // commands of as many drains as there are epochs are still on their way.
  bool BeginDrain(AccessMask keep);

  // Begins a tenure when the owner has ended his, or has died: then what he had
  // on its way is gone, and not counted any more. `*ended_drain`: a drain waited
  // for that.
  Tenure BeginTenure(bool* ended_drain);
  // Nobody owns the nexus any more. False, with nothing done, if a command is
  // on its way.
  bool EndTenure();
  void Reset(AccessMask access) { word_.store(access & kAccessMask, std::memory_order_release); }

 private:
  // From the lowest bit: access classes, epoch, tenure, commands of this epoch,
  // commands of earlier ones. An adapter of virtio-scsi with all its queues
  // full has fewer commands than there is room for.
  static constexpr unsigned kEpochShift = 10;
  static constexpr unsigned kTenureShift = 18;
  static constexpr unsigned kCurrentShift = 24;
  static constexpr unsigned kDrainingShift = 44;
  static constexpr uint64_t kAccessMask = (uint64_t{1} << kEpochShift) - 1;
  static constexpr uint64_t kEpochMask = (uint64_t{1} << (kTenureShift - kEpochShift)) - 1;
  static constexpr uint64_t kTenureMask = (uint64_t{1} << (kCurrentShift - kTenureShift)) - 1;
  static constexpr uint64_t kCountMask = (uint64_t{1} << (kDrainingShift - kCurrentShift)) - 1;
  static constexpr uint64_t kOneCurrent = uint64_t{1} << kCurrentShift;
  static constexpr uint64_t kOneDraining = uint64_t{1} << kDrainingShift;
  static_assert(((kFullAccess | kInformationLost) & ~kAccessMask) == 0);
  static_assert(kNoTenure > kTenureMask);
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  static constexpr Epoch EpochOf(uint64_t word) {
    return static_cast<Epoch>(word >> kEpochShift & kEpochMask);
  }
  static constexpr Tenure TenureOf(uint64_t word) {
    return static_cast<Tenure>(word >> kTenureShift & kTenureMask);
  }
  static constexpr uint32_t CurrentOf(uint64_t word) {
    return static_cast<uint32_t>(word >> kCurrentShift & kCountMask);
  }
  static constexpr uint32_t DrainingOf(uint64_t word) {
    return static_cast<uint32_t>(word >> kDrainingShift);
  }
  // The same access and epoch, the next tenure, and no commands.
  static constexpr uint64_t NextTenure(uint64_t word) {
    const uint64_t tenure = (TenureOf(word) + uint64_t{1}) & kTenureMask;
    return (word & (kAccessMask | kEpochMask << kEpochShift)) | tenure << kTenureShift;
  }

  std::atomic<uint64_t> word_{0};
  // The publisher's: drains since none was unfinished. An epoch must not come
  // again while a command of its first time is on its way.
  uint32_t unfinished_drains_ = 0;
};

}  // namespace scsi_pr
