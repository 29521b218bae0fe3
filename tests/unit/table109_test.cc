// SPDX-License-Identifier: GPL-2.0-or-later
//
// Table 109: which parameter counts for which service action; a line a cell.
// An ignored one changes nothing about the outcome, whatever it says; a valid
// one does. From bytes, as parser and transition share the work.
#include <map>
#include <string>

#include "register_tables.h"

namespace scsi_pr {
namespace {

using namespace testing;

// A command that ends in GOOD, and what it meets.
struct Example {
  State state;
  Command command;
};

// B holds the reservation, C has the same key, B has it at port 2 as well.
State BeforePreempt() {
  return Given()
      .Registered(A(), kKeyA)
      .Registered(B(), kKeyB)
      .Registered(At(B(), 2), kKeyB)
      .Registered(C(), kKeyB)
      .Reserved(kWE, B());
}

const std::map<std::string, Example>& Examples() {
  static const std::map<std::string, Example> kExamples = {
      {"REGISTER", {ReservedByA(kWE), Register(kKeyA, kNew)}},
      {"REGISTER AND IGNORE EXISTING KEY", {ReservedByA(kWE), RegisterIgnore(kNew)}},
      {"REGISTER AND MOVE",  // in the seed's layout, the table's
       {ReservedByA(kWE), Out(OutAction::kRegisterAndMove, kKeyA, kNew).List({D()})}},
      {"RESERVE", {Given().Registered(A(), kKeyA), Reserve(kKeyA, kWE)}},
      {"RELEASE", {ReservedByA(kWE), Release(kKeyA, kWE)}},
      {"CLEAR", {ReservedByA(kWE), Clear(kKeyA)}},
      {"PREEMPT", {BeforePreempt(), Preempt(kKeyA, kKeyB, kWE).List({B()})}},
      {"PREEMPT AND ABORT", {BeforePreempt(), PreemptAndAbort(kKeyA, kKeyB, kWE).List({B()})}},
  };
  return kExamples;
}

// The same command with another value of one parameter.
Command Changed(Command command, const std::string& parameter) {
  if (parameter == "SCOPE") return std::move(command).Scope(1);
  if (parameter == "TYPE") return std::move(command).TypeCode(6);
  if (parameter == "RESERVATION KEY") command.reservation_key = 0xBAD;
  if (parameter == "SERVICE ACTION RESERVATION KEY") command.service_action_reservation_key = 0xBAD;
  if (parameter == "APTPL") command.aptpl = !command.aptpl;
  if (parameter == "ALL_TG_PT") command.all_tg_pt = !command.all_tg_pt;
  if (parameter == "SPEC_I_PT") {
    if (!command.spec_i_pt) return std::move(command).List({D()});
    command.spec_i_pt = false;
  }
  return command;
}

Outcome Send(const State& state, const Command& command) {
  const ByteVector data = OutData(command);
  const auto parsed =
      ParsePersistentReserveOut(OutCdb(command, static_cast<uint32_t>(data.size())), data);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) {
    return Outcome{ScsiStatus::kCheckCondition, *sense, state, {}, {}};
  }
  return Apply(state, kAborts, A(), std::get<PersistentReserveOut>(parsed));
}

bool Same(const Outcome& one, const Outcome& other) {
  return one.status == other.status && one.sense == other.sense && one.state == other.state &&
         one.unit_attentions == other.unit_attentions && one.preempted == other.preempted;
}

enum class Rule { kValid, kIgnored, kLuScope };
constexpr auto kValid = Rule::kValid;
constexpr auto kIgnored = Rule::kIgnored;
constexpr auto kLuScope = Rule::kLuScope;  // another SCOPE is refused

struct Row {
  const char* action;
  const char* parameter;
  Rule rule;
};

// SCOPE of RELEASE and CLEAR: the two parts of the seed's table contradict each
// other; part 2 is what 5.6.8.2 and 5.6.8.6 c) say.
constexpr Row kTable[] = {
    {"REGISTER", "SCOPE", kIgnored},
    {"REGISTER", "TYPE", kIgnored},
    {"REGISTER", "RESERVATION KEY", kValid},
    {"REGISTER", "SERVICE ACTION RESERVATION KEY", kValid},
    {"REGISTER", "APTPL", kValid},
    {"REGISTER", "ALL_TG_PT", kValid},
    {"REGISTER", "SPEC_I_PT", kValid},
    {"REGISTER AND IGNORE EXISTING KEY", "SCOPE", kIgnored},
    {"REGISTER AND IGNORE EXISTING KEY", "TYPE", kIgnored},
    {"REGISTER AND IGNORE EXISTING KEY", "RESERVATION KEY", kIgnored},
    {"REGISTER AND IGNORE EXISTING KEY", "SERVICE ACTION RESERVATION KEY", kValid},
    {"REGISTER AND IGNORE EXISTING KEY", "APTPL", kValid},
    {"REGISTER AND IGNORE EXISTING KEY", "ALL_TG_PT", kValid},
    {"REGISTER AND IGNORE EXISTING KEY", "SPEC_I_PT", kValid},
    {"REGISTER AND MOVE", "SCOPE", kIgnored},
    {"REGISTER AND MOVE", "TYPE", kIgnored},
    {"REGISTER AND MOVE", "RESERVATION KEY", kValid},
    {"REGISTER AND MOVE", "SERVICE ACTION RESERVATION KEY", kValid},
    {"REGISTER AND MOVE", "APTPL", kValid},
    {"REGISTER AND MOVE", "ALL_TG_PT", kValid},
    {"REGISTER AND MOVE", "SPEC_I_PT", kValid},
    {"RESERVE", "SCOPE", kLuScope},
    {"RESERVE", "TYPE", kValid},
    {"RESERVE", "RESERVATION KEY", kValid},
    {"RESERVE", "SERVICE ACTION RESERVATION KEY", kIgnored},
    {"RESERVE", "APTPL", kIgnored},
    {"RESERVE", "ALL_TG_PT", kIgnored},
    {"RESERVE", "SPEC_I_PT", kIgnored},
    {"RELEASE", "SCOPE", kLuScope},
    {"RELEASE", "TYPE", kValid},
    {"RELEASE", "RESERVATION KEY", kValid},
    {"RELEASE", "SERVICE ACTION RESERVATION KEY", kIgnored},
    {"RELEASE", "APTPL", kIgnored},
    {"RELEASE", "ALL_TG_PT", kIgnored},
    {"RELEASE", "SPEC_I_PT", kIgnored},
    {"CLEAR", "SCOPE", kIgnored},
    {"CLEAR", "TYPE", kIgnored},
    {"CLEAR", "RESERVATION KEY", kValid},
    {"CLEAR", "SERVICE ACTION RESERVATION KEY", kIgnored},
    {"CLEAR", "APTPL", kIgnored},
    {"CLEAR", "ALL_TG_PT", kIgnored},
    {"CLEAR", "SPEC_I_PT", kIgnored},
    {"PREEMPT", "SCOPE", kLuScope},
    {"PREEMPT", "TYPE", kValid},
    {"PREEMPT", "RESERVATION KEY", kValid},
    {"PREEMPT", "SERVICE ACTION RESERVATION KEY", kValid},
    {"PREEMPT", "APTPL", kIgnored},
    {"PREEMPT", "ALL_TG_PT", kValid},
    {"PREEMPT", "SPEC_I_PT", kValid},
    {"PREEMPT AND ABORT", "SCOPE", kLuScope},
    {"PREEMPT AND ABORT", "TYPE", kValid},
    {"PREEMPT AND ABORT", "RESERVATION KEY", kValid},
    {"PREEMPT AND ABORT", "SERVICE ACTION RESERVATION KEY", kValid},
    {"PREEMPT AND ABORT", "APTPL", kIgnored},
    {"PREEMPT AND ABORT", "ALL_TG_PT", kValid},
    {"PREEMPT AND ABORT", "SPEC_I_PT", kValid},
};

TEST(Table109, Parameters) {
  for (const Row& row : kTable) {
    const std::string cell = std::string(row.action) + " / " + row.parameter;
    Clause("table 109: " + cell);
    SCOPED_TRACE(cell);
    const Example& example = Examples().at(row.action);
    const Outcome plain = Send(example.state, example.command);
    EXPECT_EQ(plain.status, ScsiStatus::kGood);
    const Outcome outcome = Send(example.state, Changed(example.command, row.parameter));
    EXPECT_EQ(Same(outcome, plain), row.rule == kIgnored);
    if (row.rule == kLuScope) {
      EXPECT_EQ(outcome.status, ScsiStatus::kCheckCondition);
    }
  }
}

// Not from bytes: the parser makes none of these. They are refused all the same.
TEST(Table106, CommandsThatNobodyParsed) {
  for (unsigned code = static_cast<unsigned>(std::size(kOutActions)); code < 256; code++) {
    ExpectCheck(ReservedByA(kWE), A(), Out(static_cast<OutAction>(code), kKeyA),
                sense::kInvalidFieldInCdb);
  }
  for (const std::vector<Nexus>& listed : {std::vector<Nexus>{}, {B(), C()}}) {
    ExpectCheck(ReservedByA(kWE), A(), Out(OutAction::kRegisterAndMove, kKeyA, kNew).List(listed),
                sense::kInvalidFieldInParameterList);
  }
  EXPECT_TRUE(IsExclusiveAccess(Type{0xF})) << "an unknown type keeps others out";
  EXPECT_FALSE(RegistrantsHaveAccess(Type{0xF}));
}

}  // namespace
}  // namespace scsi_pr
