// SPDX-License-Identifier: GPL-2.0-or-later
//
// What has changed between two looks at a store.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tool/common.h"

namespace scsi_pr::tool {

struct Change {
  std::string name;        // "registered", for programs
  nlohmann::json details;  // an object
  std::string text;        // one line, for people
};

std::vector<Change> Compare(const View& before, const View& after);
// An array of the details, each with its name as "change".
nlohmann::json ChangesToJson(const std::vector<Change>& changes);

}  // namespace scsi_pr::tool
