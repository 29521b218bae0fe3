// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulated_host.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr const char* kLu = "lu";
constexpr Instant kMicrosecond = 1000;

// What is registered: all, until somebody changes it.
uint64_t MaskOf(const std::optional<StateRecord>& state) {
  return state ? std::stoull(state->document) : ~uint64_t{0};
}

}  // namespace

// ---------------------------------------------------------------- The daemon

// What the machines ask for happens a moment later, as when threads do it.
class SimulatedHost::Daemon : public Membership::Outside {
 public:
  explicit Daemon(SimulatedHost& host)
      : host_(host),
        simulation_(host.simulation_),
        membership_({host.name_, "machine-" + host.name_, host.boot_id_, 1, simulation_.duration_},
                    simulation_.keys_, host.memory_, *this, [this] { return NewWord(); }),
        unit_(*this) {
    Wake();
  }

  void StartChange(const std::vector<size_t>& victims, bool aborts, uint64_t newcomers,
                   Time patience);
  bool has_change() const { return change_ != nullptr; }
  void Hint() { unit_.machine.Look(host_.Now()); }
  const Membership& membership() const { return membership_; }

  void Send(uint64_t request, const Transaction& transaction) override {
    Ask(transaction, [this, request](const Answer& answer) {
      // Something has been written since the last look.
      if (answer.answered() && std::exchange(seen_, answer.revision) != answer.revision) {
        unit_.machine.Look(host_.Now());
      }
      membership_.Answered(host_.Now(), request, answer);
    });
  }
  void Shut() override {
    host_.admit_until_ = 0;
    host_.gate_incarnation_.clear();
    for (const size_t i : Own()) simulation_.nexuses_[i].allowed = false;
    unit_.machine.Close();
    simulation_.Trace(host_.name_ + " is shut");
  }
  void Drain() override {
    host_.Drain(Own(), Latest(&drain_, [this] { membership_.Drained(host_.Now()); }));
  }
  void Open() override { unit_.machine.Open(host_.Now()); }
  void Admit(Time until) override {
    host_.admit_until_ = std::max(host_.admit_until_, until);
    host_.gate_incarnation_ = membership_.incarnation();
  }
  void Remember(const Membership::Memory& memory) override { host_.memory_ = memory; }
  void Refused(const Status& why) override {
    simulation_.Violation(host_.name_ + " is refused: " + why.message());
  }

 private:
  // The logical unit.
  struct Unit : public Participant::Outside {
    explicit Unit(Daemon& its_daemon)
        : daemon(its_daemon), machine(daemon.host_.name_, kLu, daemon.simulation_.keys_, *this) {}

    void Send(uint64_t request, const Transaction& transaction) override {
      daemon.Ask(transaction, [this, request](const Answer& answer) {
        machine.Answered(daemon.host_.Now(), request, answer);
      });
    }
    void Publish(const std::optional<StateRecord>& state,
                 const std::vector<std::string>& shut) override {
      const uint64_t mask = MaskOf(state);
      for (const size_t i : daemon.Own()) {
        SimulatedNexus& nexus = daemon.simulation_.nexuses_[i];
        nexus.allowed = (mask >> i & 1) != 0 && std::ranges::find(shut, nexus.name) == shut.end();
      }
      daemon.simulation_.Trace(daemon.host_.name_ + " publishes " +
                               std::to_string(state ? state->version : 0));
    }
    void Shut(const std::vector<std::string>& nexuses) override {
      for (const size_t i : daemon.Among(nexuses)) daemon.simulation_.nexuses_[i].allowed = false;
    }
    void Drain(const std::vector<std::string>& nexuses) override {
      daemon.host_.Drain(daemon.Among(nexuses), daemon.Latest(&daemon.drain_victims_, [this] {
        machine.Drained(daemon.host_.Now());
      }));
    }
    void Fenced(const std::string& id) override {
      daemon.Soon([&daemon = daemon, id] {
        if (daemon.change_ && daemon.change_->machine.id() == id) {
          daemon.change_->machine.Fenced(daemon.host_.Now());
        }
      });
    }
    void Failed(const Status& why) override {
      daemon.simulation_.Violation(daemon.host_.name_ + " cannot read: " + why.message());
    }

