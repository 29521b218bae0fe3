// SPDX-License-Identifier: GPL-2.0-or-later
//
// The canonical JSON document of a logical unit's reservation state: the same
// text is the row of a file store, the payload of a migration, the file of
// save and load, and what tools print.
//
//   { "format": "scsi-pr", "schema": 1, "checksum": "sha256:…",
//     "state": { "pr-generation": 2, "aptpl": true,
//                "registrations": [ { "initiator": "iqn.…", "target-port": 1,
//                                     "key": "0x00000000deadbeef" } ],
//                "reservation": { "type": "write-exclusive", "scope": "logical-unit",
//                                 "holder": { "initiator": "iqn.…", "target-port": 1 } } } }
//
// Keys are text: 64-bit numbers do not survive JSON readers that use doubles.
// Target port 0 in a registration means all target ports (ALL_TG_PT).
// "reservation" is absent when there is none, "holder" for the all registrants
// types. Schema 2 adds "legacy-holder" (a nexus) and "information-lost" (true) to
// "state"; a document without them is of schema 1. For the rest see
// core/envelope.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "core/state.h"
#include "core/status.h"
#include "core/transition.h"
#include "spc/sense.h"

namespace scsi_pr {

inline constexpr int kDocumentSchema = 2;  // the latest

// 16 hexadecimal digits after 0x.
std::string KeyToText(uint64_t key);
// Throws an std::exception that says what is wrong.
uint64_t KeyFromText(const std::string& text);

nlohmann::json NexusToJson(const Nexus& nexus);
// Throws an std::exception that says what is wrong.
Nexus NexusFromJson(const nlohmann::json& object);
nlohmann::json StateToJson(const State& state);
// { "asc": 42, "ascq": 5 }: a unit attention condition of core/unit_attention.h.
nlohmann::json UnitAttentionToJson(Sense sense);
// Throws an std::exception that says what is wrong; also if it is none of ours.
Sense UnitAttentionFromJson(const nlohmann::json& object);

// What a change has to tell: a list of nexuses, each with "asc", "ascq" and, where it is
// set, "but-not" (a nexus).
nlohmann::json UnitAttentionsToJson(const std::vector<UnitAttention>& attentions);
// More than the largest state has registrations, twice.
inline constexpr size_t kMaxUnitAttentions = 2 * State::kMaxRegistrations;
// Throws an std::exception that says what is wrong; also if there are more.
std::vector<UnitAttention> UnitAttentionsFromJson(const nlohmann::json& list);

// One line, without a newline.
std::string EncodeDocument(const State& state);

// Validates everything before it touches `*state`: form, schema, checksum, the
// invariants of FindViolation(), and that "state" is what EncodeDocument() makes.
// kUnsupported for a newer schema, kCorrupt for anything else that is wrong.
Status DecodeDocument(std::string_view text, State* state);

}  // namespace scsi_pr
