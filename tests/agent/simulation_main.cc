// SPDX-License-Identifier: GPL-2.0-or-later
//
// Simulates hosts with random faults until so many steps are made, or something did not hold.
#include <getopt.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <string>

#include "simulation.h"

namespace {

using scsi_pr::agent::Simulation;

constexpr const char* kUsage = R"(usage: agent-simulation [OPTION...]
  --seed N     the first seed; without --steps the only one, and it is told what happens
  --steps N    with one seed after the other (1000000)
)";

int RunOne(uint64_t seed) {
  Simulation simulation({.seed = seed, .trace = true});
  simulation.Run();
  for (const std::string& line : simulation.trace()) std::cout << line << "\n";
  if (simulation.violation().empty()) return 0;
  std::cout << "seed " << seed << ": " << simulation.violation() << "\n";
  return 1;
}

int RunMany(uint64_t seed, uint64_t most) {
  uint64_t steps = 0, seeds = 0;
  std::map<std::string, uint64_t> counts;
  for (; steps < most; seeds++) {
    Simulation simulation({.seed = seed + seeds});
    steps += simulation.Run();
    for (const auto& [what, count] : simulation.counts()) counts[what] += count;
    if (simulation.violation().empty()) continue;
    std::cout << "seed " << seed + seeds << ", " << simulation.violation() << "\n"
              << "Again, and what led to it: --seed " << seed + seeds << "\n";
    return 1;
  }
  std::cout << steps << " steps, seeds " << seed << " to " << seed + seeds - 1 << ":";
  for (const auto& [what, count] : counts) std::cout << " " << count << " " << what << ";";
  std::cout << " nothing found\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr option kOptions[] = {
      {"seed", 1, nullptr, 's'}, {"steps", 1, nullptr, 'n'}, {nullptr, 0, nullptr, 0}};
  uint64_t seed = 1, steps = 0;
  bool is_one = false;
  for (int c; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 's': seed = std::stoull(optarg), is_one = true; break;
      case 'n': steps = std::stoull(optarg); break;
      default: fputs(kUsage, stderr); return 2;
    }
  }
  if (is_one && steps == 0) return RunOne(seed);
  return RunMany(seed, steps == 0 ? 1000000 : steps);
}
