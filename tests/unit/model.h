// SPDX-License-Identifier: GPL-2.0-or-later
//
// A second opinion on PERSISTENT RESERVE OUT, RESERVE, RELEASE and resets,
// written from the text of the standard without a look at core/, in the simplest
// words: initiator ports are numbers, nothing is fast, nothing is shared with
// what it judges.
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
  kInformationLost,              // 44/01
};

enum class Condition {
  kReservationsPreempted,
  kReservationsReleased,
  kRegistrationsPreempted,
  kBusDeviceReset,
};

// One command of each kind that the tables tell apart.
enum class Kind {
  kInquiry,
  kAllowMediumRemoval,
  kStartUnit,
  kTestUnitReady,
  kRead,
  kReadBuffer,
  kWrite,
  kWriteBuffer,
};
inline constexpr int kKinds = 8;

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
  int type = 0;                      // of the reservation; 0: there is none
  Nexus holder;                      // meaningless for an all registrants type
  std::optional<Nexus> spc2_holder;  // of a RESERVE of SPC-2
  bool lost = false;                 // PERSISTENT RESERVATION INFORMATION LOST

  // The registration that `nexus` has, by the name it has in `keys`.
  std::optional<Nexus> RegistrationOf(Nexus nexus) const;
  bool Holds(Nexus nexus) const;
  bool May(Nexus nexus, Kind kind) const;

  Answer Do(Nexus sender, const Command& command);
  Answer Reserve6(Nexus sender);
  Answer Release6(Nexus sender);
  Answer LogicalUnitReset(Nexus sender);
  void NexusLoss(Nexus nexus);
  void PowerCycle();
  // What a failure of the store does; no command can.
  void LoseInformation();
};

}  // namespace scsi_pr::model
