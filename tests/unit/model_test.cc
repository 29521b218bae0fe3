// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random histories of PERSISTENT RESERVE OUT: Apply() against the independent
// model (model.h), after every command. A history that differs is shrunk and
// printed.
#include "model.h"

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <tuple>

#include "core/access.h"
#include "core/document.h"
#include "testing.h"

namespace scsi_pr {
namespace {

constexpr int kInitiators = 6;
constexpr int kPowerCycle = 100;  // in place of a service action

struct Step {
  model::Nexus sender;
  model::Command command;
};
using History = std::vector<Step>;

// What both sides can do; with a history it makes a run.
struct Setting {
  bool persists = false;
  bool aborts = false;
};

const TransportId& Initiator(int number) {
  static const std::vector<TransportId> kPorts = [] {
    std::vector<TransportId> ports;
    for (int i = 0; i < kInitiators; i++) {
      ports.push_back(testing::Port("naa.500000000000000" + std::to_string(i)));
    }
    return ports;
  }();
  return kPorts[static_cast<size_t>(number)];
}

Nexus CoreNexus(model::Nexus nexus) {
  return Nexus{Initiator(nexus.first), static_cast<uint16_t>(nexus.second)};
}

model::Nexus ModelNexus(const Nexus& nexus) {
  for (int i = 0; i < kInitiators; i++) {
    if (Initiator(i) == nexus.initiator) return {i, nexus.target_port};
  }
  return {-1, -1};
}

PersistentReserveOut CoreCommand(const model::Command& command) {
  PersistentReserveOut out;
  out.action = static_cast<OutAction>(command.action);
  out.scope = static_cast<uint8_t>(command.scope);
  out.type = static_cast<uint8_t>(command.type);
  out.reservation_key = command.key;
  out.service_action_reservation_key = command.action_key;
  out.spec_i_pt = command.spec_i_pt;
  out.all_tg_pt = command.all_tg_pt;
  out.aptpl = command.aptpl;
  out.unreg = command.unreg;
  out.target_port = static_cast<uint16_t>(command.destination_port);
  for (int initiator : command.list) out.transport_ids.push_back(Initiator(initiator));
  return out;
}

// The printed form.

std::string Text(model::Nexus nexus) {
  return std::string(1, static_cast<char>('A' + nexus.first)) + "@" +
         (nexus.second == 0 ? "all" : std::to_string(nexus.second));
}

std::string Text(const std::set<model::Nexus>& nexuses) {
  std::string text;
  for (model::Nexus nexus : nexuses) text += " " + Text(nexus);
  return text;
}

std::string Text(const Step& step) {
  constexpr const char* kNames[] = {
      "REGISTER", "RESERVE",           "RELEASE",             "CLEAR",
      "PREEMPT",  "PREEMPT AND ABORT", "REGISTER AND IGNORE", "REGISTER AND MOVE"};
  if (step.command.action == kPowerCycle) return "power cycle";
  const model::Command& c = step.command;
  std::ostringstream out;
  out << Text(step.sender) << ' ' << kNames[c.action] << " key " << c.key << " action key "
      << c.action_key << " type " << c.type << (c.scope != 0 ? " scope!" : "")
      << (c.all_tg_pt ? " ALL_TG_PT" : "") << (c.aptpl ? " APTPL" : "")
      << (c.unreg ? " UNREG" : "") << (c.spec_i_pt ? " SPEC_I_PT" : "");
  for (int initiator : c.list) out << ' ' << static_cast<char>('A' + initiator);
  if (c.action == 7) out << " at port " << c.destination_port;
  return out.str();
}

// What one side says after a command, as text: compared, and shown when it differs.

const char* Text(model::Status status) {
  constexpr const char* kNames[] = {"GOOD", "RESERVATION CONFLICT", "24/00", "26/00", "26/04"};
  return kNames[static_cast<int>(status)];
}

std::string StatusOf(const Outcome& outcome) {
  if (outcome.status == ScsiStatus::kGood) return "GOOD";
  if (outcome.status == ScsiStatus::kReservationConflict) return "RESERVATION CONFLICT";
  if (outcome.sense == sense::kInvalidFieldInCdb) return "24/00";
  if (outcome.sense == sense::kInvalidFieldInParameterList) return "26/00";
  if (outcome.sense == sense::kInvalidReleaseOfPersistentReservation) return "26/04";
  return "another sense";
}

std::string Text(const std::set<std::pair<model::Nexus, int>>& told) {
  std::string text;
  for (const auto& [nexus, ascq] : told) text += " " + Text(nexus) + ":2A/0" + std::to_string(ascq);
  return text;
}

std::string ToldBy(const Outcome& outcome) {
  std::set<std::pair<model::Nexus, int>> told;
  for (const UnitAttention& attention : outcome.unit_attentions) {
    const auto [initiator, registered_port] = ModelNexus(attention.nexus);
    for (int port : model::kTargetPorts) {
      bool reached = registered_port == 0 || registered_port == port;
      if (attention.but_not == CoreNexus({initiator, port})) reached = false;
      if (reached) told.insert({{initiator, port}, attention.sense.ascq});
    }
  }
  return Text(told);
}

std::string ToldBy(const model::Answer& answer) {
  std::set<std::pair<model::Nexus, int>> told;
  for (const auto& [nexus, condition] : answer.told) {
    constexpr int kAscq[] = {3, 4, 5};
    told.insert({nexus, kAscq[static_cast<int>(condition)]});
  }
  return Text(told);
}

std::string StateText(uint32_t generation, bool aptpl, const std::map<model::Nexus, uint64_t>& keys,
                      int type, std::optional<model::Nexus> holder) {
  std::ostringstream out;
  out << "generation " << generation << (aptpl ? " APTPL" : "");
  for (const auto& [nexus, key] : keys) out << ' ' << Text(nexus) << '=' << key;
  if (type != 0) out << "; type " << type << " by " << (holder ? Text(*holder) : "all");
  return out.str();
}

std::string StateOf(const State& state) {
  std::map<model::Nexus, uint64_t> keys;
  for (const Registration& r : state.registrations) keys[ModelNexus(r.nexus)] = r.key;
  if (!state.reservation) return StateText(state.generation, state.aptpl, keys, 0, {});
  std::optional<model::Nexus> holder;
  if (state.reservation->holder) holder = ModelNexus(*state.reservation->holder);
  return StateText(state.generation, state.aptpl, keys, static_cast<int>(state.reservation->type),
                   holder);
}

std::string StateOf(const model::LogicalUnit& lu) {
  const bool single = lu.type != 7 && lu.type != 8;
  return StateText(lu.generation, lu.aptpl, lu.keys, lu.type,
                   single ? std::optional(lu.holder) : std::nullopt);
}

// Reads and writes for every nexus; the rest is always allowed.
std::string AccessIn(const std::function<std::pair<bool, bool>(model::Nexus)>& allowed) {
  std::string text;
  for (int initiator = 0; initiator < kInitiators; initiator++) {
    for (int port : model::kTargetPorts) {
      const auto [reads, writes] = allowed({initiator, port});
      text += reads ? (writes ? 'w' : 'r') : (writes ? '?' : '-');
    }
  }
  return text;
}

std::string AccessIn(const State& state) {
  return AccessIn([&](model::Nexus nexus) {
    const AccessMask mask = AllowedAccess(state, CoreNexus(nexus));
    EXPECT_TRUE((mask & Bit(AccessClass::kUnrestricted)) != 0);
    EXPECT_TRUE((mask & Bit(AccessClass::kReservation)) != 0);
    return std::pair((mask & Bit(AccessClass::kRead)) != 0, (mask & Bit(AccessClass::kWrite)) != 0);
  });
}

std::string AccessIn(const model::LogicalUnit& lu) {
  return AccessIn([&](model::Nexus n) { return std::pair(lu.MayRead(n), lu.MayWrite(n)); });
}

// Both sides of one logical unit.
class Pair {
 public:
  explicit Pair(Setting setting)
      : capabilities_{.persist_through_power_loss = setting.persists,
                      .abort_tasks = setting.aborts} {
    model_.persists = setting.persists;
    model_.aborts = setting.aborts;
  }

