// SPDX-License-Identifier: GPL-2.0-or-later
//
// A second opinion on PERSISTENT RESERVE OUT, written from the text of the
// standard without a look at core/, in the simplest words: initiator ports are
// numbers, nothing is fast, nothing is shared with what it judges.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace scsi_pr::model {

// Initiator port and target port. In a registration target port 0 means all.
using Nexus = std::pair<int, int>;
// Conditions are told to nexuses with these target ports.
inline constexpr int kTargetPorts[] = {1, 2, 3};

struct Command {
  int action = 0;
  int scope = 0;
  int type = 0;
  uint64_t key = 0;         // RESERVATION KEY
  uint64_t action_key = 0;  // SERVICE ACTION RESERVATION KEY
  bool spec_i_pt = false;
  bool all_tg_pt = false;
  bool aptpl = false;
  bool unreg = false;
  std::vector<int> list;     // initiator ports; of REGISTER AND MOVE exactly one
  int destination_port = 0;  // of REGISTER AND MOVE; 0: the sender's
};

// Status and sense data in one.
enum class Status {
  kGood,
  kConflict,
  kInvalidFieldInCdb,            // 24/00
  kInvalidFieldInParameterList,  // 26/00
  kInvalidRelease,               // 26/04
};

enum class Condition { kReservationsPreempted, kReservationsReleased, kRegistrationsPreempted };

struct Answer {
  Status status = Status::kGood;
  std::set<std::pair<Nexus, Condition>> told;
  std::set<Nexus> aborted;  // the registrations whose tasks end
};

struct LogicalUnit {
  bool persists = false;  // PTPL_C
  bool aborts = false;    // PREEMPT AND ABORT is there

  uint32_t generation = 0;
  bool aptpl = false;
  std::map<Nexus, uint64_t> keys;
  int type = 0;  // of the reservation; 0: there is none
  Nexus holder;  // meaningless for an all registrants type

  // The registration that `nexus` has, by the name it has in `keys`.
  std::optional<Nexus> RegistrationOf(Nexus nexus) const;
  bool Holds(Nexus nexus) const;
  bool MayRead(Nexus nexus) const;
  bool MayWrite(Nexus nexus) const;

  Answer Do(Nexus sender, const Command& command);
  void PowerCycle();
};

}  // namespace scsi_pr::model