    Daemon& daemon;
    Participant machine;
  };

  // The command that is being carried out.
  struct Running : public Change::Outside {
    Running(Daemon& daemon, Change::Options options)
        : daemon(daemon), machine(std::move(options), daemon.simulation_.keys_, *this, [&daemon] {
            return daemon.NewWord();
          }) {}

    void Send(uint64_t request, const Transaction& transaction) override {
      daemon.Ask(transaction, [this, request](const Answer& answer) {
        machine.Answered(daemon.host_.Now(), request, answer);
      });
    }
    void Decide(const std::optional<StateRecord>& state) override {
      Change::Decision decision;
      uint64_t mask = MaskOf(state);
      for (const size_t victim : victims) {
        if ((mask >> victim & 1) == 0) continue;
        mask &= ~(uint64_t{1} << victim);
        decision.victims.push_back(daemon.simulation_.nexuses_[victim].name);
      }
      if (victims.empty()) mask |= newcomers;
      decision.changes = mask != MaskOf(state);
      decision.aborts = aborts;
      decision.document = std::to_string(mask);
      changes = decision.changes;
      daemon.Soon([this, decision] { machine.Decided(daemon.host_.Now(), decision); });
    }
    void Fence(const ChangeRecord& change) override { daemon.unit_.machine.Fence(change); }
    void Ended(Change::Result result, const Failure&) override {
      if (changes || result != Change::Result::kGood) {
        daemon.simulation_.CheckEnded(machine.id(), result, aborts);
      }
    }
    void Over() override {
      daemon.Soon([&daemon = daemon] {
        const std::string id = daemon.change_->machine.id();
        daemon.change_.reset();
        daemon.unit_.machine.Release(daemon.host_.Now(), id);
      });
    }

    Daemon& daemon;
    Change machine;
    std::vector<size_t> victims;
    bool aborts = false;
    bool changes = true;
    uint64_t newcomers = 0;
  };

  std::string NewWord() const { return "w" + std::to_string(++simulation_.words_); }

  // Now and then a thread waits long for a processor.
  Instant Slowly() {
    return simulation_.random_.Delay(50 * kMicrosecond, 5'000'000'000,
                                     simulation_.is_calm_ ? 1000000 : 30);
  }
  void Soon(std::function<void()> act) { host_.DaemonStep(Slowly(), std::move(act)); }
  void Ask(const Transaction& transaction, Simulation::Done done) {
    simulation_.Request(host_.index_, transaction,
                        [&host = host_, daemons = host_.daemons_, done](const Answer& answer) {
                          if (daemons != host.daemons_) return;
                          host.DaemonStep(host.daemon_->Slowly(), [done, answer] { done(answer); });
                        });
  }
  // `act` as a step of the daemon, unless `*latest` has moved on by then.
  std::function<void()> Latest(uint64_t* latest, std::function<void()> act) {
    return [this, latest, number = ++*latest, act] {
      Soon([latest, number, act] {
        if (*latest == number) act();
      });
    };
  }
  // Looks each 20 ms which machine wants a tick.
  void Wake() {
    const Time now = host_.Now();
    const bool acts = now >= membership_.NextTick() || now >= unit_.machine.NextTick() ||
                      (change_ && now >= change_->machine.NextTick());
    if (!acts) simulation_.idle_++;
    membership_.Tick(now);
    unit_.machine.Tick(now);
    if (change_) change_->machine.Tick(now);
    host_.DaemonStep(20'000'000, [this] { Wake(); });
  }

