// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an answer of the engine has found of one logical unit, and of the hosts.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "agent/engine.h"
#include "agent/records.h"

namespace scsi_pr::agent {

// A record, and the revision of its key.
template <typename Record>
struct Entry {
  Record record;
  int64_t revision = 0;
};

struct Reading {
  std::optional<StateRecord> state;  // none: nobody has ever changed it
  int64_t state_revision = 0;
  ChangeRecord change;  // id empty: none
  int64_t change_revision = 0;
  std::map<std::string, NexusRecord> nexuses;  // by NexusKey()
  std::map<std::string, int64_t> nexus_revisions;
  std::map<std::string, Entry<AckRecord>> acks;    // by host
  std::map<std::string, Entry<HostRecord>> hosts;  // by name
  bool has_hosts = false;                          // they were read

  // nullptr: nobody knows it.
  const HostRecord* Host(const std::string& name) const;
  // Forgotten is dead: its record was taken away when it was. False where no host was read.
  bool IsDead(const std::string& host) const;
  // And nothing of it can be under way.
  bool IsProvedDead(const std::string& host) const;
  // Of one that is forgotten a word that no host ever has.
  std::string IncarnationOf(const std::string& host) const;
  // A change of a dead host: nobody will end it, so anybody may take it away.
  bool IsChangeLeft() const { return change_revision != 0 && IsDead(change.by); }
  // 0: it is not there.
  int64_t RevisionOfNexus(const std::string& nexus) const;
  int64_t RevisionOfHost(const std::string& host) const;
  // Whether anybody is attached on that host, or waits there as heir.
  bool HasNexusAt(const std::string& host) const;
  // Whether nothing of the nexus can be under way on its former hosts any more.
  bool AreRemainsGone(const NexusRecord& nexus) const;
};

// Of keys that the answer does not have nothing is said. Not OK: something that is there cannot be
// read; nothing may be concluded then.
Status DecodeReading(const Answer& answer, const Keys& keys, const std::string& lu,
                     Reading* reading);

// What it has read and what it has written takes the place of what `reading` had of that; the rest
// is as it was. Likewise; `reading` may have a part of it then.
Status UpdateReading(const Answer& answer, const Transaction& transaction, const Keys& keys,
                     const std::string& lu, Reading* reading);

// The logical units of which a nexus is attached on that host, or waits there as heir. `answer`:
// all there is (Keys::All()).
std::set<std::string> UnitsAt(const Answer& answer, const Keys& keys, const std::string& host);

}  // namespace scsi_pr::agent