  const model::LogicalUnit& model() const { return model_; }
  const State& state() const { return state_; }

  // Does the step on both; says where they differ, or nothing.
  std::string Do(const Step& step) {
    if (step.command.action == kPowerCycle) {
      state_ = AfterPowerOn(state_);
      model_.PowerCycle();
      return DifferenceOfStates();
    }
    const Outcome outcome =
        Apply(state_, capabilities_, CoreNexus(step.sender), CoreCommand(step.command));
    const model::Answer answer = model_.Do(step.sender, step.command);
    last_ = answer.status;
    state_ = outcome.state;
    std::set<model::Nexus> aborted;
    for (const Nexus& nexus : outcome.preempted) aborted.insert(ModelNexus(nexus));
    return Difference("status", StatusOf(outcome), Text(answer.status)) +
           Difference("told", ToldBy(outcome), ToldBy(answer)) +
           Difference("aborted", Text(aborted), Text(answer.aborted)) + DifferenceOfStates();
  }
  model::Status last() const { return last_; }

 private:
  static std::string Difference(const char* what, const std::string& core,
                                const std::string& model) {
    if (core == model) return "";
    return std::string("  ") + what + ": the core says  " + core + "\n  " + what +
           ": the model says " + model + "\n";
  }
  std::string DifferenceOfStates() const {
    return Difference("state", StateOf(state_), StateOf(model_)) +
           Difference("access", AccessIn(state_), AccessIn(model_)) +
           Difference("invariant", FindViolation(state_).value_or(""), "");
  }

