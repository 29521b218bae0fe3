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
// The word has the lowest bits of both numbers. The whole ones, which never come
// again, are beside it: whoever is in holds the word's numbers within reach of
// them (no drain begins while commands of as many epochs as there are in the word
// are on their way, and no tenure ends while any is), so he can tell which of the
// many numbers with these bits it was.
//
// Held: a change is under way that may take access away, and has taken it here
// already. Until a publication says what the state is, a refused command is not
// told of a conflict that may never be. The mark is in the word, too: whoever is
// refused is told why by the word that refused him.
//
// The word may lie in memory that processes share. Enter() and Leave() may run
// on any thread; SetAccess(), Hold(), BeginDrain() and Reset() are the publisher's,
// BeginTenure() and EndTenure() the owner's.
//
// Counts never wrap, whatever another process writes there: at their ends they
// stay. That is no assertion, for a failed one would end the wrong process.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "core/access.h"

namespace scsi_pr {

// No class, but why others are refused, as kInformationLost is.
inline constexpr AccessMask kHeld = kInformationLost << 1;

class Admission {
 public:
  // What a command got when it entered, and gives back when it leaves.
  using Epoch = uint64_t;
  using Tenure = uint64_t;

  // Why a command does not get in.
  enum class WhyNot : uint8_t {
    kNotOwner,         // the nexus is another process's, or nobody's
    kNoAccess,         // the published state does not allow it
    kInformationLost,  // likewise: PERSISTENT RESERVATION INFORMATION LOST
    kHeld,             // the state is about to be changed
    kFull,             // no more commands can be counted
    kDeadline,         // nobody has said that commands may enter so late (gate.h)
  };

  // Of who has attached the nexus.
  static constexpr Tenure kFirstTenure = 0;
  // Of who does not own it: no tenure has this number.
  static constexpr Tenure kNoTenure = ~Tenure{0};

