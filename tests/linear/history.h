// SPDX-License-Identifier: GPL-2.0-or-later
//
// A history: what several I_T nexuses did to one logical unit, and when.
//
// Its text is JSON, one value a line. The first is the header:
//
//   { "persist-through-power-loss": true, "abort-tasks": false,
//     "before": [ { "state": <the document of core/document.h>,
//                   "attached": [ <nexus>, … ] }, … ] }
//
// ("before": the logical unit was one of these), then each operation, in any
// order:
//
//   { "kind": "command", "nexus": { "initiator": "naa.…", "target-port": 1 },
//     "life": 0, "cdb": "5e00…", "data-out": "", "call": 12, "end": 15,
//     "status": 0, "sense": "000000", "data-in": "00000000…" }
//
// "end" and what follows it is absent where the outcome is not known.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/transition.h"
#include "specification.h"

namespace scsi_pr::linear {

struct History {
  Capabilities capabilities;
  std::vector<LogicalUnit> before;  // not empty
  std::vector<Operation> operations;
};

// One line, without a newline.
std::string Encode(const Operation& operation);
std::string Encode(const History& history);
// Throw an std::exception that says what is wrong.
Operation DecodeOperation(std::string_view line);
History DecodeHistory(std::string_view text);

// For people: `naa.5000…@1 PREEMPT key 2, action key 1, type 5 -> GOOD`.
std::string Describe(const Operation& operation);
// As if `operation` had ended so.
std::string DescribeResponse(const Operation& operation, const Response& response);
std::string Describe(const LogicalUnit& unit);

}  // namespace scsi_pr::linear
