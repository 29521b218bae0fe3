// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simulation.h"

namespace scsi_pr::agent {

// A daemon that is driven as the real one will be, and the gates and commands of its machine.
class SimulatedHost {
 public:
  SimulatedHost(Simulation& simulation, size_t index);
  ~SimulatedHost();

  const std::string& name() const { return name_; }
  bool is_up() const { return up_; }
  bool is_running() const { return daemon_ != nullptr; }
  const std::string& boot_id() const { return boot_id_; }
  const std::string& incarnation() const { return gate_incarnation_; }
  Time Now() const;

  void Freeze(Instant until) { frozen_until_ = until; }
  void FreezeDaemon(Instant until) { daemon_frozen_until_ = until; }
  void StopDaemon();  // killed
  void StartDaemon();
  void PowerOff();
  void PowerOn();

  void Hint();
  void StartCommand(size_t nexus);
  void StartChange();  // nothing if one is under way
  bool has_change() const;
  // Whether it is a member, admits, and its words are what `mask` says.
  std::string WhyNotAtRest(uint64_t mask) const;
  void MarkStale(size_t nexus, Instant before);

 private:
  class Daemon;
  friend class Daemon;

  // Acts when the machine runs; the daemon's, when that does too.
  void Step(Instant delay, std::function<void()> act);
  void DaemonStep(Instant delay, std::function<void()> act);
  void Check(uint64_t id);
  void Submit(uint64_t id);
  void Leave(uint64_t id);
  void Drain(std::vector<size_t> nexuses, std::function<void()> drained);

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

  // What is in shared memory and in files of the runtime directory.
  Time admit_until_ = 0;
  std::string gate_incarnation_;
  Membership::Memory memory_;
  std::map<uint64_t, SimulatedCommand> in_flight_;
  uint64_t commands_ = 0;
  std::vector<std::pair<std::vector<uint64_t>, std::function<void()>>> drains_;

  std::unique_ptr<Daemon> daemon_;
};

}  // namespace scsi_pr::agent
