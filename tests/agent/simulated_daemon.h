// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "simulated_host.h"
#include "simulation.h"

namespace scsi_pr::agent {

inline constexpr const char* kSimulatedUnit = "lu";

// A daemon that is driven as the real one. What its machines ask for happens a moment later, as
// when threads do it.
class SimulatedDaemon : public Membership::Outside {
 public:
  // What a change is to do.
  struct Plan {
    std::vector<size_t> victims;
    bool aborts = false;
    bool aptpl = false;
    uint64_t newcomers = 0;  // bits; where there are no victims
    uint64_t told = 0;       // bits
  };

  explicit SimulatedDaemon(SimulatedHost& host);
  ~SimulatedDaemon() override;

  void StartChange(const Plan& plan, Time patience);
  bool has_change() const { return change_ != nullptr; }
  // False: something is being done with the nexus. Else `done` comes, or, if the daemon ends,
  // is among Unanswered().
  bool Operate(NexusChange::What what, size_t nexus, SimulatedVm::Done done);
  std::vector<SimulatedVm::Done> Unanswered() const;
  void Hint(const std::vector<News>& news);
  const Membership& membership() const { return membership_; }

  void Send(uint64_t request, const Transaction& transaction) override;
  void Shut() override;
  void Drain() override;
  void Open() override;
  void Admit(Time until) override;
  void Remember(const Membership::Memory& memory) override { host_.memory_ = memory; }
  void Refused(const Status& why) override;

 private:
  struct Unit;       // the logical unit
  struct Running;    // the command that is being carried out
  struct Operation;  // a nexus that comes, goes, or moves

  std::string NewWord() const { return "w" + std::to_string(++simulation_.words_); }
  Instant Slowly();
  void Soon(std::function<void()> act) { host_.DaemonStep(Slowly(), std::move(act)); }
  void Ask(const Transaction& transaction, Simulation::Done done);
  // `act` as a step of the daemon, unless `*latest` has moved on by then.
  std::function<void()> Latest(uint64_t* latest, std::function<void()> act);
  void Wake();
  bool HasToAct(Time now) const;
  void LookAtSlots();
  std::vector<size_t> Among(const std::vector<std::string>& keys) const;

  SimulatedHost& host_;
  Simulation& simulation_;
  Membership membership_;
  const std::shared_ptr<Declarations> declarations_ = std::make_shared<Declarations>();
  std::unique_ptr<Unit> unit_;
  std::unique_ptr<Running> change_;
  std::map<size_t, std::unique_ptr<Operation>> operations_;  // by nexus
  int64_t seen_ = 0;
  uint64_t drain_ = 0, drain_victims_ = 0;
  Time look_at_slots_ = 0;
  std::string foreign_;  // change that was in the way
  Time foreign_since_ = 0;
};

}  // namespace scsi_pr::agent
