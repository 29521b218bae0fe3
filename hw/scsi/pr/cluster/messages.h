// SPDX-License-Identifier: GPL-2.0-or-later
//
// What in the messages of wire.h is more than a number or a text, to JSON and back.
// Decoders throw an std::exception that says what is wrong.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/state.h"
#include "core/transition.h"
#include "store/store.h"

namespace scsi_pr::cluster {

// [{"initiator":…,"target-port":…}]
nlohmann::json NexusesToJson(const std::vector<Nexus>& nexuses);
std::vector<Nexus> NexusesFromJson(const nlohmann::json& list);

// As "attached" of ScsiPrInfo in qapi/scsi-pr.json; "host" where there is one.
nlohmann::json AttachmentsToJson(const std::vector<Attachment>& attachments);
std::vector<Attachment> AttachmentsFromJson(const nlohmann::json& list);

// [{"host":…,"proof":…,"text":…}]; "text" where there is one.
nlohmann::json ProofsToJson(const std::vector<HostProof>& proofs);
std::vector<HostProof> ProofsFromJson(const nlohmann::json& list);

// What a client makes of the state in force: the operand of "decide". Without it: nothing.
struct Decision {
  State state;
  std::vector<UnitAttention> unit_attentions;
  std::vector<Nexus> preempted;  // PREEMPT AND ABORT: whose commands end first
};
nlohmann::json DecisionToJson(const Decision& decision);
Decision DecisionFromJson(const nlohmann::json& object);

}  // namespace scsi_pr::cluster