  std::vector<size_t> Own() const {
    std::vector<size_t> own;
    for (size_t i = 0; i < simulation_.nexuses_.size(); i++) {
      if (simulation_.nexuses_[i].host == host_.index_) own.push_back(i);
    }
    return own;
  }
  std::vector<size_t> Among(const std::vector<std::string>& names) const {
    std::vector<size_t> own = Own();
    std::erase_if(own, [&](size_t i) {
      return std::ranges::find(names, simulation_.nexuses_[i].name) == names.end();
    });
    return own;
  }

  SimulatedHost& host_;
  Simulation& simulation_;
  Membership membership_;
  Unit unit_;
  std::unique_ptr<Running> change_;
  int64_t seen_ = 0;
  uint64_t drain_ = 0, drain_victims_ = 0;
};

void SimulatedHost::Daemon::StartChange(const std::vector<size_t>& victims, bool aborts,
                                        uint64_t newcomers, Time patience) {
  Change::Options options;
  options.host = host_.name_;
  options.lu = kLu;
  options.id = NewWord();
  options.deadline = host_.Now() + patience;
  options.settle = 3 * kSecond;
  options.patience = patience + 5 * kSecond;
  change_ = std::make_unique<Running>(*this, options);
  change_->victims = victims;
  change_->aborts = aborts;
  change_->newcomers = newcomers;
  simulation_.Trace(host_.name_ + " begins " + options.id + (aborts ? ", aborting" : ""));
  change_->machine.Tick(host_.Now());
}

// ---------------------------------------------------------------- The machine

SimulatedHost::SimulatedHost(Simulation& simulation, size_t index)
    : simulation_(simulation),
      index_(index),
      name_("h" + std::to_string(index)),
      // Two clocks differ by less than 1 %.
      rate_(0.9955 + 0.009 * static_cast<double>(simulation.random_.Below(1000)) / 1000),
      offset_((1 + simulation.random_.Below(100000)) * kSecond) {
  PowerOn();
}

SimulatedHost::~SimulatedHost() = default;

Time SimulatedHost::Now() const {
  return offset_ + static_cast<Time>(static_cast<double>(simulation_.now_) * rate_);
}

void SimulatedHost::PowerOn() {
  up_ = true;
  boot_id_ = "boot-" + name_ + "-" + std::to_string(++boots_);
  StartDaemon();
}

void SimulatedHost::PowerOff() {
  StopDaemon();
  up_ = false;
  boots_++;
  admit_until_ = 0;
  gate_incarnation_.clear();
  in_flight_.clear();
  drains_.clear();
  for (SimulatedNexus& nexus : simulation_.nexuses_) {
    if (nexus.host == index_) nexus.allowed = false;
  }
}

void SimulatedHost::StartDaemon() {
  if (up_ && !daemon_) daemon_ = std::make_unique<Daemon>(*this);
}

void SimulatedHost::StopDaemon() {
  daemons_++;
  daemon_.reset();
  drains_.clear();
}

void SimulatedHost::Step(Instant delay, std::function<void()> act) {
  simulation_.After(delay, [this, boots = boots_, act = std::move(act)] {
    if (boots != boots_) return;
    if (simulation_.now_ >= frozen_until_) return act();
    // All go on together, in any order.
    const auto jitter = static_cast<Instant>(simulation_.random_.Below(300) * kMicrosecond);
    Step(frozen_until_ - simulation_.now_ + jitter, act);
  });
}

void SimulatedHost::DaemonStep(Instant delay, std::function<void()> act) {
  Step(delay, [this, daemons = daemons_, act = std::move(act)] {
    if (daemons != daemons_) return;
    if (simulation_.now_ >= daemon_frozen_until_) return act();
    DaemonStep(daemon_frozen_until_ - simulation_.now_, act);
  });
}

void SimulatedHost::Hint() {
  if (daemon_) DaemonStep(0, [this] { daemon_->Hint(); });
}

bool SimulatedHost::has_change() const { return daemon_ && daemon_->has_change(); }

