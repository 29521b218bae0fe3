// SPDX-License-Identifier: GPL-2.0-or-later
//
// Clauses are the seed proposal's (03-337r4, "5.6.rm") or, with r23, those of
// the published SPC-3, which wins where the two differ.
#include "model.h"

#include <algorithm>

namespace scsi_pr::model {

namespace {

// 6.11.4.3.
bool IsType(int type) { return type == 1 || type == 3 || (type >= 5 && type <= 8); }
bool IsAllRegistrants(int type) { return type == 7 || type == 8; }
bool IsRegistrantsOnly(int type) { return type == 5 || type == 6; }
bool IsWriteExclusive(int type) { return type == 1 || type == 5 || type == 7; }

Answer End(Status status) { return Answer{status, {}, {}}; }

// Every nexus of `registration` other than the one that sent the command.
void Tell(Answer& answer, Nexus registration, Nexus sender, Condition condition) {
  for (int port : kTargetPorts) {
    const Nexus nexus{registration.first, port};
    if (registration.second != 0 && registration.second != port) continue;
    if (nexus != sender) answer.told.insert({nexus, condition});
  }
}

void TellRegistered(Answer& answer, const LogicalUnit& lu, Nexus sender, Condition condition) {
  for (const auto& [registration, key] : lu.keys) Tell(answer, registration, sender, condition);
}

// 5.6.7: a reservation goes with the registration of its (last) holder.
void ReleaseIfHolderIsGone(LogicalUnit& lu) {
  if (lu.type == 0) return;
  const bool gone =
      IsAllRegistrants(lu.type) ? lu.keys.empty() : !lu.RegistrationOf(lu.holder).has_value();
  if (gone) lu.type = 0;
}

// 5.6.8.3.
Answer Unregister(LogicalUnit& lu, Nexus sender) {
  Answer answer;
  const int held = lu.type;
  lu.keys.erase(*lu.RegistrationOf(sender));
  ReleaseIfHolderIsGone(lu);
  if (held != 0 && lu.type == 0 && IsRegistrantsOnly(held)) {
    TellRegistered(answer, lu, sender, Condition::kReservationsReleased);
  }
  return answer;
}

// The registrations that one of `initiator` at `port` (0: all) would meet.
std::vector<Nexus> InTheWay(const LogicalUnit& lu, int initiator, int port) {
  std::vector<Nexus> found;
  for (const auto& [registration, key] : lu.keys) {
    const bool meets = port == 0 || registration.second == 0 || registration.second == port;
    if (registration.first == initiator && meets) found.push_back(registration);
  }
  return found;
}

void SetKey(LogicalUnit& lu, int initiator, int port, uint64_t key) {
  const std::vector<Nexus> found = InTheWay(lu, initiator, port);
  if (port != 0 && !found.empty()) {
    lu.keys[found[0]] = key;  // its own, or the one for all ports
    return;
  }
  for (Nexus registration : found) lu.keys.erase(registration);
  lu.keys[{initiator, port}] = key;
}

// Tables regspec and regun.
Answer RegisterNew(LogicalUnit& lu, Nexus sender, const Command& command) {
  const int port = command.all_tg_pt ? 0 : sender.second;
  std::set<int> listed;
  if (command.spec_i_pt) listed.insert(command.list.begin(), command.list.end());
  listed.erase(sender.first);
  if (command.action == 0x00) {
    if (!InTheWay(lu, sender.first, port).empty()) return End(Status::kConflict);
    for (int initiator : listed) {
      // r23 table 33, note a.
      if (!InTheWay(lu, initiator, port).empty()) {
        return End(Status::kInvalidFieldInParameterList);
      }
    }
  }
  SetKey(lu, sender.first, port, command.action_key);
  for (int initiator : listed) SetKey(lu, initiator, port, command.action_key);
  return Answer{};
}

// Tables regun and regreg.
Answer Register(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (command.aptpl && !lu.persists) return End(Status::kInvalidFieldInParameterList);
  const auto own = lu.RegistrationOf(sender);
  if (!own && command.action_key == 0) return End(Status::kGood);
  if (own && command.spec_i_pt) return End(Status::kInvalidFieldInCdb);
  if (own && command.all_tg_pt && own->second != 0) return End(Status::kInvalidFieldInCdb);

  Answer answer;
  if (!own) {
    answer = RegisterNew(lu, sender, command);
  } else if (command.action_key == 0) {
    answer = Unregister(lu, sender);
  } else {
    lu.keys[*own] = command.action_key;
  }
  if (answer.status != Status::kGood) return answer;
  lu.aptpl = command.aptpl;
  lu.generation++;
  return answer;
}

// 5.6.rm; r23 5.6.8.
Answer RegisterAndMove(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (command.aptpl && !lu.persists) return End(Status::kInvalidFieldInParameterList);
  if (lu.type == 0) return End(Status::kInvalidFieldInCdb);
  if (IsAllRegistrants(lu.type) || lu.holder != sender) return End(Status::kConflict);
  if (command.action_key == 0) return End(Status::kInvalidFieldInParameterList);
  // 5.6.rm c): "the TransportID does not describe the initiator port sending
  // the command". r23 has the same words.
  const int initiator = command.list.at(0);
  if (initiator == sender.first) return End(Status::kInvalidFieldInParameterList);
  const int port = command.destination_port != 0 ? command.destination_port : sender.second;
  SetKey(lu, initiator, port, command.action_key);
  lu.holder = {initiator, port};
  if (command.unreg) lu.keys.erase(*lu.RegistrationOf(sender));
  lu.aptpl = command.aptpl;
  lu.generation++;
  return Answer{};
}

// 5.6.6.
Answer Reserve(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (command.scope != 0 || !IsType(command.type)) return End(Status::kInvalidFieldInCdb);
  if (lu.type != 0 && (!lu.Holds(sender) || lu.type != command.type)) {
    return End(Status::kConflict);
  }
  if (lu.type == 0) {
    lu.type = command.type;
    lu.holder = sender;
  }
  return Answer{};
}

// 5.6.8.2.
Answer Release(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (!lu.Holds(sender)) return Answer{};
  if (command.scope != 0 || command.type != lu.type) return End(Status::kInvalidRelease);
  Answer answer;
  if (IsRegistrantsOnly(lu.type) || IsAllRegistrants(lu.type)) {
    TellRegistered(answer, lu, sender, Condition::kReservationsReleased);
  }
  lu.type = 0;
  return answer;
}

// 5.6.8.6.
Answer Clear(LogicalUnit& lu, Nexus sender) {
  Answer answer;
  TellRegistered(answer, lu, sender, Condition::kReservationsPreempted);
  lu.keys.clear();
  lu.type = 0;
  lu.generation++;
  return answer;
}

// Table prespec.
std::set<Nexus> SpecifiedByPreempt(const LogicalUnit& lu, Nexus sender, const Command& command) {
  const bool any_key = command.action_key == 0 && IsAllRegistrants(lu.type);
  std::set<Nexus> specified;
  for (const auto& [registration, key] : lu.keys) {
    if (!any_key && key != command.action_key) continue;
    if (command.spec_i_pt) {
      const auto& list = command.list;
      if (std::find(list.begin(), list.end(), registration.first) == list.end()) continue;
      const bool here = registration.second == 0 || registration.second == sender.second;
      if (!command.all_tg_pt && !here) continue;
    }
    specified.insert(registration);
  }
  return specified;
}

// Table 36: whether it is the reservation that is preempted.
bool PreemptsTheReservation(const LogicalUnit& lu, const Command& command,
                            const std::set<Nexus>& specified) {
  if (lu.type == 0) return false;
  if (IsAllRegistrants(lu.type)) return command.action_key == 0;
  return specified.count(*lu.RegistrationOf(lu.holder)) != 0;
}

// 5.6.8.4.
Answer Preempt(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (lu.type != 0 && !IsAllRegistrants(lu.type) && command.action_key == 0) {
    return End(Status::kInvalidFieldInParameterList);
  }
  const std::set<Nexus> specified = SpecifiedByPreempt(lu, sender, command);
  if (specified.empty()) return End(Status::kConflict);
  const bool reservation = PreemptsTheReservation(lu, command, specified);
  if (reservation && (command.scope != 0 || !IsType(command.type))) {
    return End(Status::kInvalidFieldInCdb);
  }
  Answer answer;
  const auto own = lu.RegistrationOf(sender);
  for (Nexus registration : specified) {
    if (reservation && registration == own) continue;
    lu.keys.erase(registration);
    Tell(answer, registration, sender, Condition::kRegistrationsPreempted);
  }
  if (reservation) {
    // r23 5.6.10.4.3 f).
    if (lu.type != command.type) {
      TellRegistered(answer, lu, sender, Condition::kReservationsReleased);
    }
    lu.type = command.type;
    lu.holder = sender;
  } else {
    ReleaseIfHolderIsGone(lu);
  }
  // 5.6.8.5: only this one ends tasks.
  if (command.action == 0x05) answer.aborted = specified;
  lu.generation++;
  return answer;
}

// SPC-4 5.13.11.3.
Answer ReplaceLost(LogicalUnit& lu, Nexus sender, const Command& command) {
  if (!lu.lost) return End(Status::kInvalidRelease);
  if (command.key != 0 || command.action_key == 0) {
    return End(Status::kInvalidFieldInParameterList);
  }
  // Table 216.
  if (command.spec_i_pt || command.all_tg_pt) return End(Status::kInvalidFieldInParameterList);
  if (command.aptpl && !lu.persists) return End(Status::kInvalidFieldInParameterList);
  if (command.scope != 0 || !IsType(command.type)) return End(Status::kInvalidFieldInCdb);
  lu.keys = {{sender, command.action_key}};
  lu.type = command.type;
  lu.holder = sender;
  lu.generation = 0;
  lu.aptpl = command.aptpl;
  lu.lost = false;
  return Answer{};
}

// 5.6.2 a) and b).
bool IsException(const LogicalUnit& lu, Nexus sender) {
  if (lu.type == 0) return false;
  if (lu.Holds(sender)) return true;
  return IsRegistrantsOnly(lu.type) && lu.RegistrationOf(sender).has_value();
}

// 6.12.3, tables 34, regun and regreg.
bool KeyIsRight(const LogicalUnit& lu, Nexus sender, const Command& command) {
  if (command.action == 0x06) return true;
  const auto own = lu.RegistrationOf(sender);
  if (!own) return command.action == 0x00 && command.key == 0;
  return lu.keys.at(*own) == command.key;
}

}  // namespace

std::optional<Nexus> LogicalUnit::RegistrationOf(Nexus nexus) const {
  if (keys.count(nexus) != 0) return nexus;
  const Nexus all_ports{nexus.first, 0};
  if (keys.count(all_ports) != 0) return all_ports;
  return std::nullopt;
}

// 5.6.7.
bool LogicalUnit::Holds(Nexus nexus) const {
  if (type == 0) return false;
  return IsAllRegistrants(type) ? RegistrationOf(nexus).has_value() : holder == nexus;
}

bool LogicalUnit::May(Nexus nexus, Kind kind) const {
  // SPC-4 5.13.5.2, the list.
  if (lost) {
    return kind == Kind::kInquiry || kind == Kind::kStartUnit || kind == Kind::kReadBuffer ||
           kind == Kind::kWriteBuffer;
  }
  // SPC-2 table 10.
  if (spc2_holder && spc2_holder != nexus) {
    return kind == Kind::kInquiry || kind == Kind::kAllowMediumRemoval;
  }
  // Table 33.
  if (type == 0 || Holds(nexus)) return true;
  if (IsRegistrantsOnly(type) && RegistrationOf(nexus).has_value()) return true;
  if (kind == Kind::kWrite || kind == Kind::kWriteBuffer) return false;
  if (kind == Kind::kRead || kind == Kind::kReadBuffer) return IsWriteExclusive(type);
  return true;
}

Answer LogicalUnit::Do(Nexus sender, const Command& command) {
  // SPC-4 5.13.5.3.2; SPC-2 5.5.1.
  if (lost && command.action != 0x08) return End(Status::kInformationLost);
  if (spc2_holder) return End(Status::kConflict);
  if (command.action == 0x08) return ReplaceLost(*this, sender, command);
  if (command.action == 0x05 && !aborts) return End(Status::kInvalidFieldInCdb);
  if (!KeyIsRight(*this, sender, command)) return End(Status::kConflict);
  switch (command.action) {
    case 0x01: return Reserve(*this, sender, command);
    case 0x02: return Release(*this, sender, command);
    case 0x03: return Clear(*this, sender);
    case 0x04:
    case 0x05: return Preempt(*this, sender, command);
    case 0x07: return RegisterAndMove(*this, sender, command);
    default: return Register(*this, sender, command);
  }
}

// SPC-2 7.21, 7.22.
Answer LogicalUnit::Reserve6(Nexus sender) {
  if (lost) return End(Status::kInformationLost);
  if (IsException(*this, sender)) return Answer{};
  if (!keys.empty()) return End(Status::kConflict);
  if (spc2_holder && spc2_holder != sender) return End(Status::kConflict);
  spc2_holder = sender;
  return Answer{};
}

// SPC-2 7.16, 7.17.
Answer LogicalUnit::Release6(Nexus sender) {
  if (lost) return End(Status::kInformationLost);
  if (IsException(*this, sender)) return Answer{};
  if (!keys.empty()) return End(Status::kConflict);
  if (spc2_holder == sender) spc2_holder.reset();
  return Answer{};
}

// SPC-2 5.5.1, SAM-4 6.3.3.
Answer LogicalUnit::LogicalUnitReset(Nexus sender) {
  Answer answer;
  if (spc2_holder && spc2_holder != sender) {
    answer.told.insert({*spc2_holder, Condition::kBusDeviceReset});
  }
  spc2_holder.reset();
  return answer;
}

// SPC-2 5.5.1, SAM-4 6.3.4.
void LogicalUnit::NexusLoss(Nexus nexus) {
  if (spc2_holder == nexus) spc2_holder.reset();
}

// SPC-4 5.13.5.3.1.
void LogicalUnit::LoseInformation() {
  spc2_holder.reset();
  lost = true;
}

// 5.6.3, 6.11.3.
void LogicalUnit::PowerCycle() {
  generation = 0;
  spc2_holder.reset();
  if (aptpl) return;
  keys.clear();
  type = 0;
}

}  // namespace scsi_pr::model