  Capabilities capabilities_;
  State state_;
  model::LogicalUnit model_;
  model::Status last_ = model::Status::kGood;
};

std::string FirstDifference(Setting setting, const History& history) {
  Pair pair(setting);
  for (const Step& step : history) {
    if (std::string difference = pair.Do(step); !difference.empty()) return difference;
  }
  return "";
}

// Leaves out whatever can be left out while it still differs.
History Shrink(History history, const std::function<bool(const History&)>& differs) {
  for (size_t length = history.size(); length != 0; length = length == 1 ? 0 : (length + 1) / 2) {
    for (size_t at = 0; at < history.size();) {
      History shorter = history;
      const auto first = shorter.begin() + static_cast<ptrdiff_t>(at);
      shorter.erase(first, first + static_cast<ptrdiff_t>(std::min(length, shorter.size() - at)));
      if (differs(shorter)) {
        history = std::move(shorter);
      } else {
        at += length;
      }
    }
  }
  return history;
}

std::string Report(Setting setting, const History& history) {
  const History shrunk = Shrink(
      history, [&](const History& h) { return !FirstDifference(setting, h).empty(); });
  std::string text = setting.persists ? "with PTPL_C" : "without PTPL_C";
  text += setting.aborts ? ", with PREEMPT AND ABORT\n" : ", without PREEMPT AND ABORT\n";
  for (const Step& step : shrunk) text += Text(step) + "\n";
  return text + FirstDifference(setting, shrunk);
}

// Commands that often collide: few nexuses, few keys, mostly the right one.
class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {
    // Six nexuses: six initiator ports at one target port ... two at three.
    static constexpr std::pair<int, int> kShapes[] = {{6, 1}, {3, 2}, {2, 3}};
    std::tie(initiators_, ports_) = kShapes[Below(3)];
  }

  Setting MakeSetting() { return {Chance(80), Chance(80)}; }

  Step Next(const model::LogicalUnit& lu) {
    Step step;
    step.sender = {Below(initiators_), 1 + Below(ports_)};
    // Those that destroy what others have built are rarer.
    constexpr int kActions[] = {0, 0, 0, 0, 6, 6, 6, 1, 1, 1, 1, 2, 2, 3, 4, 4, 5, 5, 7, 7, 7};
    model::Command& c = step.command;
    if (Below(400) == 0) {
      c.action = kPowerCycle;
      return step;
    }
    c.action = kActions[Below(std::size(kActions))];
    if (lu.type != 0 && (c.action == 7 || c.action == 2) && Chance(60)) step.sender = lu.holder;
    const auto own = lu.RegistrationOf(step.sender);
    c.key = Chance(85) ? (own ? lu.keys.at(*own) : 0) : Key();
    c.action_key = Key();
    constexpr int kTypes[] = {1, 3, 5, 6, 7, 8};
    c.type = Chance(90) ? kTypes[Below(std::size(kTypes))] : Below(16);
    if (lu.type != 0 && Chance(30)) c.type = lu.type;
    c.scope = Chance(93) ? 0 : Below(16);
    c.spec_i_pt = Chance(25);
    c.all_tg_pt = Chance(25);
    c.aptpl = Chance(30);
    if (c.action == 7) {
      c.list = {Below(initiators_)};
      c.unreg = Chance(30);
      c.destination_port = Below(ports_ + 1);
      c.all_tg_pt = false;
    } else if (c.spec_i_pt) {
      for (int n = Below(4); n != 0; n--) c.list.push_back(Below(initiators_));
    }
    return step;
  }

