// SPDX-License-Identifier: GPL-2.0-or-later
//
// The gate: where an I/O command is admitted or not.
//
// A gate is a block of memory with one slot for each attached nexus. The slot
// says in one word which access classes its nexus may use. Whoever changes the
// reservation state (the publisher) writes the words; the device server of the
// nexus reads its own, once a command, without a lock and whatever the number
// of registrants. The memory may be shared between processes: only lock-free
// atomics, no pointers; and none of them may be trusted to say what is possible
// (docs/threat-model.md).
//
// A command enters the gate before it goes to the medium and leaves when it is
// off it, so that a fencing (fence.h) can wait for those on their way.
//
// Deadline: where the publisher must first hear that it may still admit commands,
// they enter until then and no later, whatever has become of the publisher. A command
// is counted, then looks at the deadline, and then at the clock. In this order:
//
// - Who ends all admission (AdmitUntil(gate, 0)) and then begins a drain has every
//   command on one side of that step: the drain waits for it, or it was counted
//   behind the drain and sees the deadline that was set before.
// - A thread that sleeps between any two steps, however long, is late by the clock,
//   or is waited for. Were the clock first, it would be neither.
//
// Threads: slots are handed out and published by one publisher at a time (the
// store's lock sees to that). What is not marked as the publisher's may run on
// any thread of any process, also while a slot is published.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/access.h"
#include "core/transition.h"
#include "gate/admission.h"
#include "gate/bell.h"
#include "gate/medium.h"
#include "gate/shared_value.h"
#include "gate/thread_annotations.h"
#include "gate/unit_attention_queue.h"

namespace scsi_pr {

struct Gate;

// Of a deadline, in nanoseconds of CLOCK_BOOTTIME: there is none.
inline constexpr uint64_t kNoDeadline = ~uint64_t{0};

// Nanoseconds, CLOCK_BOOTTIME.
uint64_t BootTime();

class alignas(512) GateSlot {
 public:
  // Once before a command goes to the medium; nothing, and `*why` unless null, if its
  // nexus may not run it now, or if who asks is not its owner. Leave() with what Enter()
  // gave, exactly once, when nothing of the command can reach the medium any more.
  std::optional<Admission::Epoch> Enter(AccessClass access,
                                        Admission::Tenure tenure = Admission::kFirstTenure,
                                        Admission::WhyNot* why = nullptr) {
    auto epoch = admission_.Enter(access, tenure, why);
    if (epoch && admit_until() != kNoDeadline && IsLate(*epoch, why)) [[unlikely]] {
      epoch.reset();
    }
    return epoch;
  }
  void Leave(Admission::Epoch epoch) {
    if (admission_.Leave(epoch)) drained_.Ring();
  }
  const Admission& admission() const { return admission_; }
  // A fencing of the nexus is under way: neither committed nor given up.
  bool is_being_fenced() const { return fencing_.load(std::memory_order_acquire) != 0; }
  // It waits for this command, which is in. One that a fencing has waited for
  // and that was given up goes on as if there had been none.
  bool IsAwaited(Admission::Epoch epoch) const {
    return is_being_fenced() && admission_.HasDrained(epoch);
  }
  UnitAttentionQueue& unit_attentions() { return unit_attentions_; }
  // Until when commands may enter, or kNoDeadline.
  uint64_t admit_until() const { return admit_until_.load(std::memory_order_seq_cst); }

  bool attached() const { return attached_.load(std::memory_order_acquire) != 0; }
  // Nothing if no nexus is attached.
  std::optional<Nexus> attached_nexus() const { return attached() ? nexus() : std::nullopt; }
  // The nexus, its owner's process, and who attached it, valid and printable UTF-8;
  // of the last attachment. Nothing, or empty, while another one is made.
  std::optional<Nexus> nexus() const;
  uint32_t process_id() const { return process_id_.load(std::memory_order_relaxed); }
  std::string owner() const;
  // With what, as a digest of Attacher::medium; 0: not known. Likewise.
  uint64_t medium() const { return medium_.load(std::memory_order_relaxed); }
  void SetMedium(const std::string& medium);
  // Another number each time a nexus attaches, as long as the gate exists. It
  // stays when the nexus is handed over.
  uint64_t attachment() const { return attachment_.load(std::memory_order_acquire); }

