// SPDX-License-Identifier: GPL-2.0-or-later
//
// Unit attention conditions of one nexus that wait to be reported, oldest
// first, and the version of the state that raised the last of them. One word,
// so that raising is exactly-once even if a publisher dies and another repeats
// its work.
//
// The word may lie in memory that processes share. What none of ours writes
// there counts as nothing.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "spc/sense.h"

namespace scsi_pr {

class UnitAttentionQueue {
 public:
  // All that the change to `version` raises here, at once; what the queue cannot hold
  // is left out. Does nothing, and says so by false, if that version, or a later one,
  // has raised its own already. A condition that is pending anyway is not queued a
  // second time.
  bool Raise(uint64_t version, const std::vector<Sense>& conditions);
  bool Raise(uint64_t version, Sense condition) { return Raise(version, std::vector{condition}); }
  bool HasRaised(uint64_t version) const;
  std::optional<Sense> Take();
  // Those that wait.
  std::vector<Sense> List() const;
  // `first` wait before those that wait, `last` behind them; each condition once.
  void Insert(const std::vector<Sense>& first, const std::vector<Sense>& last);
  // These wait instead of those that do.
  void Replace(const std::vector<Sense>& conditions);
  static bool CanHold(Sense condition);
  // Empty, and deaf to what `version` and those before it raise.
  void Reset(uint64_t version);

 private:
  std::atomic<uint64_t> word_{0};
};

}  // namespace scsi_pr
