// SPDX-License-Identifier: GPL-2.0-or-later
//
// The gate: where an I/O command is admitted or not.
//
// A gate is a block of memory with one slot for each attached nexus. The slot
// says in one word which access classes its nexus may use. Whoever changes the
// reservation state (the publisher) writes the words; the device server of the
// nexus reads its own, once a command, without a lock and whatever the number
// of registrants. The memory may be shared between processes: only lock-free
// atomics and plain bytes, no pointers.
//
// Threads: slots are handed out and published by one publisher at a time (the
// store's lock sees to that). Admits() and TakeUnitAttention() may run on any
// thread of any process, also while a slot is published.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/access.h"
#include "core/transition.h"

namespace scsi_pr {

// Unit attention conditions of one nexus that wait to be reported, oldest
// first, and the version of the state that raised the last of them. One word,
// so that raising is exactly-once even if a publisher dies and another repeats
// its work.
class UnitAttentionQueue {
 public:
  // `version` is below 2^40. Does nothing if that version, or a later one, has
  // raised its own here already, or if the condition is pending anyway.
  void Raise(uint64_t version, Sense sense);
  std::optional<Sense> Take();
  // Empty, and deaf to what `version` and those before it raise.
  void Reset(uint64_t version);

 private:
  std::atomic<uint64_t> word_{0};
};

class alignas(512) GateSlot {
 public:
  // Whether the nexus may run a command of this class now.
  bool Admits(AccessClass access) const {
    return (access_.load(std::memory_order_acquire) & Bit(access)) != 0;
  }
  // Why a class is not admitted: kInformationLost, or a reservation.
  AccessMask access() const { return access_.load(std::memory_order_acquire); }
  UnitAttentionQueue& unit_attentions() { return unit_attentions_; }

  bool attached() const { return attached_.load(std::memory_order_acquire) != 0; }
  // The nexus, and who attached it; only while attached, or by the publisher.
  std::optional<Nexus> nexus() const;
  uint32_t process_id() const { return process_id_; }
  std::string owner() const;

  // For the publisher.
  void Attach(const Nexus& nexus, uint32_t process_id, const std::string& owner,
              AccessMask access, uint64_t version);
  void Detach();
  void SetAccess(AccessMask access) { access_.store(access, std::memory_order_seq_cst); }

 private:
  std::atomic<uint32_t> access_{0};
  std::atomic<uint32_t> attached_{0};
  UnitAttentionQueue unit_attentions_;
  uint32_t process_id_ = 0;  // information for people, never a proof of life
  uint16_t target_port_ = 0;
  char initiator_[TransportId::kMaxText + 1] = {};
  char owner_[160] = {};
};

// The whole block of memory.
struct Gate {
  static constexpr size_t kSlots = 512;
  // Changes with every change of the layout below or of a slot's meaning.
  static constexpr uint32_t kLayout = 2;

  char magic[8] = {'s', 'c', 's', 'i', '-', 'p', 'r', '\0'};
  uint32_t layout = kLayout;
  uint32_t slot_count = kSlots;
  // Who may use it; meaning and lifetime are the store's.
  char nonce[40] = {};
  char boot_id[40] = {};
  uint64_t device = 0;
  uint64_t inode = 0;
  // The version of the state that all attached slots show.
  std::atomic<uint64_t> published{0};
  GateSlot slots[kSlots];
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(GateSlot) == 512, "a slot never shares a cache line with another");

// Makes every attached slot show `state`, raises what the change to `version`
// raised, and only then marks that version as published. Repeating it for the
// same version is harmless.
void Publish(Gate& gate, uint64_t version, const State& state,
             const std::vector<UnitAttention>& unit_attentions);

}  // namespace scsi_pr
