// SPDX-License-Identifier: GPL-2.0-or-later
//
// What all JSON texts of this program have around them:
//
//   { "format": "scsi-pr", "schema": 1, "checksum": "sha256:…", "state": { … } }
//
// The checksum covers the inner object as nlohmann-json dumps it without spaces
// (members in alphabetical order), in UTF-8.
#pragma once

#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "core/status.h"

namespace scsi_pr {

// One kind of text.
struct Envelope {
  const char* format;
  const char* member;  // the name of the inner object
  const char* what;    // for messages: "the reservation state document"
  int schema;          // the latest

  Status Corrupt(const std::string& why) const;
};

// One line, without a newline.
std::string Seal(const Envelope& envelope, int schema, nlohmann::json inner);

// Checks all that is around the inner object. kUnsupported for a newer schema,
// kCorrupt for anything else that is wrong. Throws what nlohmann-json throws.
Status Unseal(const Envelope& envelope, std::string_view text, int* schema, nlohmann::json* inner);

// An unsigned member within a range; nlohmann-json would convert silently.
template <typename Int>
Int GetUnsigned(const nlohmann::json& object, const char* member, uint64_t least,
                uint64_t most = std::numeric_limits<Int>::max()) {
  const nlohmann::json& value = object.at(member);
  if (!value.is_number_unsigned() || value.get<uint64_t>() < least ||
      value.get<uint64_t>() > most) {
    throw std::invalid_argument(std::string("\"") + member + "\" is out of range");
  }
  return value.get<Int>();
}

}  // namespace scsi_pr