  // How often a fencing has asked the owner to abort the tasks of the nexus,
  // how often one has committed, and how often a preempting command took
  // something away from it.
  uint32_t abort_requests() const { return abort_requests_.load(std::memory_order_acquire); }
  uint32_t fencings() const { return fencings_.load(std::memory_order_acquire); }
  uint32_t preemptions() const { return preemptions_.load(std::memory_order_acquire); }

  // For the owner: see Admission.
  Admission::Tenure BeginTenure(uint32_t process_id);
  bool EndTenure() { return admission_.EndTenure(); }

  // For the publisher. A slot of `gate`.
  void Attach(const Gate& gate, const Nexus& nexus, uint32_t process_id, const Attacher& owner,
              AccessMask access, uint64_t version) REQUIRES(kMembersLock);
  void Detach();
  void SetAccess(AccessMask access) REQUIRES(kMembersLock) { admission_.SetAccess(access); }
  // Of the whole gate: AdmitUntil().
  void SetAdmitUntil(uint64_t until) { admit_until_.store(until, std::memory_order_seq_cst); }
  // A change is under way that may take the classes outside `keep` away: they are not
  // allowed any more, and that is no conflict yet. Until SetAccess() of a publication.
  void Hold(AccessMask keep) REQUIRES(kMembersLock) { admission_.Hold(keep); }
  bool is_held() const { return (admission_.access() & kHeld) != 0; }
  // See Admission::BeginDrain(); asks the owner to abort what it can.
  bool BeginDrain(AccessMask keep) REQUIRES(kMembersLock);
  // Rings whenever a drain has come to its end.
  Bell& drained() { return drained_; }
  // What the change to `version` tells the nexus: raises the conditions, and counts a
  // preemption if one of them says so. False, with nothing done, if that was done
  // already. Whoever repeats it after a death may count twice, but never not at all.
  bool Tell(uint64_t version, const std::vector<Sense>& conditions) REQUIRES(kMembersLock);
  // The end of the fencing that BeginDrain() began, if one did: it has
  // committed, and this counts it and says so by true; or it was given up.
  bool EndFencing(bool committed) REQUIRES(kMembersLock);

 private:
  // Who attached, with what as text; shorter texts end with 0.
  struct Occupant {
    char initiator[TransportId::kMaxText];
    uint16_t target_port;
    char owner[160];
  };

  // Of a command that is counted already: whether it is late. Then it has left again.
  bool IsLate(Admission::Epoch epoch, Admission::WhyNot* why);
  void TakeAdmitUntil(const Gate& gate);

  Admission admission_;
  std::atomic<uint64_t> admit_until_{kNoDeadline};
  std::atomic<uint32_t> attached_{0};
  Bell drained_;
  UnitAttentionQueue unit_attentions_;
  std::atomic<uint32_t> abort_requests_{0};
  std::atomic<uint32_t> preemptions_{0};
  std::atomic<uint32_t> fencings_{0};
  std::atomic<uint32_t> fencing_{0};  // not zero: one is under way
  std::atomic<uint64_t> attachment_{0};
  std::atomic<uint32_t> process_id_{0};  // information for people, never a proof of life
  SharedValue<Occupant> occupant_;
  std::atomic<uint64_t> medium_{0};
};

// The whole block of memory.
struct Gate {
  static constexpr size_t kSlots = 512;
  // Changes with every change of the layout below or of a slot's meaning.
  static constexpr uint32_t kLayout = 8;
  // A version is below this: it shares words with other things.
  static constexpr uint64_t kMostVersions = uint64_t{1} << 40;

