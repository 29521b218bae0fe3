// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether a concurrent history is linearizable: whether each operation can be
// given a moment within its interval, such that the operations, done one after
// the other in the order of these moments, end as they did (Herlihy and Wing).
//
// The search is that of Wing and Gong, with Lowe's refinement ("Testing for
// linearizability", 2017): what has been linearized, with the state that it
// led to, is never tried twice.
#pragma once

#include <cstddef>
#include <vector>

#include "history.h"
#include "specification.h"

namespace scsi_pr::linear {

struct Verdict {
  enum class Kind : uint8_t {
    kLinearizable,
    kViolation,
    kUndecided,  // the search took too long
  };

  Kind kind = Kind::kLinearizable;
  // With kLinearizable: every logical unit that the history may have left.
  std::vector<LogicalUnit> last;
  // How many pairs of (what has been linearized, logical unit) were seen.
  size_t visited = 0;
  // The longest order that could be explained (indices of operations), and
  // what it led to.
  std::vector<size_t> longest;
  LogicalUnit reached;
};

// On a busy machine more commands overlap: 1.2 million have been seen, 10 seconds' work.
inline constexpr size_t kDefaultBound = 4'000'000;

// `bound` is the most pairs to visit.
Verdict Check(const History& history, size_t bound = kDefaultBound);

// The shortest prefix of a history (all that was seen until some moment; what
// had not ended by then has no outcome) that is not linearizable. The history
// itself if it is linearizable or undecided.
History SmallestViolation(const History& history, size_t bound = kDefaultBound);

// The history and what is wrong with it, for people.
std::string Explain(const History& history, const Verdict& verdict);

}  // namespace scsi_pr::linear
