// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the owner of a nexus leaves for the next one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/state.h"
#include "spc/sense.h"

namespace scsi_pr {

// Which store this is.
struct StoreIdentity {
  enum class Kind {
    kMemory,   // private to a process: any other one may take its state
    kFile,     // one and the same for source and destination
    kCluster,  // likewise, wherever they are
  };

  Kind kind = Kind::kMemory;
  std::string id;   // but of a kMemory: no other store of its kind has it
  std::string uri;  // for people

  // No other store, of whichever kind, has it on one host.
  std::string OnHost() const { return kind == Kind::kCluster ? "cluster:" + id : id; }
  bool IsSame(const StoreIdentity& other) const { return kind == other.kind && id == other.id; }
};

struct HandedOver {
  StoreIdentity store;
  Nexus nexus;
  // Which attachment of the nexus this was, and the epoch of its slot then: each
  // fencing begins another. Where another attachment goes on, the version of the
  // state has to tell instead what happened until it arrived.
  std::string attachment;
  uint64_t epoch = 0;
  uint64_t version = 0;
  uint64_t key = 0;                    // with which it was registered; 0: it was not
  std::vector<Sense> unit_attentions;  // that wait to be reported
  std::optional<State> state;          // of a kMemory
};

}  // namespace scsi_pr
