// SPDX-License-Identifier: GPL-2.0-or-later
#include "specification.h"

#include <algorithm>
#include <variant>

#include "core/legacy.h"
#include "core/report.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"
#include "spc/reserve.h"

namespace scsi_pr::linear {

namespace {

Effect Ended(const Outcome& outcome) {
  return {{outcome.status, outcome.sense, {}}, outcome.state};
}

Effect Refused(const State& state, Sense sense) {
  return {{ScsiStatus::kCheckCondition, sense, {}}, state};
}

Effect CarryIn(const State& state, const Capabilities& capabilities, const ByteVector& cdb) {
  const auto parsed = ParsePersistentReserveIn(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return Refused(state, *sense);
  const auto& command = std::get<PersistentReserveIn>(parsed);
  const Refusal refusal = RefusePersistentReserve(state);
  if (refusal.status != ScsiStatus::kGood) return {{refusal.status, refusal.sense, {}}, state};
  ByteVector data = Report(command.action, state, capabilities);
  data.resize(std::min<size_t>(data.size(), command.allocation_length));
  return {{ScsiStatus::kGood, sense::kNone, std::move(data)}, state};
}

Effect CarryOut(const State& state, const Capabilities& capabilities, const Nexus& nexus,
                const ByteVector& cdb, const ByteVector& data_out) {
  const auto parsed = ParsePersistentReserveOut(cdb, data_out);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return Refused(state, *sense);
  return Ended(Apply(state, capabilities, nexus, std::get<PersistentReserveOut>(parsed)));
}

Effect CarryLegacy(const State& state, const Nexus& nexus, const ByteVector& cdb) {
  const auto parsed = ParseReserve(cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return Refused(state, *sense);
  return Ended(ApplyLegacy(state, nexus, std::get<LegacyAction>(parsed)));
}

LogicalUnit::Life* FindLife(LogicalUnit& unit, const Nexus& nexus) {
  const auto found = std::ranges::find(unit.gone, nexus, &LogicalUnit::Life::nexus);
  return found == unit.gone.end() ? nullptr : &*found;
}

bool Attach(const Operation& operation, LogicalUnit* unit) {
  const LogicalUnit::Life* gone = FindLife(*unit, operation.nexus);
  if (gone != nullptr && gone->life >= operation.life) return false;
  if (std::ranges::find(unit->attached, operation.nexus) != unit->attached.end()) return false;
  if (unit->attached.empty()) unit->state = AfterPowerOn(unit->state);
  unit->attached.push_back(operation.nexus);
  return true;
}

bool Leave(const Operation& operation, LogicalUnit* unit) {
  std::erase(unit->attached, operation.nexus);
  unit->state = ApplyReset(unit->state, operation.nexus, Reset::kNexusLoss).state;
  if (LogicalUnit::Life* gone = FindLife(*unit, operation.nexus)) {
    gone->life = std::max(gone->life, operation.life);
  } else {
    unit->gone.push_back({operation.nexus, operation.life});
  }
  return true;
}

bool Same(const Response& a, const Response& b) {
  return a.status == b.status && a.sense == b.sense && a.data == b.data;
}

std::string Text(const Nexus& nexus) {
  return nexus.initiator.ToText() + "@" + std::to_string(nexus.target_port);
}

}  // namespace

bool Operation::Failed() const {
  return end && (response.status == ScsiStatus::kBusy ||
                 (response.status == ScsiStatus::kCheckCondition &&
                  response.sense == sense::kInternalTargetFailure));
}

bool Operation::IsUnknown() const {
  return end && response.status == ScsiStatus::kCheckCondition &&
         response.sense == sense::kLogicalUnitCommunicationTimeOut;
}

std::string LogicalUnit::Fingerprint() const {
  std::string text = std::to_string(state.generation) + (state.aptpl ? "a" : "v");
  for (const Registration& registration : state.registrations) {
    text += ";" + Text(registration.nexus) + "=" + std::to_string(registration.key);
  }
  if (state.reservation) {
    text += "!" + std::to_string(static_cast<int>(state.reservation->type));
    if (state.reservation->holder) text += Text(*state.reservation->holder);
  }
  if (state.legacy_holder) text += "r" + Text(*state.legacy_holder);
  if (state.information_lost) text += "l";
  // Who came first matters to nobody.
  std::vector<std::string> others;
  for (const Nexus& nexus : attached) others.push_back("+" + Text(nexus));
  for (const Life& life : gone) {
    others.push_back("-" + Text(life.nexus) + "#" + std::to_string(life.life));
  }
  std::ranges::sort(others);
  for (const std::string& other : others) text += other;
  return text;
}

Effect Carry(const State& state, const Capabilities& capabilities, const Nexus& nexus,
             const ByteVector& cdb, const ByteVector& data_out) {
  switch (cdb.empty() ? 0 : cdb[0]) {
    case opcode::kPersistentReserveIn: return CarryIn(state, capabilities, cdb);
    case opcode::kPersistentReserveOut: return CarryOut(state, capabilities, nexus, cdb, data_out);
    case opcode::kReserve6:
    case opcode::kReserve10:
    case opcode::kRelease6:
    case opcode::kRelease10: return CarryLegacy(state, nexus, cdb);
    default: return Refused(state, sense::kInvalidCommandOperationCode);
  }
}

bool Step(const Capabilities& capabilities, const Operation& operation, LogicalUnit* unit) {
  if (operation.Failed()) return true;
  if (operation.kind == Operation::Kind::kAttach) return Attach(operation, unit);
  if (operation.kind == Operation::Kind::kGone) return Leave(operation, unit);
  Effect effect =
      Carry(unit->state, capabilities, operation.nexus, operation.cdb, operation.data_out);
  if (operation.end && !Same(effect.response, operation.response)) return false;
  unit->state = std::move(effect.state);
  return true;
}

}  // namespace scsi_pr::linear
