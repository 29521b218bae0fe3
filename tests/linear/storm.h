// SPDX-License-Identifier: GPL-2.0-or-later
//
// The storm: processes that send reservation commands to one store as fast as
// they can, while some are killed and others are stopped for a while.
//
// It is cut into rounds. At the end of a round everybody is idle, one commits
// a change and shows the whole state. So what a killed process left undone is
// done or lost for good, and the next round begins from a known logical unit.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../process/pipe_process.h"
#include "history.h"

namespace scsi_pr::linear {

struct StormOptions {
  std::string worker;  // the program linear-worker
  std::string uri;     // of a new store
  // Of the hosts that the processes are on, in turn; none: this process's own. Daemons and engine
  // of a cluster: store are somebody else's, and so is what happens to them.
  std::vector<std::string> runtime_directories = {};
  std::string fault = "none";
  int processes = 4;    // at most 9; every second one has two nexuses
  int operations = 40;  // of a round, about
  uint64_t seed = 1;
  // At most so many times one that holds the others up is stopped for longer
  // than Store::kPatience.
  uint64_t long_stops = 0;
};

struct StormFigures {
  uint64_t operations = 0;
  uint64_t changes = 0;  // PERSISTENT RESERVE OUT that ended in GOOD
  uint64_t kills = 0;
  uint64_t leaves = 0;
  uint64_t stops = 0;
  uint64_t long_stops = 0;
  uint64_t power_ons = 0;  // attached when nobody else was
  uint64_t unknown = 0;    // nobody heard how it ended
  uint64_t untold = 0;     // of these, those that ended so
  uint64_t failed = 0;     // ended in BUSY or an error of the store
};

class Storm {
 public:
  // Throws std::runtime_error if a process cannot be started; so does Round().
  explicit Storm(StormOptions options);

  // What happened in one more round. `before` is empty: it is what the rounds
  // before have left.
  History Round();
  const StormFigures& figures() const { return figures_; }

 private:
  struct Worker {
    int number = 0;
    uint16_t ports = 1;
    uint32_t life = 0;
    int awaited = 0;  // answers "done"
    std::unique_ptr<testing::PipeProcess> process;
    std::map<std::string, Operation> running;
  };

  void Start(Worker& worker);
  std::string RuntimeDirectoryOf(const Worker& worker) const;
  static void Tell(Worker& worker, const std::string& line);
  void RunAll();
  // Reads what it says until it has nothing more to do, or has ended.
  void Collect(Worker& worker);
  void Heed(Worker& worker, const std::string& line);
  void End(const std::vector<Worker*>& workers, bool killed);
  void EndGone();
  void Restart(const std::vector<Worker*>& workers, bool killed);

  void Disturb();
  void Stop();
  bool HoldsTheOthersUp() const;
  void Pause(uint32_t most_us);
  Worker& Any() { return workers_[Below(static_cast<uint32_t>(workers_.size()))]; }
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }

  const StormOptions options_;
  std::mt19937_64 random_;
  std::vector<Worker> workers_;
  Capabilities capabilities_;
  std::vector<Operation> operations_;  // of this round, ended or cut off
  StormFigures figures_;
  int64_t round_ns_ = 10'000'000;  // how long the last round took
};

}  // namespace scsi_pr::linear
