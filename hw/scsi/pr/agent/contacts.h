// SPDX-License-Identifier: GPL-2.0-or-later
//
// When this daemon has last heard of each host, for people: by its own clock, from what it finds in
// the engine. A host that is well writes nothing there once it has joined. On the loop's thread.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/engine.h"
#include "agent/records.h"

namespace scsi_pr::agent {

class Contacts {
 public:
  // The records of all hosts, as an answer that has come at `now` has them. Only a host
  // itself writes that it is alive; what is alive already when it is first seen counts as heard of.
  void Saw(Time now, const Answer& answer, const Keys& keys);
  // Of a host that is known.
  void Heard(Time now, const std::string& host);
  // Nothing: it was suspect or dead already when this daemon first looked.
  std::optional<Time> Last(const std::string& host) const;

 private:
  struct Contact {
    std::string nonce;  // of the record when it last said that the host is alive
    std::optional<Time> at;
  };
  std::map<std::string, Contact> contacts_;
};

}  // namespace scsi_pr::agent
