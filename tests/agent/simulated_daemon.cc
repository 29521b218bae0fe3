// SPDX-License-Identifier: GPL-2.0-or-later
#include "simulated_daemon.h"

#include <algorithm>
#include <utility>

namespace scsi_pr::agent {

namespace {

constexpr Instant kMicrosecond = 1000;
constexpr const char* kUnit = kSimulatedUnit;

}  // namespace

// ---------------------------------------------------------------- The logical unit

struct SimulatedDaemon::Unit : public Participant::Outside {
  explicit Unit(SimulatedDaemon& its_daemon)
      : daemon(its_daemon),
        gate(its_daemon.host_.gate_),
        machine(daemon.host_.name_, kUnit, daemon.simulation_.keys_, *this) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    daemon.Ask(transaction, [this, request](const Answer& answer) {
      machine.Answered(daemon.host_.Now(), request, answer);
    });
  }
  void Attached(const std::map<std::string, NexusRecord>& attached) override { nexuses = attached; }
  bool IsFree() const { return daemon.simulation_.now_ >= gate.locked_until; }
  bool IsHere(size_t i) const {
    const auto record = nexuses.find(daemon.simulation_.nexuses_[i].key);
    return record != nexuses.end() && record->second.IsAt(daemon.host_.name_);
  }
  static AccessMask Kept(const std::vector<Victim>& victims, const std::string& key) {
    const auto victim = std::ranges::find(victims, key, &Victim::nexus);
    return victim == victims.end() ? ~AccessMask{0} : victim->keep;
  }
  bool Publish(const std::optional<StateRecord>& state, const std::vector<Victim>& shut) override {
    if (!IsFree()) return false;
    shown_state = state;
    const uint64_t mask = SimulatedState::MaskOf(state);
    const State shown = SimulatedState::Of(mask, false);
    for (size_t i = 0; i < gate.slots.size(); i++) {
      SimulatedSlot& slot = gate.slots[i];
      const SimulatedNexus& nexus = daemon.simulation_.nexuses_[i];
      slot.allowed = 0;
      if (slot.vm == 0 || !IsHere(i)) continue;
      // An heir hears it from the one whom he follows.
      if (state && nexuses.at(nexus.key).host == daemon.host_.name_) Tell(*state, nexus, &slot);
      slot.allowed = AllowedAccess(shown, nexus.nexus) & Kept(shut, nexus.key);
    }
    gate.version = VersionOf(state);
    gate.is_shut = false;
    daemon.simulation_.Trace(daemon.host_.name_ + " publishes " + std::to_string(gate.version));
    return true;
  }
  bool IsConcerned(const StateRecord& next) const override {
    if (!shown_state || next.version != shown_state->version + 1) return true;
    const State before = SimulatedState::Of(SimulatedState::MaskOf(shown_state), false);
    const State after = SimulatedState::Of(SimulatedState::MaskOf(next), false);
    return ConcernsHost(before, after, next, shown_state->version, daemon.host_.name_, nexuses);
  }
  static void Tell(const StateRecord& state, const SimulatedNexus& nexus, SimulatedSlot* slot) {
    for (const auto& [version, conditions] : ToldSince(state, nexus.nexus, slot->version)) {
      slot->attentions.push_back(version);
    }
    slot->version = state.version;
  }
  bool Shut(const std::vector<Victim>& victims) override {
    if (!IsFree()) return false;
    for (size_t i = 0; i < gate.slots.size(); i++) {
      gate.slots[i].allowed &= Kept(victims, daemon.simulation_.nexuses_[i].key);
    }
    return true;
  }
  void Drain(const std::vector<std::string>& nexuses_to_drain) override {
    const std::vector<size_t> among = daemon.Among(nexuses_to_drain);
    daemon.host_.Drain(&among, daemon.Latest(&daemon.drain_victims_,
                                             [this] { machine.Drained(daemon.host_.Now()); }));
  }
  void Fenced(const std::string& id) override;
  bool IsUnderWay(const std::string& id) const override;
  bool IsCommitting() const override;
  void Failed(const Status& why) override {
    daemon.simulation_.Violation(daemon.host_.name_ + " cannot read: " + why.message());
  }

  SimulatedDaemon& daemon;
  SimulatedGate& gate;
  std::map<std::string, NexusRecord> nexuses;
  std::optional<StateRecord> shown_state;
  Participant machine;
};

// ---------------------------------------------------------------- A change

