// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulation.h"

#include <gtest/gtest.h>

namespace scsi_pr::agent {
namespace {

// Sanitizers are there for what each step does, and take ten times as long for it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kShare = 10;
#else
constexpr uint64_t kShare = 1;
#endif

// The planted bugs of tests/mutants need that many to be found.
TEST(Simulation, RandomFaults) {
  constexpr uint64_t kSteps = 3000000 / kShare;
  uint64_t steps = 0;
  std::map<std::string, uint64_t> counts;
  for (uint64_t seed = 1; steps < kSteps; seed++) {
    Simulation simulation({.seed = seed});
    steps += simulation.Run();
    ASSERT_EQ(simulation.violation(), "") << "agent-simulation --seed " << seed;
    for (const auto& [what, count] : simulation.counts()) counts[what] += count;
  }
  // It can not pass because nothing happens.
  EXPECT_GT(counts["GOOD"], 2000u / kShare);
  EXPECT_GT(counts["fenced"], 500u / kShare);
  EXPECT_GT(counts["busy"], 100u / kShare);
  EXPECT_GT(counts["unknown"], 5u / kShare);
  EXPECT_GT(counts["declared dead"], 50u / kShare);
  EXPECT_GT(counts["commands admitted"], 100000u / kShare);
}

TEST(Simulation, ASeedIsTheSameRun) {
  Simulation first({.seed = 7}), second({.seed = 7});
  EXPECT_EQ(first.Run(), second.Run());
  EXPECT_EQ(first.counts(), second.counts());
}

}  // namespace
}  // namespace scsi_pr::agent
