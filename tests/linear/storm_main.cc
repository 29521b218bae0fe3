// SPDX-License-Identifier: GPL-2.0-or-later
//
// Runs the storm for a while and checks every round of it.
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include "checker.h"
#include "history.h"
#include "storm.h"

namespace {

using namespace scsi_pr::linear;

constexpr const char* kUsage = R"(usage: linear-storm [OPTION...]
  --seconds N     how long (LINEAR_SECONDS, 10)
  --seed N        of the commands and of what happens to the processes (LINEAR_SEED, 1)
  --processes N   at most 9 (4)
  --operations N  of a round (40)
  --bound N       states to visit before a round counts as undecided (4000000)
  --keep DIR      where a round that is a violation is kept (. without --fault)
  --fault NAME    a store that breaks its promise (faulty_store.h); success is to find that
  --uri URI       of a new store (one of its own, of kind file:)
  --host DIR      runtime directory of a host that processes are on; once for each (none)
  --replay FILE   only check a history that was kept
)";

struct Options {
  StormOptions storm;
  double seconds = 10;
  size_t bound = kDefaultBound;
  std::string keep;  // empty: nowhere
  std::string replay;
};

std::string Environment(const char* name, const char* otherwise) {
  const char* value = getenv(name);
  return value == nullptr ? otherwise : value;
}

bool Parse(int argc, char** argv, Options* options) {
  constexpr option kOptions[] = {
      {"seconds", 1, nullptr, 's'},    {"seed", 1, nullptr, 'r'},   {"processes", 1, nullptr, 'p'},
      {"operations", 1, nullptr, 'o'}, {"bound", 1, nullptr, 'b'},  {"keep", 1, nullptr, 'k'},
      {"fault", 1, nullptr, 'f'},      {"replay", 1, nullptr, 'y'}, {"uri", 1, nullptr, 'u'},
      {"host", 1, nullptr, 'h'},       {nullptr, 0, nullptr, 0}};
  options->seconds = std::stod(Environment("LINEAR_SECONDS", "10"));
  options->storm.seed = std::stoull(Environment("LINEAR_SEED", "1"));
  for (int c; (c = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (c) {
      case 's': options->seconds = std::stod(optarg); break;
      case 'r': options->storm.seed = std::stoull(optarg); break;
      case 'p': options->storm.processes = std::stoi(optarg); break;
      case 'o': options->storm.operations = std::stoi(optarg); break;
      case 'b': options->bound = std::stoull(optarg); break;
      case 'k': options->keep = optarg; break;
      case 'f': options->storm.fault = optarg; break;
      case 'y': options->replay = optarg; break;
      case 'u': options->storm.uri = optarg; break;
      case 'h': options->storm.runtime_directories.emplace_back(optarg); break;
      default: return false;
    }
  }
  if (options->keep.empty() && options->storm.fault == "none") options->keep = ".";
  options->storm.long_stops = static_cast<uint64_t>(options->seconds / 10);
  return optind == argc && options->storm.processes >= 2 && options->storm.processes <= 9;
}

void ShowViolation(const History& history, size_t bound) {
  const History smallest = SmallestViolation(history, bound);
  std::cout << "NOT LINEARIZABLE; the smallest prefix that is not:\n"
            << Explain(smallest, Check(smallest, bound));
}

void Keep(const History& history, const Options& options, uint64_t round) {
  if (options.keep.empty()) return;
  const std::string path = options.keep + "/linear-" + std::to_string(options.storm.seed) + "-" +
                           std::to_string(round) + ".jsonl";
  std::ofstream(path) << Encode(history);
  std::cout << "kept: " << path << std::endl;
}

int Replay(const Options& options) {
  std::ifstream file(options.replay);
  std::ostringstream text;
  text << file.rdbuf();
  const History history = DecodeHistory(text.str());
  const Verdict verdict = Check(history, options.bound);
  if (verdict.kind == Verdict::Kind::kViolation) {
    ShowViolation(history, options.bound);
  } else {
    std::cout << (verdict.kind == Verdict::Kind::kUndecided ? "undecided" : "linearizable") << '\n';
  }
  return verdict.kind == Verdict::Kind::kLinearizable ? 0 : 1;
}

struct Tally {
  uint64_t rounds = 0;
  uint64_t undecided = 0;
  uint64_t violations = 0;
  uint64_t visited = 0;
  size_t most_visited = 0;
};

// A directory of its own, gone afterwards, whatever killed workers have left.
class Scratch {
 public:
  explicit Scratch(const std::filesystem::path& below) {
    path_ = below / "scsi-pr-storm-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no directory " + path_);
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Until the time is over, or to the first round that is not linearizable or
// undecided: after it nobody knows what the logical unit is.
Tally Run(const Options& options, Storm& storm) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(options.seconds);
  Tally tally;
  std::vector<LogicalUnit> before(1);
  while (Clock::now() < end && !before.empty()) {
    History history = storm.Round();
    history.before = before;
    const Verdict verdict = Check(history, options.bound);
    tally.rounds++;
    tally.visited += verdict.visited;
    tally.most_visited = std::max(tally.most_visited, verdict.visited);
    if (verdict.kind != Verdict::Kind::kLinearizable) Keep(history, options, tally.rounds);
    if (verdict.kind == Verdict::Kind::kViolation) {
      tally.violations++;
      ShowViolation(history, options.bound);
    }
    if (verdict.kind == Verdict::Kind::kUndecided) tally.undecided++;
    before = verdict.last;
  }
  return tally;
}

void Print(const StormFigures& figures, const Tally& tally) {
  std::cout << figures.operations << " operations (" << figures.changes << " changes), "
            << figures.kills << " kills, " << figures.leaves << " departures, " << figures.stops
            << " stops (" << figures.long_stops << " long), " << figures.power_ons
            << " power losses, " << figures.unknown << " unknown outcomes (" << figures.untold
            << " of commands that have ended), " << figures.failed << " not carried out\n"
            << tally.rounds << " histories checked, " << tally.visited
            << " states visited (at most " << tally.most_visited << " in one), " << tally.undecided
            << " undecided, " << tally.violations << " violations\n";
}

int Main(Options options) {
  if (!options.replay.empty()) return Replay(options);
  const Scratch scratch(std::filesystem::temp_directory_path());
  const Scratch runtime("/dev/shm");
  setenv("XDG_RUNTIME_DIR", runtime.path().c_str(), 1);
  const auto program = std::filesystem::read_symlink("/proc/self/exe");
  options.storm.worker = program.parent_path() / "linear-worker";
  if (options.storm.uri.empty()) options.storm.uri = "file:" + scratch.path() + "/lu.pr";
  std::cout << "seed " << options.storm.seed << ", fault " << options.storm.fault << std::endl;
  Storm storm(options.storm);
  const Tally tally = Run(options, storm);
  Print(storm.figures(), tally);
  const bool expected = options.storm.fault != "none";
  return tally.rounds > 0 && tally.undecided == 0 && (tally.violations > 0) == expected ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  try {
    if (!Parse(argc, argv, &options)) {
      std::cerr << kUsage;
      return 2;
    }
    return Main(options);
  } catch (const std::exception& e) {
    std::cerr << "linear-storm: " << e.what() << '\n';
    return 2;
  }
}
