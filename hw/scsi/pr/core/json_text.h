// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace scsi_pr {

// The text of a JSON value, on one line, or indented by so many spaces. The only way from
// values to text: json::dump() would throw where a string is not UTF-8, and QEMU's reader
// refuses noncharacters. U+FFFD takes their place.
std::string JsonText(const nlohmann::json& value, int indent = -1);

}  // namespace scsi_pr