struct SimulatedDaemon::Running : public Change::Outside {
  Running(SimulatedDaemon& its_daemon, Change::Options options, Plan its_plan)
      : daemon(its_daemon),
        plan(std::move(its_plan)),
        machine(std::move(options), daemon.simulation_.keys_, *this,
                [&daemon = daemon] { return daemon.NewWord(); }) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    sent_in = daemon.unit_->machine.epoch();
    daemon.Ask(transaction, [this, request, lives = std::weak_ptr(alive)](const Answer& answer) {
      if (lives.expired()) return;
      machine.Answered(daemon.host_.Now(), request, answer);
    });
  }
  uint64_t Next(uint64_t before) const {
    const uint64_t all = (uint64_t{1} << daemon.simulation_.nexuses_.size()) - 1;
    if (plan.victims.empty()) {
      const uint64_t mask = before | plan.newcomers;
      return (mask & all) == all ? SimulatedState::kAll : mask;
    }
    uint64_t mask = before & all;
    for (const size_t victim : plan.victims) mask &= ~(uint64_t{1} << victim);
    return mask == (before & all) ? before : mask;
  }
  void NeedProof(const std::string&) override {}  // somebody confirms it, or not
  void Decide(const std::optional<StateRecord>& state,
              const std::map<std::string, NexusRecord>& nexuses) override {
    Change::Decision decision;
    Simulation::Planned planned;
    const uint64_t before = SimulatedState::MaskOf(state), mask = Next(before);
    // The second victim only loses its access.
    std::vector<Nexus> preempted;
    if (plan.aborts && !plan.victims.empty() && (before >> plan.victims[0] & 1) != 0) {
      planned.preempted = uint64_t{1} << plan.victims[0];
      preempted = {daemon.simulation_.nexuses_[plan.victims[0]].nexus};
    }
    for (size_t i = 0; i < daemon.simulation_.nexuses_.size(); i++) {
      if ((plan.told >> i & 1) == 0) continue;
      planned.told |= uint64_t{1} << i;
      decision.unit_attentions.push_back(
          {daemon.simulation_.nexuses_[i].nexus, sense::kReservationsReleased, std::nullopt});
    }
    decision.changes = changes = mask != before;
    decision.aborts = !preempted.empty();
    decision.document = SimulatedState::DocumentOf(mask, plan.aptpl);
    decision.victims = VictimsOf(SimulatedState::Of(before, false), SimulatedState::Of(mask, false),
                                 preempted, decision.aborts, nexuses);
    decision.concerned =
        ConcernedBy(SimulatedState::Of(before, false), SimulatedState::Of(mask, false),
                    decision.unit_attentions, nexuses);
    for (size_t i = 0; i < daemon.simulation_.nexuses_.size(); i++) {
      const bool is_concerned =
          std::ranges::find(decision.concerned, daemon.simulation_.nexuses_[i].key) !=
          decision.concerned.end();
      if (is_concerned) planned.concerned |= uint64_t{1} << i;
    }
    daemon.simulation_.planned_[machine.id()] = planned;
    daemon.Soon([this, decision] { machine.Decided(daemon.host_.Now(), decision); });
  }
  void Fence(const ChangeRecord& change) override {
    daemon.unit_->machine.Fence(daemon.host_.Now(), change);
  }
  void Committed(int64_t revision) override {
    daemon.Soon(
        [&daemon = daemon, id = machine.id(), epoch = sent_in, revision, there = machine.there()] {
          daemon.unit_->machine.Committed(daemon.host_.Now(), id, epoch, revision, there);
        });
  }
  void Release() {
    daemon.Soon([&daemon = daemon, id = machine.id()] {
      daemon.unit_->machine.Release(daemon.host_.Now(), id);
    });
  }
  void Ended(Change::Result its_result, const Failure&) override {
    result = its_result;
    if (its_result != Change::Result::kForeign) return;
    if (std::exchange(daemon.foreign_, machine.foreign()) == machine.foreign()) return;
    daemon.foreign_since_ = daemon.host_.Now();
  }
  void Over() override { Release(); }
  // Whether all is over. GOOD is for the guest to see when its own gate shows it, too.
  bool Finish() {
    const bool is_good = result == Change::Result::kGood;
    if (is_good && changes && daemon.unit_->machine.published_version() < machine.version()) {
      return false;
    }
    if (result && !is_told) {
      is_told = true;
      if (changes || !is_good) {
        daemon.simulation_.CheckEnded(daemon.host_, machine.id(), *result);
      }
    }
    return machine.is_over() && is_told;
  }

  const std::shared_ptr<const bool> alive = std::make_shared<bool>(true);
  SimulatedDaemon& daemon;
  const Plan plan;
  std::optional<Change::Result> result;
  bool changes = true;
  bool is_told = false;
  uint64_t sent_in = 0;  // the participant's epoch
  Change machine;
};

