// SPDX-License-Identifier: GPL-2.0-or-later
//
// Who is attached to a logical unit on other hosts, as this host's daemon last knew: a file
// of the runtime directory (names.h) that it replaces whole, and whoever uses the store reads.
//
//   {"schema":1,"host":"h1","attached":[{"initiator":"iqn.…","target-port":1,"host":"h2",
//    "owner":"VM b, device d0","live":true}]}
//
// For people, and for Store::Attached(): nothing is ever admitted or refused because of it.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "core/state.h"
#include "core/status.h"
#include "store/runtime_directory.h"

namespace scsi_pr::cluster {

struct Elsewhere {
  struct Attached {
    Nexus nexus;
    std::string host;
    std::string owner;  // for people
    bool live = true;   // its host is no dead one

    friend bool operator==(const Attached&, const Attached&) = default;
  };
  std::string host;  // this one
  std::vector<Attached> attached;

  friend bool operator==(const Elsewhere&, const Elsewhere&) = default;
};

// For one who writes at a time, the daemon: owner, group and permissions are those of `like`.
// Readers see it as it was before, or all of it, whoever dies. kIo. Waits for no disk.
Status WriteElsewhere(const RuntimeDirectory& directory, const std::string& name,
                      const struct stat& like, const Elsewhere& elsewhere);
void RemoveElsewhere(const RuntimeDirectory& directory, const std::string& name);

// Never waits. No file: as an empty one. kIo; kUnsupported: of a newer daemon; kCorrupt.
Status ReadElsewhere(const RuntimeDirectory& directory, const std::string& name,
                     Elsewhere* elsewhere);

// The text of the file, and back. kUnsupported, kCorrupt.
std::string EncodeElsewhere(const Elsewhere& elsewhere);
Status DecodeElsewhere(const std::string& text, Elsewhere* elsewhere);

}  // namespace scsi_pr::cluster