  // Nothing, and `*why` unless null, if the nexus may not run a command of this class
  // now, or if `tenure` is not the present one.
  std::optional<Epoch> Enter(AccessClass access, Tenure tenure = kFirstTenure,
                             WhyNot* why = nullptr) {
    if (tenure == kNoTenure) return Refuse(WhyNot::kNotOwner, why);
    const uint64_t wanted = uint64_t{Bit(access)} | (tenure & kTenureMask) << kTenureShift;
    const uint64_t asked = uint64_t{Bit(access)} | kTenureMask << kTenureShift;
    uint64_t word = word_.load(std::memory_order_acquire);
    do {
      if ((word & asked) != wanted || CurrentOf(word) == kCountMask) {
        return Refuse(WhyRefused(word, access, tenure), why);
      }
    } while (!word_.compare_exchange_weak(word, word + kOneCurrent, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
    if (tenures_.load(std::memory_order_relaxed) != tenure) {
      BackOut(word);
      return Refuse(WhyNot::kNotOwner, why);
    }
    return WholeEpoch(epochs_.load(std::memory_order_relaxed), word);
  }

  // Why a command would not get in; nothing if it would. It is not counted.
  std::optional<WhyNot> Refuses(AccessClass access, Tenure tenure) const;

  // Once for each Enter(). True if that ended a drain.
  bool Leave(Epoch epoch) {
    uint64_t word = word_.load(std::memory_order_relaxed);
    uint64_t next = 0;
    do {
      next = WithoutOne(word, epoch);
      if (next == word) return false;
    } while (!word_.compare_exchange_weak(word, next, std::memory_order_acq_rel,
                                          std::memory_order_relaxed));
    return DrainingOf(word) != 0 && DrainingOf(next) == 0;
  }

  bool Admits(AccessClass access) const { return (this->access() & Bit(access)) != 0; }
  AccessMask access() const {
    return static_cast<AccessMask>(word_.load(std::memory_order_acquire) & kAccessMask);
  }
  Tenure tenure() const { return WholeTenure(word_.load(std::memory_order_acquire)); }
  // Whether it is the present one. For who began it.
  bool IsPresent(Tenure tenure) const {
    return tenures_.load(std::memory_order_acquire) == tenure &&
           TenureOf(word_.load(std::memory_order_acquire)) == (tenure & kTenureMask);
  }
  Epoch epoch() const;
  // Whether a drain has begun since a command entered. It may have left.
  bool HasDrained(Epoch since) const { return epoch() != since; }
  // Commands that a drain waits for.
  uint32_t draining() const { return DrainingOf(word_.load(std::memory_order_acquire)); }
  // All commands on their way.
  uint32_t in_flight() const {
    const uint64_t word = word_.load(std::memory_order_acquire);
    return CurrentOf(word) + DrainingOf(word);
  }

  // What is held is not any more, unless `access` has kHeld.
  void SetAccess(AccessMask access);
  // Takes the classes outside `keep` away and marks the word as held, in one step.
  void Hold(AccessMask keep);
  // Takes the classes outside `keep` away and moves every command that is on
  // its way to those that draining() counts; what is held stays held. False, with
  // nothing done, if commands of as many drains as there are epochs are still on
  // their way. Harmless to repeat for who follows a publisher that died.
  bool BeginDrain(AccessMask keep);

  // Begins a tenure when the owner has ended his, or has died: then what he had
  // on its way is gone, and not counted any more. `*ended_drain`: a drain waited
  // for that.
  Tenure BeginTenure(bool* ended_drain);
  // Nobody owns the nexus any more. False, with nothing done, if a command is
  // on its way.
  bool EndTenure();
  // For another nexus: nobody has anything left of the one before.
  void Reset(AccessMask access);

 private:
  // From the lowest bit: access classes and marks, epoch, tenure, commands of this epoch,
  // commands of earlier ones. An adapter of virtio-scsi with all its queues
  // full has fewer commands than there is room for.
  static constexpr unsigned kEpochShift = 11;
  static constexpr unsigned kTenureShift = 19;
  static constexpr unsigned kCurrentShift = 24;
  static constexpr unsigned kDrainingShift = 44;
  static constexpr uint64_t kAccessMask = (uint64_t{1} << kEpochShift) - 1;
  static constexpr uint64_t kEpochMask = (uint64_t{1} << (kTenureShift - kEpochShift)) - 1;
  static constexpr uint64_t kTenureMask = (uint64_t{1} << (kCurrentShift - kTenureShift)) - 1;
  static constexpr uint64_t kCountMask = (uint64_t{1} << (kDrainingShift - kCurrentShift)) - 1;
  static constexpr uint64_t kOneCurrent = uint64_t{1} << kCurrentShift;
  static constexpr uint64_t kOneDraining = uint64_t{1} << kDrainingShift;
  static_assert(((kFullAccess | kInformationLost | kHeld) & ~kAccessMask) == 0);
  static_assert(std::atomic<uint64_t>::is_always_lock_free);

  static constexpr uint64_t EpochOf(uint64_t word) { return word >> kEpochShift & kEpochMask; }
  static constexpr uint64_t TenureOf(uint64_t word) { return word >> kTenureShift & kTenureMask; }
  static constexpr uint32_t CurrentOf(uint64_t word) {
    return static_cast<uint32_t>(word >> kCurrentShift & kCountMask);
  }
  static constexpr uint32_t DrainingOf(uint64_t word) {
    return static_cast<uint32_t>(word >> kDrainingShift);
  }
  // The last number up to `newest` that the word has the lowest bits of.
  static constexpr Epoch WholeEpoch(Epoch newest, uint64_t word) {
    return newest - ((newest - EpochOf(word)) & kEpochMask);
  }
  // The word when a command that entered in `epoch` has left.
  static constexpr uint64_t WithoutOne(uint64_t word, Epoch epoch) {
    if ((epoch & kEpochMask) == EpochOf(word)) {
      return CurrentOf(word) == 0 ? word : word - kOneCurrent;
    }
    return DrainingOf(word) == 0 ? word : word - kOneDraining;
  }
  // The same access and epoch, that tenure, and no commands.
  static constexpr uint64_t WithTenure(uint64_t word, Tenure tenure) {
    return (word & (kAccessMask | kEpochMask << kEpochShift)) | (tenure & kTenureMask)
                                                                    << kTenureShift;
  }
  static std::nullopt_t Refuse(WhyNot reason, WhyNot* why) {
    if (why != nullptr) *why = reason;
    return std::nullopt;
  }
  // By the word that lets nobody of this class and tenure in.
  static WhyNot WhyRefused(uint64_t word, AccessClass access, Tenure tenure);
  Tenure WholeTenure(uint64_t word) const;
  void BackOut(uint64_t entered);

  std::atomic<uint64_t> word_{0};
  // The number of drains that have begun. BeginDrain() sets it before the word.
  std::atomic<Epoch> epochs_{0};
  // That of the present tenure. EndTenure() sets it after the word.
  std::atomic<Tenure> tenures_{0};
  // The publisher's: drains since none was unfinished. The word's epoch must not
  // come again while a command of its first time is on its way.
  std::atomic<uint32_t> unfinished_drains_{0};
};

}  // namespace scsi_pr