void SimulatedDaemon::Unit::Fenced(const std::string& id) {
  daemon.Soon([&daemon = daemon, id] {
    if (daemon.change_ && daemon.change_->machine.id() == id) {
      daemon.change_->machine.Fenced(daemon.host_.Now());
    }
  });
}

bool SimulatedDaemon::Unit::IsUnderWay(const std::string& id) const {
  return daemon.change_ && daemon.change_->machine.id() == id;
}

bool SimulatedDaemon::Unit::IsCommitting() const {
  return daemon.change_ && daemon.change_->machine.is_committing();
}

void SimulatedDaemon::StartChange(const Plan& plan, Time patience) {
  Change::Options options;
  options.host = host_.name_;
  options.lu = kUnit;
  options.id = NewWord();
  options.deadline = host_.Now() + patience;
  options.settle = 3 * kSecond;
  options.patience = patience + 5 * kSecond;
  options.declarations = declarations_;
  options.foreign = foreign_;
  options.foreign_since = foreign_since_;
  if (const Reading* there = unit_->machine.current()) {
    options.presumption = {there->state, there->state_revision, there->nexuses};
    simulation_.Count("presumed");
  }
  simulation_.Trace(host_.name_ + " begins " + options.id + (plan.aborts ? ", aborting" : ""));
  change_ = std::make_unique<Running>(*this, options, plan);
  change_->machine.Tick(host_.Now());
}

// ---------------------------------------------------------------- Nexuses

struct SimulatedDaemon::Operation : public NexusChange::Outside {
  Operation(SimulatedDaemon& its_daemon, NexusChange::Options options, SimulatedVm::Done its_done)
      : daemon(its_daemon),
        what(options.what),
        done(std::move(its_done)),
        deadline(options.deadline),
        machine(std::move(options), daemon.simulation_.keys_, *this,
                [&daemon = daemon] { return daemon.NewWord(); }) {}

  void Send(uint64_t request, const Transaction& transaction) override {
    daemon.Ask(transaction, [this, request](const Answer& answer) {
      machine.Answered(daemon.host_.Now(), request, answer);
    });
  }
  void Ended(NexusChange::Result its_result, const Status&) override {
    result = its_result;
    constexpr const char* kNames[] = {"good", "in use", "busy", "refused", "unknown"};
    constexpr const char* kWhats[] = {"attach", "attach incoming", "detach", "hand over",
                                      "take over"};
    const std::string text = std::string(kWhats[static_cast<size_t>(what)]) + ": " +
                             kNames[static_cast<size_t>(its_result)];
    daemon.simulation_.Count(text);
    daemon.simulation_.Trace(daemon.host_.name_ + ": " + text);
    if (its_result == NexusChange::Result::kRefused) daemon.simulation_.Violation("refused");
  }
  // True: it is over, and `done` has been called. It is good when the gate shows what was in
  // force then.
  bool Finish(Time now) {
    if (!result) return false;
    bool is_good = *result == NexusChange::Result::kGood;
    if (is_good && what != NexusChange::What::kDetach &&
        daemon.unit_->machine.published_version() < machine.version()) {
      if (now < deadline + 5 * kSecond) return false;
      is_good = false;
    }
    daemon.host_.Step(daemon.Slowly(),
                      [done = done, is_good, owned = machine.owned()] { done(is_good, owned); });
    return true;
  }

  SimulatedDaemon& daemon;
  const NexusChange::What what;
  const SimulatedVm::Done done;
  const Time deadline;
  std::optional<NexusChange::Result> result;
  NexusChange machine;
};

bool SimulatedDaemon::Operate(NexusChange::What what, size_t nexus, SimulatedVm::Done done) {
  if (operations_.contains(nexus)) return false;
  NexusChange::Options options;
  options.host = host_.name_;
  options.lu = kUnit;
  options.what = what;
  options.nexus = simulation_.nexuses_[nexus].nexus;
  options.deadline = host_.Now() + (2 + simulation_.random_.Below(14)) * kSecond;
  options.declarations = declarations_;
  operations_[nexus] = std::make_unique<Operation>(*this, options, std::move(done));
  return true;
}

std::vector<SimulatedVm::Done> SimulatedDaemon::Unanswered() const {
  std::vector<SimulatedVm::Done> unanswered;
  for (const auto& [nexus, operation] : operations_) unanswered.push_back(operation->done);
  return unanswered;
}

