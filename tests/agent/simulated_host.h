// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simulated_vm.h"
#include "simulation.h"

namespace scsi_pr::agent {

class SimulatedDaemon;

// A nexus's slot in a machine's gate.
struct SimulatedSlot {
  uint64_t vm = 0;     // that has it, by the kernel's locks; 0: nobody
  uint64_t owner = 0;  // that may enter; 0: nobody
  AccessMask allowed = 0;
  uint64_t version = 0;             // up to which it was told
  std::deque<uint64_t> attentions;  // versions that have told it something
};

// What is in shared memory, for one logical unit. It outlives daemons and VMs.
struct SimulatedGate {
  std::vector<SimulatedSlot> slots;  // one a nexus
  Time admit_until = 0;
  std::string incarnation;
  uint64_t version = 0;      // that it shows, or something later
  bool is_shut = true;       // as a whole
  Instant locked_until = 0;  // by somebody who is stopped with the members' lock
};

// A machine: its gate, commands and VMs, and its daemon.
class SimulatedHost {
 public:
  SimulatedHost(Simulation& simulation, size_t index);
  ~SimulatedHost();

  const std::string& name() const { return name_; }
  size_t index() const { return index_; }
  bool is_up() const { return up_; }
  bool is_running() const { return daemon_ != nullptr; }
  const std::string& boot_id() const { return boot_id_; }
  SimulatedGate& gate() { return gate_; }
  const SimulatedGate& gate() const { return gate_; }
  Time Now() const;
  bool admits() const { return Now() <= gate_.admit_until; }

  void Freeze(Instant until) { frozen_until_ = until; }
  void FreezeDaemon(Instant until) { daemon_frozen_until_ = until; }
  bool is_frozen() const;
  void StopDaemon();  // killed
  void StartDaemon();
  void PowerOff();
  void PowerOn();

  void Hint(const std::vector<News>& news);
  void StartChange();  // nothing if one is under way
  // Why it is no member, or admits nothing; empty: it does.
  std::string WhyNotAtRest() const;

  // nullptr: the kernel knows that somebody has the nexus here.
  SimulatedVm* StartVm(size_t nexus);
  SimulatedVm* FindVm(uint64_t id) const;
  const std::map<uint64_t, std::unique_ptr<SimulatedVm>>& vms() const { return vms_; }
  bool HasCommands(uint64_t vm) const;
  void EndVm(uint64_t vm);  // and its commands, at once

  void StartCommand(size_t nexus);
  void MarkStale(size_t nexus, Instant before);

 private:
  friend class SimulatedDaemon;
  friend class SimulatedVm;

  // Acts when the machine runs; the daemon's, when that does too.
  void Step(Instant delay, std::function<void()> act);
  void DaemonStep(Instant delay, std::function<void()> act);
  void Check(uint64_t id);
  void Submit(uint64_t id);
  void Leave(uint64_t id);
  // Of all nexuses, or these.
  void Drain(const std::vector<size_t>* nexuses, std::function<void()> drained);

  Simulation& simulation_;
  const size_t index_;
  const std::string name_;
  const double rate_;  // of its clock
  const Time offset_;
  bool up_ = true;
  uint64_t boots_ = 0;
  uint64_t daemons_ = 0;  // a step of an earlier one is not made
  std::string boot_id_;
  Instant frozen_until_ = 0;
  Instant daemon_frozen_until_ = 0;

  SimulatedGate gate_;
  Membership::Memory memory_;  // in a file
  std::map<uint64_t, SimulatedCommand> in_flight_;
  uint64_t commands_ = 0;
  std::vector<std::pair<std::vector<uint64_t>, std::function<void()>>> drains_;

  std::map<uint64_t, std::unique_ptr<SimulatedVm>> vms_;
  std::unique_ptr<SimulatedDaemon> daemon_;
};

}  // namespace scsi_pr::agent