void SimulatedHost::StartChange() {
  if (!up_ || !daemon_ || has_change()) return;
  Random& random = simulation_.random_;
  if (simulation_.now_ < std::max(frozen_until_, daemon_frozen_until_)) return;
  // Two at a time are not the most interesting.
  if (simulation_.store_.Find(simulation_.keys_.Change(kLu)) != nullptr && !random.OneIn(4)) return;
  std::vector<size_t> victims;
  const size_t count = simulation_.nexuses_.size();
  if (!random.OneIn(3)) victims.push_back(random.Below(count));
  if (!victims.empty() && random.OneIn(3)) victims.push_back(random.Below(count));
  const size_t victims_host = victims.empty() ? index_ : simulation_.nexuses_[victims[0]].host;
  if (victims_host != index_ && !simulation_.is_calm_ && random.OneIn(4)) {
    simulation_.Silence(victims_host);
  }
  const Time patience = (2 + random.Below(14)) * kSecond;
  const uint64_t newcomers = random.OneIn(3) ? uint64_t{1} << random.Below(count) : ~uint64_t{0};
  daemon_->StartChange(victims, random.OneIn(2), newcomers, patience);
}

std::string SimulatedHost::WhyNotAtRest(uint64_t mask) const {
  if (!daemon_ || daemon_->membership().phase() != Membership::Phase::kMember) {
    return name_ + " is no member";
  }
  if (Now() > admit_until_) return name_ + " admits nothing";
  for (size_t i = 0; i < simulation_.nexuses_.size(); i++) {
    const SimulatedNexus& nexus = simulation_.nexuses_[i];
    if (nexus.host == index_ && nexus.allowed != ((mask >> i & 1) != 0)) {
      return nexus.name + (nexus.allowed ? " is open" : " is shut");
    }
  }
  return "";
}

// ---------------------------------------------------------------- Commands

// Counted, then the clock, then on its way, then over: gate/gate.h of a store with a deadline.
void SimulatedHost::StartCommand(size_t nexus) {
  if (!up_ || simulation_.now_ < frozen_until_ || !simulation_.nexuses_[nexus].allowed) return;
  const uint64_t id = ++commands_;
  in_flight_[id] = {nexus, simulation_.now_, gate_incarnation_, false};
  Step(simulation_.random_.Delay(20 * kMicrosecond, 3'000'000'000, 50), [this, id] { Check(id); });
}

void SimulatedHost::Check(uint64_t id) {
  if (Now() > admit_until_) return Leave(id);
  simulation_.CheckAdmitted(in_flight_.at(id));
  Step(simulation_.random_.Delay(50 * kMicrosecond, 6'000'000'000, 50), [this, id] { Submit(id); });
}

void SimulatedHost::Submit(uint64_t id) {
  if (in_flight_.at(id).stale) {
    simulation_.Violation("a command of " + simulation_.nexuses_[in_flight_.at(id).nexus].name +
                          " reaches the medium after its PREEMPT AND ABORT was GOOD");
  }
  Step(simulation_.random_.Delay(500 * kMicrosecond, 1'000'000'000, 50), [this, id] { Leave(id); });
}

void SimulatedHost::Leave(uint64_t id) {
  in_flight_.erase(id);
  for (auto& [waited, drained] : drains_) {
    std::erase(waited, id);
    if (waited.empty()) drained();
  }
  std::erase_if(drains_, [](const auto& drain) { return drain.first.empty(); });
}

void SimulatedHost::Drain(std::vector<size_t> nexuses, std::function<void()> drained) {
  std::vector<uint64_t> waited;
  for (const auto& [id, command] : in_flight_) {
    if (std::ranges::find(nexuses, command.nexus) != nexuses.end()) waited.push_back(id);
  }
  if (waited.empty()) return drained();
  drains_.emplace_back(std::move(waited), std::move(drained));
}

void SimulatedHost::MarkStale(size_t nexus, Instant before) {
  for (auto& [id, command] : in_flight_) {
    if (command.nexus == nexus && command.counted < before) command.stale = true;
  }
}

}  // namespace scsi_pr::agent