  // Of memory that was there already: whether it is a gate, and of this layout.
  bool IsOfThisLayout() const {
    return std::ranges::equal(magic, std::string_view("scsi-pr\0", 8)) && layout == kLayout &&
           slot_count == kSlots;
  }

  char magic[8] = {'s', 'c', 's', 'i', '-', 'p', 'r', '\0'};
  uint32_t layout = kLayout;
  uint32_t slot_count = kSlots;
  // Another one each time that the memory begins anew; empty: it never has.
  char nonce[40] = {};
  // The store that it belongs to: its identity, and its file (st_dev, st_ino).
  char store[40] = {};
  std::atomic<uint64_t> store_device{0};
  std::atomic<uint64_t> store_inode{0};
  // The version that is committed, and which of two places has its record (RecordPlace).
  std::atomic<uint64_t> in_force{0};
  // The version of the state that all attached slots show.
  std::atomic<uint64_t> published{0};
  std::atomic<uint32_t> generation{0};  // its PRgeneration, for people
  // A fencing is under way that leads to this version, whose record is in the place
  // that is not in force; 0: none. Whoever gets the right to change and finds it set
  // follows a publisher that died: the slots show neither version and must be
  // published again.
  std::atomic<uint64_t> fencing{0};
  // The newest record that the disk is known to have, and in which place (RecordPlace); of
  // a store that has a disk.
  std::atomic<uint64_t> durable{0};
  // The writing (DiskRecord::writing) of a record that the disk may have, though it never
  // came in force; 0: none. Whoever reads the disk next does not believe it.
  std::atomic<uint64_t> disowned{0};
  // The highest version that anybody has tried to write; none comes twice.
  std::atomic<uint64_t> attempted{0};
  // Rings when an attached nexus may have to do something: abort_requests(),
  // fencings() or preemptions() of its slot tell what; and when another version
  // is published.
  Bell doorbell;
  // Rings when the right to change, or the members' lock, is free again.
  Bell released;
  // Somebody had to wait for the right to change: until then (ms, CLOCK_MONOTONIC) who has
  // not to wait takes his turn with those who have.
  std::atomic<uint64_t> contended_until{0};
  // What a slot gets when a nexus attaches to it; see AdmitUntil().
  std::atomic<uint64_t> admit_until{kNoDeadline};
  GateSlot slots[kSlots];
};

// A version, and which of two places has its record, in one word.
struct RecordPlace {
  uint64_t version = 0;
  unsigned index = 0;  // 0 or 1

  static RecordPlace Of(uint64_t word) { return {word >> 1, static_cast<unsigned>(word & 1)}; }
  uint64_t word() const { return version << 1 | index; }
  RecordPlace Other(uint64_t other_version) const { return {other_version, 1 - index}; }
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(GateSlot) == 512, "a slot never shares a cache line with another");

// What a publication knows beyond the state.
struct Publication {
  // What a nexus may have at most, and whether another change, which is under way, holds it.
  struct Limit {
    AccessMask most = kFullAccess | kInformationLost;
    bool held = false;
  };
  std::function<Limit(const Nexus& nexus)> limit;  // may be empty
  // Whether what BeginDrain() began has committed or was given up; nothing: it has if
  // Gate::fencing is this version.
  std::optional<bool> committed;
};

// Makes every attached slot show `state`, raises what the change to `version`
// raised, and only then marks that version as published, and that no fencing
// is under way. Repeating it for the same version is harmless.
//
// Who is held is open at no time to more than its limit and the state both allow, and its
// own fencing goes on.
void Publish(Gate& gate, uint64_t version, const State& state,
             const std::vector<UnitAttention>& unit_attentions, const Publication& how = {})
    REQUIRES(kRightToChange, kMembersLock);

// Commands enter any slot until then and no later; CLOCK_BOOTTIME, in nanoseconds. 0: none
// from now on, though some may be in. One thread at a time; no lock is needed: a nexus
// that attaches meanwhile gets this deadline or an earlier one before it is admitted.
void AdmitUntil(Gate& gate, uint64_t until);

}  // namespace scsi_pr
