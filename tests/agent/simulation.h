// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hosts with their daemons' logic (Membership, Participant, Change), gates and commands, an
// engine and a network between them, in one thread and on a clock of its own. A seed fixes
// everything: what is sent, lost, late, repeated, who freezes, is cut off, killed, rebooted.
// docs/many-hosts.md says what must hold at every step.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "agent/change.h"
#include "agent/membership.h"
#include "agent/participant.h"
#include "simulated_store.h"

namespace scsi_pr::agent {

// True time of the simulation, in nanoseconds; each host's clock differs.
using Instant = int64_t;

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  // In [0, below).
  uint64_t Below(uint64_t below) { return Next() % below; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
  // Short mostly, now and then up to `longest`.
  Instant Delay(Instant usual, Instant longest, uint64_t one_in);

 private:
  uint64_t state_;
};

class Simulation;

// A machine's gates for one logical unit, in memory that outlives its daemon.
struct SimulatedNexus {
  std::string name;
  size_t host = 0;
  bool allowed = false;
};

struct SimulatedCommand {
  size_t nexus = 0;
  Instant counted = 0;
  std::string incarnation;  // under which it was counted
  bool stale = false;       // a PREEMPT AND ABORT has ended that has to have waited for it
};

class SimulatedHost;

class Simulation {
 public:
  struct Options {
    uint64_t seed = 1;
    size_t hosts = 3;
    size_t nexuses = 5;
    Instant length = 250'000'000'000;  // of the faults; then all must come to rest
    bool trace = false;
  };

  explicit Simulation(Options options);
  ~Simulation();

  // How many steps it has made in which somebody did something. What did not hold is in
  // violation(), empty if all did.
  uint64_t Run();
  const std::string& violation() const { return violation_; }
  const std::deque<std::string>& trace() const { return trace_; }
  // How often what has happened, for people.
  const std::map<std::string, uint64_t>& counts() const { return counts_; }

 private:
  friend class SimulatedHost;

  struct Event {
    Instant time;
    uint64_t number;
    std::function<void()> act;
    bool operator<(const Event& other) const {
      return time != other.time ? time > other.time : number > other.number;
    }
  };
  // What became of a change, as the store has it.
  struct Committed {
    Instant time;
    uint64_t removed;  // bits of nexuses
  };
  using Done = std::function<void(const Answer&)>;

  void At(Instant time, std::function<void()> act);
  void After(Instant delay, std::function<void()> act) { At(now_ + delay, std::move(act)); }
  void Violation(const std::string& what);
  void Trace(const std::string& what);
  void Count(const char* what) { counts_[what]++; }

  // The network.
  void Request(size_t host, const Transaction& transaction, Done done);
  void Deliver(size_t host, const Transaction& transaction, const Done& done);
  bool IsCut(size_t host) const;
  void Hint();
  void Apply(size_t host, const Transaction& transaction, Answer* answer);

  // What is checked where.
  void CheckHostRecord(size_t writer, size_t host, const std::string& before,
                       const std::string& after);
  void CheckState(const std::string& before, const std::string& after);
  void CheckAdmitted(const SimulatedCommand& command);
  void CheckEnded(const std::string& id, Change::Result result, bool aborts);
  void CheckRest();

  void Fault();
  void Silence(size_t host);
  void ConfirmDead(size_t host, const std::string& boot_id);
  void Calm();

  const Options options_;
  const Keys keys_{"/scsi-pr/simulation/"};
  Random random_;
  SimulatedStore store_;
  Instant now_ = 0;
  Time duration_;  // D
  uint64_t steps_ = 0;
  uint64_t idle_ = 0;  // of them, in which nobody had anything to do
  uint64_t events_made_ = 0;
  uint64_t words_ = 0;  // nonces
  std::priority_queue<Event> events_;
  std::vector<std::unique_ptr<SimulatedHost>> hosts_;
  std::vector<SimulatedNexus> nexuses_;
  std::vector<Instant> cut_until_;   // of each host: no request arrives
  std::vector<Instant> deaf_until_;  // no answer arrives
  Instant engine_down_until_ = 0;
  bool is_calm_ = false;

  std::set<std::string> burnt_;  // incarnations
  std::map<std::string, Committed> committed_;
  std::map<std::string, Change::Result> ended_;
  std::vector<bool> is_out_;  // of each nexus, by what is committed
  std::vector<Instant> out_since_;

  std::string violation_;
  std::deque<std::string> trace_;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace scsi_pr::agent
