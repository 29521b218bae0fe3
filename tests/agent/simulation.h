// SPDX-License-Identifier: GPL-2.0-or-later
//
// Hosts with their daemons' logic (Membership, Participant, Change, NexusChange), gates, VMs and
// their commands, an engine and a network between them, in one thread and on a clock of its own.
// A seed fixes everything: what is sent, lost, late, repeated, who freezes, is cut off, killed,
// rebooted, migrated. docs/many-hosts.md says what must hold at every step.
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
#include "agent/nexus_change.h"
#include "agent/participant.h"
#include "simulated_state.h"
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

struct SimulatedNexus {
  std::string name;
  std::string key;
  Nexus nexus;
  std::vector<uint64_t> told;  // versions that have told it something
};

struct SimulatedCommand {
  uint64_t vm = 0;
  size_t nexus = 0;
  Instant counted = 0;
  std::string incarnation;  // under which it was counted
  bool stale = false;       // a PREEMPT AND ABORT has ended that has to have waited for it
};

class SimulatedHost;
class SimulatedVm;

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
  friend class SimulatedDaemon;
  friend class SimulatedHost;
  friend class SimulatedVm;

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
    uint64_t version;
  };
  // What a change is to do, for the checks.
  struct Planned {
    uint64_t preempted = 0;  // bits of nexuses whose tasks it aborts
    uint64_t told = 0;       // of those to whom it has something to tell
    uint64_t concerned = 0;  // and of those who may something else behind it
  };
  struct Migration;
  using Done = std::function<void(const Answer&)>;

  void At(Instant time, std::function<void()> act);
  void After(Instant delay, std::function<void()> act) { At(now_ + delay, std::move(act)); }
  void Violation(const std::string& what);
  void Trace(const std::string& what);
  void Count(const std::string& what) { counts_[what]++; }

  // The network.
  void Request(size_t host, const Transaction& transaction, Done done);
  void Deliver(size_t host, const Transaction& transaction, const Done& done);
  bool IsCut(size_t host) const;
  bool HasMovingVictim() const;
  void Hint(const Transaction& transaction);
  void Apply(size_t host, const Transaction& transaction, Answer* answer);

  // Who starts, ends and moves VMs.
  void Manage();
  void StartVm();
  void Migrate();
  void Arrived(const std::shared_ptr<Migration>& migration, bool ok, bool owned);
  void Paused(const std::shared_ptr<Migration>& migration, bool ok);
  void GoOn(const std::shared_ptr<Migration>& migration, bool there);
  void TidyUp();
  bool IsLost(const SimulatedVm& vm) const;
  SimulatedVm* FindVm(uint64_t id) const;
  // In which somebody runs or may go on.
  std::vector<SimulatedVm*> Vms() const;
  size_t RandomHost() { return random_.Below(hosts_.size()); }

  // What is checked where.
  void CheckHostRecord(size_t writer, size_t host, const std::string& before,
                       const std::string& after);
  void CheckState(size_t writer, const Records& before, const Records& after);
  void CheckPowerOn(size_t writer, const Records& before, const Records& after);
  void CheckNexus(size_t writer, size_t nexus, const Records& before, const Records& after);
  void CheckLost(const std::string& by, size_t nexus, const NexusRecord& was,
                 const NexusRecord& is);
  void CheckHosts(const Records& before, const Records& after);
  bool KeepsUnitOn(const NexusRecord& record, const std::string& but_for) const;
  HostRecord RecordOf(const std::string& host) const;
  bool IsDead(const std::string& host) const;
  bool IsProvedDead(const std::string& host) const;
  void CheckAdmitted(const SimulatedCommand& command, const SimulatedHost& host);
  void CheckHeard(SimulatedVm& vm, uint64_t version);
  void CheckEnded(const SimulatedHost& host, const std::string& id, Change::Result result);
  void CheckPublished(const SimulatedHost& host, const Committed& change, uint64_t concerned);
  void CheckRest();
  void CheckVmAtRest(SimulatedVm& vm, const Records& records);
  Records Look() const;

  void Fault();
  size_t ChooseVictim();
  void MaybeSilence(size_t nexus, size_t but_not);
  void Silence(size_t index);
  void ConfirmDead(size_t index, const std::string& boot_id);
  void Calm();

  const Options options_;
  const Keys keys_{"/scsi-pr/simulation/"};
  Random random_;
  SimulatedStore store_;
  Instant now_ = 0;
  Time duration_;  // D
  bool rarely_;    // happen faults: then there is time for much else
  uint64_t steps_ = 0;
  uint64_t idle_ = 0;  // of them, in which nobody had anything to do
  uint64_t events_made_ = 0;
  uint64_t words_ = 0;                  // nonces
  std::deque<std::vector<News>> told_;  // by the watch, lately
  std::priority_queue<Event> events_;
  std::vector<std::unique_ptr<SimulatedHost>> hosts_;
  std::vector<SimulatedNexus> nexuses_;
  uint64_t vms_ = 0;                 // made so far
  std::vector<Instant> cut_until_;   // of each host: no request arrives
  std::vector<Instant> deaf_until_;  // no answer arrives
  Instant engine_down_until_ = 0;
  bool is_calm_ = false;

  std::set<std::string> burnt_;  // incarnations
  std::map<std::string, Planned> planned_;
  std::map<std::string, Committed> committed_;
  std::map<std::string, Change::Result> ended_;
  std::set<uint64_t> dropped_;                                  // versions that are told no more
  std::map<std::pair<size_t, std::string>, Instant> at_since_;  // nexus and host
  std::vector<bool> is_out_;  // of each nexus, by what is committed
  std::vector<Instant> out_since_;

  std::string violation_;
  std::deque<std::string> trace_;
  std::map<std::string, uint64_t> counts_;
};

}  // namespace scsi_pr::agent
