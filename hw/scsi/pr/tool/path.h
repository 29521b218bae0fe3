// SPDX-License-Identifier: GPL-2.0-or-later
//
// Path groups of a physical logical unit (path/path_group.h), from the command line.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "core/status.h"
#include "path/path_group.h"

namespace CLI {
class App;
}

namespace scsi_pr::tool {

// The subcommand `path`, with its own; `*result` becomes the program's exit status.
void AddPathCommands(CLI::App& app, int* result);

// A group, and what its logical unit says: as people and programs see it.
struct GroupView {
  GroupState group;
  Status status;         // of asking the logical unit
  PathGroup::View unit;  // if that is ok

  // Whether the group is open, and the logical unit this host's as far as that demands.
  bool lost() const;
};
std::string GroupText(const GroupView& view);    // several lines
std::string GroupLine(const GroupState& group);  // one
nlohmann::json GroupViewToJson(const GroupView& view);

}  // namespace scsi_pr::tool