// Nexuses of this host that nobody has here: the kernel says so.
void SimulatedDaemon::LookAtSlots() {
  for (size_t i = 0; i < host_.gate_.slots.size(); i++) {
    if (host_.gate_.slots[i].vm != 0 || !unit_->IsHere(i)) continue;
    Operate(NexusChange::What::kDetach, i, [](bool, bool) {});
  }
}

// ---------------------------------------------------------------- The daemon

SimulatedDaemon::SimulatedDaemon(SimulatedHost& host)
    : host_(host),
      simulation_(host.simulation_),
      membership_({host.name_, "machine-" + host.name_, host.boot_id_, 1, simulation_.duration_},
                  simulation_.keys_, host.memory_, *this, [this] { return NewWord(); }),
      unit_(std::make_unique<Unit>(*this)) {
  Wake();
}

SimulatedDaemon::~SimulatedDaemon() = default;

// Now and then a thread waits long for a processor.
Instant SimulatedDaemon::Slowly() {
  return simulation_.random_.Delay(50 * kMicrosecond, 5'000'000'000,
                                   simulation_.is_calm_ ? 1000000 : 30);
}

void SimulatedDaemon::Ask(const Transaction& transaction, Simulation::Done done) {
  simulation_.Request(host_.index_, transaction,
                      [&host = host_, daemons = host_.daemons_, done](const Answer& answer) {
                        if (daemons != host.daemons_) return;
                        host.DaemonStep(host.daemon_->Slowly(), [done, answer] { done(answer); });
                      });
}

std::function<void()> SimulatedDaemon::Latest(uint64_t* latest, std::function<void()> act) {
  return [this, latest, number = ++*latest, act] {
    Soon([latest, number, act] {
      if (*latest == number) act();
    });
  };
}

bool SimulatedDaemon::HasToAct(Time now) const {
  return now >= membership_.NextTick() || now >= unit_->machine.NextTick() ||
         (change_ && now >= change_->machine.NextTick()) ||
         std::ranges::any_of(operations_, [now](const auto& each) {
           return now >= each.second->machine.NextTick();
         });
}

// Looks each 20 ms which machine wants a tick.
void SimulatedDaemon::Wake() {
  const Time now = host_.Now();
  if (!HasToAct(now)) simulation_.idle_++;
  membership_.Tick(now);
  unit_->machine.Tick(now);
  if (change_) change_->machine.Tick(now);
  for (const auto& [nexus, operation] : operations_) operation->machine.Tick(now);
  if (change_ && change_->Finish()) change_.reset();
  std::erase_if(operations_, [now](const auto& each) { return each.second->Finish(now); });
  if (now >= look_at_slots_) {
    look_at_slots_ = now + kSecond;
    LookAtSlots();
  }
  host_.DaemonStep(20'000'000, [this] { Wake(); });
}

void SimulatedDaemon::Hint(const std::vector<News>& news) {
  const Time now = host_.Now();
  unit_->machine.Hear(now, news);
  if (change_) change_->machine.Hear(now, news);
  for (const auto& [nexus, operation] : operations_) operation->machine.Look(now);
}

std::vector<size_t> SimulatedDaemon::Among(const std::vector<std::string>& keys) const {
  std::vector<size_t> among;
  for (size_t i = 0; i < simulation_.nexuses_.size(); i++) {
    if (std::ranges::find(keys, simulation_.nexuses_[i].key) != keys.end()) among.push_back(i);
  }
  return among;
}

void SimulatedDaemon::Send(uint64_t request, const Transaction& transaction) {
  Ask(transaction, [this, request](const Answer& answer) {
    // Something has been written since the last look.
    if (answer.answered() && std::exchange(seen_, answer.revision) != answer.revision) {
      unit_->machine.Look(host_.Now());
    }
    membership_.Answered(host_.Now(), request, answer);
  });
}

void SimulatedDaemon::Shut() {
  host_.gate_.admit_until = 0;
  host_.gate_.is_shut = true;
  host_.gate_.incarnation.clear();
  for (SimulatedSlot& slot : host_.gate_.slots) slot.allowed = 0;
  unit_->machine.Close();
  simulation_.Trace(host_.name_ + " is shut");
}

void SimulatedDaemon::Drain() {
  host_.Drain(nullptr, Latest(&drain_, [this] { membership_.Drained(host_.Now()); }));
}

void SimulatedDaemon::Open() { unit_->machine.Open(host_.Now()); }

void SimulatedDaemon::Admit(Time until) {
  host_.gate_.admit_until = std::max(host_.gate_.admit_until, until);
  host_.gate_.incarnation = membership_.incarnation();
}

void SimulatedDaemon::Refused(const Status& why) {
  simulation_.Violation(host_.name_ + " is refused: " + why.message());
}

}  // namespace scsi_pr::agent
