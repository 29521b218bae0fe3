// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random histories of PERSISTENT RESERVE OUT, RESERVE, RELEASE and resets:
// Apply() and its like against the independent model (model.h), after every
// one. A history that differs is shrunk and printed.
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
#include "core/legacy.h"
#include "testing.h"

namespace scsi_pr {
namespace {

constexpr int kInitiators = 6;
// In place of a service action.
constexpr int kPowerCycle = 100;
constexpr int kReserve6 = 101;
constexpr int kRelease6 = 102;
constexpr int kLogicalUnitReset = 103;
constexpr int kNexusLoss = 104;
constexpr int kLoseInformation = 105;  // what no command can do

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
  constexpr const char* kNames[] = {"REGISTER",
                                    "RESERVE",
                                    "RELEASE",
                                    "CLEAR",
                                    "PREEMPT",
                                    "PREEMPT AND ABORT",
                                    "REGISTER AND IGNORE",
                                    "REGISTER AND MOVE",
                                    "REPLACE LOST"};
  constexpr const char* kOthers[] = {"power cycle",        "RESERVE",    "RELEASE",
                                     "logical unit reset", "nexus loss", "loses information"};
  if (step.command.action >= kPowerCycle) {
    return Text(step.sender) + " " + kOthers[step.command.action - kPowerCycle];
  }
  const model::Command& c = step.command;
  std::ostringstream out;
  out << Text(step.sender) << ' ' << kNames[c.action] << " key " << c.key << " action key "
      << c.action_key << " type " << c.type << (c.scope != 0 ? " scope!" : "")
      << (c.all_tg_pt ? " ALL_TG_PT" : "") << (c.aptpl ? " APTPL" : "") << (c.unreg ? " UNREG" : "")
      << (c.spec_i_pt ? " SPEC_I_PT" : "");
  for (int initiator : c.list) out << ' ' << static_cast<char>('A' + initiator);
  if (c.action == 7) out << " at port " << c.destination_port;
  return out.str();
}

// What one side says after a command, as text: compared, and shown when it differs.

const char* Text(model::Status status) {
  constexpr const char* kNames[] = {"GOOD", "RESERVATION CONFLICT", "24/00", "26/00", "26/04",
                                    "44/01"};
  return kNames[static_cast<int>(status)];
}

std::string StatusOf(const Outcome& outcome) {
  if (outcome.status == ScsiStatus::kGood) return "GOOD";
  if (outcome.status == ScsiStatus::kReservationConflict) return "RESERVATION CONFLICT";
  if (outcome.sense == sense::kInvalidFieldInCdb) return "24/00";
  if (outcome.sense == sense::kInvalidFieldInParameterList) return "26/00";
  if (outcome.sense == sense::kInvalidReleaseOfPersistentReservation) return "26/04";
  if (outcome.sense == sense::kPersistentReservationInformationLost) return "44/01";
  return "another sense";
}

// Each by its additional sense code and qualifier.
std::string Text(const std::set<std::pair<model::Nexus, int>>& told) {
  std::ostringstream out;
  for (const auto& [nexus, code] : told) out << ' ' << Text(nexus) << ':' << std::hex << code;
  return out.str();
}

std::string ToldBy(const Outcome& outcome) {
  std::set<std::pair<model::Nexus, int>> told;
  for (const UnitAttention& attention : outcome.unit_attentions) {
    const auto [initiator, registered_port] = ModelNexus(attention.nexus);
    for (int port : model::kTargetPorts) {
      bool reached = registered_port == 0 || registered_port == port;
      if (attention.but_not == CoreNexus({initiator, port})) reached = false;
      const int code = attention.sense.asc << 8 | attention.sense.ascq;
      if (reached) told.insert({{initiator, port}, code});
    }
  }
  return Text(told);
}

std::string ToldBy(const model::Answer& answer) {
  std::set<std::pair<model::Nexus, int>> told;
  for (const auto& [nexus, condition] : answer.told) {
    constexpr int kCodes[] = {0x2A03, 0x2A04, 0x2A05, 0x2903};
    told.insert({nexus, kCodes[static_cast<int>(condition)]});
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
  std::optional<model::Nexus> holder;
  if (state.reservation && state.reservation->holder) {
    holder = ModelNexus(*state.reservation->holder);
  }
  const int type = state.reservation ? static_cast<int>(state.reservation->type) : 0;
  return StateText(state.generation, state.aptpl, keys, type, holder) +
         (state.legacy_holder ? " RESERVE " + Text(ModelNexus(*state.legacy_holder)) : "") +
         (state.information_lost ? " lost" : "");
}

std::string StateOf(const model::LogicalUnit& lu) {
  const bool single = lu.type != 7 && lu.type != 8;
  return StateText(lu.generation, lu.aptpl, lu.keys, lu.type,
                   single ? std::optional(lu.holder) : std::nullopt) +
         (lu.spc2_holder ? " RESERVE " + Text(*lu.spc2_holder) : "") + (lu.lost ? " lost" : "");
}

// What each nexus may do: a digit a kind of command, or -.
std::string AccessIn(const std::function<bool(model::Nexus, model::Kind)>& allowed) {
  std::string text;
  for (int initiator = 0; initiator < kInitiators; initiator++) {
    for (int port : model::kTargetPorts) {
      for (int kind = 0; kind < model::kKinds; kind++) {
        const bool may = allowed({initiator, port}, static_cast<model::Kind>(kind));
        text += may ? static_cast<char>('0' + kind) : '-';
      }
      text += ' ';
    }
  }
  return text;
}

std::string AccessIn(const State& state) {
  static const ByteVector kCdbs[model::kKinds] = {
      {0x12, 0, 0, 0, 36, 0}, {0x1E, 0, 0, 0, 0, 0}, {0x1B, 0, 0, 0, 1, 0}, {0, 0, 0, 0, 0, 0},
      ByteVector{0x28},       ByteVector{0x3C},      ByteVector{0x2A},      ByteVector{0x3B}};
  AccessMask mask = 0;
  model::Nexus of{-1, -1};
  return AccessIn([&](model::Nexus nexus, model::Kind kind) {
    if (nexus != of) mask = AllowedAccess(state, CoreNexus(of = nexus));
    EXPECT_TRUE((mask & Bit(AccessClass::kReservation)) != 0);
    return (mask & Bit(Classify(kCdbs[static_cast<int>(kind)]))) != 0;
  });
}

std::string AccessIn(const model::LogicalUnit& lu) {
  return AccessIn([&](model::Nexus nexus, model::Kind kind) { return lu.May(nexus, kind); });
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
    const Outcome outcome = DoOnCore(CoreNexus(step.sender), step.command);
    const model::Answer answer = DoOnModel(step.sender, step.command);
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
  Outcome DoOnCore(const Nexus& sender, const model::Command& command) {
    switch (command.action) {
      case kPowerCycle: return Unchanged(AfterPowerOn(state_), ScsiStatus::kGood);
      case kReserve6: return ApplyLegacy(state_, sender, LegacyAction::kReserve);
      case kRelease6: return ApplyLegacy(state_, sender, LegacyAction::kRelease);
      case kLogicalUnitReset: return ApplyReset(state_, sender, Reset::kLogicalUnit);
      case kNexusLoss: return ApplyReset(state_, sender, Reset::kNexusLoss);
      case kLoseInformation: {
        State lost = state_;
        lost.legacy_holder.reset();
        lost.information_lost = true;
        return Unchanged(lost, ScsiStatus::kGood);
      }
      default: return Apply(state_, capabilities_, sender, CoreCommand(command));
    }
  }
  model::Answer DoOnModel(model::Nexus sender, const model::Command& command) {
    switch (command.action) {
      case kPowerCycle: model_.PowerCycle(); return {};
      case kReserve6: return model_.Reserve6(sender);
      case kRelease6: return model_.Release6(sender);
      case kLogicalUnitReset: return model_.LogicalUnitReset(sender);
      case kNexusLoss: model_.NexusLoss(sender); return {};
      case kLoseInformation: model_.LoseInformation(); return {};
      default: return model_.Do(sender, command);
    }
  }
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
  const History shrunk =
      Shrink(history, [&](const History& h) { return !FirstDifference(setting, h).empty(); });
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
    if (Below(300) == 0) {
      c.action = Below(3) == 0 ? kLoseInformation : kPowerCycle;
      return step;
    }
    // While nobody is registered, or somebody has sent RESERVE, more often.
    const int percent = lu.spc2_holder ? 45 : lu.keys.empty() || lu.lost ? 30 : 5;
    if (Chance(percent)) return NextOfSpc2(lu, step);
    c.action = kActions[Below(std::size(kActions))];
    if (Chance(lu.lost ? 20 : 1)) c.action = 8;
    if (lu.type != 0 && (c.action == 7 || c.action == 2) && Chance(60)) step.sender = lu.holder;
    const auto own = lu.RegistrationOf(step.sender);
    c.key = Chance(85) ? (own ? lu.keys.at(*own) : 0) : Key();
    if (c.action == 8) c.key = Chance(85) ? 0 : Key();
    c.action_key = Key();
    constexpr int kTypes[] = {1, 3, 5, 6, 7, 8};
    c.type = Chance(90) ? kTypes[Below(std::size(kTypes))] : Below(16);
    if (lu.type != 0 && Chance(30)) c.type = lu.type;
    c.scope = Chance(93) ? 0 : Below(16);
    c.spec_i_pt = Chance(c.action == 8 ? 5 : 25);
    c.all_tg_pt = Chance(c.action == 8 ? 5 : 25);
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
  Step NextOfSpc2(const model::LogicalUnit& lu, Step step) {
    constexpr int kActions[] = {kReserve6, kReserve6, kRelease6, kLogicalUnitReset, kNexusLoss};
    step.command.action = kActions[Below(std::size(kActions))];
    if (lu.spc2_holder && Chance(50)) step.sender = *lu.spc2_holder;
    return step;
  }

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
      {8,
       {S::kConflict, S::kInvalidFieldInCdb, S::kInvalidFieldInParameterList, S::kInvalidRelease}},
      {kReserve6, {S::kConflict, S::kInformationLost}},
      {kRelease6, {S::kConflict, S::kInformationLost}},
      {kLogicalUnitReset, {}},
  };
  for (const auto& [action, refusals] : ways) {
    EXPECT_GE((seen[{action, S::kGood}]), action == 8 ? 100 : 1000) << "action " << action;
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