 private:
  int Below(size_t bound) { return static_cast<int>(random_() % bound); }
  int Below(int bound) { return Below(static_cast<size_t>(bound)); }
  bool Chance(int percent) { return Below(100) < percent; }
  uint64_t Key() { return static_cast<uint64_t>(Below(4)); }

  std::mt19937_64 random_;
  int initiators_ = 0;
  int ports_ = 0;
};

void ExpectRoundTrip(const State& state) {
  State decoded;
  const Status status = DecodeDocument(EncodeDocument(state), &decoded);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(decoded, state);
}

TEST(Model, RandomHistories) {
  constexpr int kHistories = 3000;
  constexpr int kCommands = 150;
  std::map<std::pair<int, model::Status>, int> seen;
  int commands = 0;
  for (uint64_t seed = 1; seed <= kHistories; seed++) {
    Generator generator(seed);
    const Setting setting = generator.MakeSetting();
    Pair pair(setting);
    History history;
    for (int i = 0; i < kCommands; i++) {
      history.push_back(generator.Next(pair.model()));
      ASSERT_EQ(pair.Do(history.back()), "") << "seed " << seed << "\n" << Report(setting, history);
      seen[{history.back().command.action, pair.last()}]++;
      if (++commands % 100 == 0) ExpectRoundTrip(pair.state());
    }
  }
  EXPECT_GE(commands, 100000);

  // The histories mean something: each action succeeds often, and every way it
  // can be refused has been seen.
  using S = model::Status;
  const std::map<int, std::vector<S>> ways = {
      {0, {S::kConflict, S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList}},
      {1, {S::kConflict, S::kInvalidFieldInCdb}},
      {2, {S::kConflict, S::kInvalidRelease}},
      {3, {S::kConflict}},
      {4, {S::kConflict, S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList}},
      {5, {S::kConflict, S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList}},
      {6, {S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList}},
      {7, {S::kConflict, S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList}},
  };
  for (const auto& [action, refusals] : ways) {
    EXPECT_GE((seen[{action, S::kGood}]), 1000) << "action " << action;
    for (S refusal : refusals) {
      EXPECT_GE((seen[{action, refusal}]), 50) << "action " << action << " " << Text(refusal);
    }
  }
}

// What shrinks has to leave the cause, and nothing but the cause.
TEST(Model, Shrinks) {
  Generator generator(1);
  Pair pair(generator.MakeSetting());
  History history;
  for (int i = 0; i < 100; i++) history.push_back(generator.Next(pair.model()));
  const auto with = [](int action) {
    Step step;
    step.command.action = action;
    step.command.scope = 15;  // not one of the generator's
    step.command.type = 15;
    step.command.key = 99;
    return step;
  };
  history.insert(history.begin() + 20, with(1));
  history.insert(history.begin() + 70, with(3));
  const auto differs = [](const History& h) {
    const auto is = [](int action) {
      return [action](const Step& s) { return s.command.key == 99 && s.command.action == action; };
    };
    const auto reserve = std::find_if(h.begin(), h.end(), is(1));
    return std::find_if(reserve, h.end(), is(3)) != h.end();
  };
  const History shrunk = Shrink(history, differs);
  ASSERT_EQ(shrunk.size(), 2u);
  EXPECT_EQ(shrunk[0].command.action, 1);
  EXPECT_EQ(shrunk[1].command.action, 3);
}

}  // namespace
}  // namespace scsi_pr
