// SPDX-License-Identifier: GPL-2.0-or-later
//
// The I/O barrier of PREEMPT AND ABORT (SPC-3 5.6.8.5): shut, drain, commit.
//
//   Fence fence(gate, version, preempted, before, after);
//   if (fence.Shut() && fence.Drain(watch)) commit and Publish(), then GOOD
//   else fence.Reopen(), and nothing has changed
//
// Nobody attaches while gates are shut, opened or published (the members' lock of
// store/sharing.h); while it drains somebody may, with what both states allow.
//
// Shut: the preempted nexuses lose what the new state will take from them, in
// one step with the count of what they have on its way; their owners are asked
// to abort what has not reached the medium. A nexus that keeps its access (the
// sender, say) goes on: its later commands do not delay the drain.
// Drain: until everything counted has left the gate, or its process is gone.
//
// Only the publisher (who holds the store's lock) may use it. If it dies,
// Gate::fencing tells its successor to publish the committed state again.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "gate/gate.h"

namespace scsi_pr {

class Fence {
 public:
  using Clock = std::chrono::steady_clock;

  // What the drain needs to know of the world.
  struct Watch {
    Clock::time_point deadline;
    // Whether a process that lives owns the nexus. False only if no command
    // of an owner that is gone can reach the medium any more.
    std::function<bool(size_t slot)> is_owned;
    std::function<bool()> cancelled;
    // Called once, if the drain takes longer than kLate.
    std::function<void()> late;
  };

  // A cluster's software expects an answer well below this.
  static constexpr std::chrono::milliseconds kLate{1000};

  // `version` is that of `after`. What is named outlives the fence.
  Fence(Gate& gate, uint64_t version, const std::vector<Nexus>& preempted, const State& before,
        const State& after);

  bool Shut() REQUIRES(kRightToChange, kMembersLock);
  // False if the deadline has passed or `cancelled` said so.
  bool Drain(const Watch& watch) REQUIRES(kRightToChange) EXCLUDES(kMembersLock);
  void Reopen() REQUIRES(kRightToChange, kMembersLock);

  // Slots with commands on their way that the drain waits for.
  std::vector<size_t> Pending() const;

 private:
  // How long a death, or a wish to cancel, may go unnoticed.
  static constexpr std::chrono::milliseconds kPoll{20};

  bool DrainSlot(size_t index, const Watch& watch, Clock::time_point* late_at);

  Gate& gate_;
  const uint64_t version_;
  const State& before_;
  const State& after_;
  const std::vector<Nexus>& preempted_;
  std::vector<size_t> slots_;
};

}  // namespace scsi_pr
