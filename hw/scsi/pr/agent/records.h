// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is kept in the engine, and under which keys:
//
//   PREFIX meta              Meta
//          hosts/HOST        HostRecord
//          LU/state          StateRecord
//          LU/nexus/NEXUS    NexusRecord
//          LU/change         ChangeRecord
//          LU/ack/HOST       AckRecord
//
// Values are JSON objects. Whoever can write there is hostile or broken: Decode() bounds and
// checks everything. Members that it does not know are left alone: a newer program may have
// written them, and Meta::protocol says whether it may be worked with.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace scsi_pr::agent {

// Nanoseconds of CLOCK_BOOTTIME of this host, or of that much time.
using Time = uint64_t;
inline constexpr Time kMillisecond = 1000 * 1000;
inline constexpr Time kSecond = 1000 * kMillisecond;

// A number used once, a boot id, an incarnation: 1 to 64 letters, digits, '.', '-', '_'. So are
// the names of hosts, logical units and nexuses in keys, up to 255.
bool IsWord(std::string_view text, size_t most = 64);

class Keys {
 public:
  // "/scsi-pr/PREFIX/"
  explicit Keys(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string Meta() const { return prefix_ + "meta"; }
  std::string Hosts() const { return prefix_ + "hosts/"; }
  std::string Host(const std::string& host) const { return Hosts() + host; }
  std::string State(const std::string& lu) const { return prefix_ + lu + "/state"; }
  std::string Change(const std::string& lu) const { return prefix_ + lu + "/change"; }
  std::string Nexuses(const std::string& lu) const { return prefix_ + lu + "/nexus/"; }
  std::string Acks(const std::string& lu) const { return prefix_ + lu + "/ack/"; }

 private:
  const std::string prefix_;
};

// Of all hosts.
struct Meta {
  int protocol = 1;  // who speaks only less stays out
  std::string life;  // of the store; a new one after an accepted restore
  std::vector<std::string> earlier_lives;
  Time duration = 8 * kSecond;  // D: how long a host is admitted after a read of its record

  friend bool operator==(const Meta&, const Meta&) = default;
};

struct HostRecord {
  enum class State { kAlive, kSuspect, kDead };

  std::string machine_id;  // two machines of one name must not take turns
  std::string boot_id;
  std::string incarnation;  // new whenever the host joins; dead once, dead for ever
  int protocol = 1;
  Time duration = 8 * kSecond;  // the D that this incarnation lives by
  State state = State::kAlive;
  std::string by;     // who suspects it, or has declared it dead
  std::string nonce;  // of this write
  std::string proof;  // of a dead one: why nothing of it can be under way; or empty

  friend bool operator==(const HostRecord&, const HostRecord&) = default;
};

struct StateRecord {
  static constexpr size_t kNonces = 64;

  uint64_t version = 0;
  std::vector<std::string> nonces;  // of the last changes, the newest first
  std::string document;             // of the state (core/document.h)

  bool Has(const std::string& nonce) const;
  friend bool operator==(const StateRecord&, const StateRecord&) = default;
};

struct NexusRecord {
  std::string host;

  friend bool operator==(const NexusRecord&, const NexusRecord&) = default;
};

// Somebody changes the state. First he only says so; when he knows who loses access, and
// there is somebody, he says whom to shut: the intent.
struct ChangeRecord {
  std::string id;  // a nonce; of the commit too
  std::string by;  // host
  bool is_intent = false;
  std::vector<std::string> victims;  // nexuses that lose access
  bool aborts = false;               // what has entered must have ended, too
  // How long others bear it before they take it away.
  Time patience = 30 * kSecond;

  friend bool operator==(const ChangeRecord&, const ChangeRecord&) = default;
};

// All victims of the change are shut on that host and, if it aborts, drained.
struct AckRecord {
  std::string id;  // of the change

  friend bool operator==(const AckRecord&, const AckRecord&) = default;
};

std::string Encode(const Meta& meta);
std::string Encode(const HostRecord& record);
std::string Encode(const StateRecord& record);
std::string Encode(const NexusRecord& record);
std::string Encode(const ChangeRecord& record);
std::string Encode(const AckRecord& record);

// kUnsupported for a newer schema, kCorrupt for anything else that is wrong; then `*record` is
// as it was.
Status Decode(std::string_view text, Meta* meta);
Status Decode(std::string_view text, HostRecord* record);
Status Decode(std::string_view text, StateRecord* record);
Status Decode(std::string_view text, NexusRecord* record);
Status Decode(std::string_view text, ChangeRecord* record);
Status Decode(std::string_view text, AckRecord* record);

}  // namespace scsi_pr::agent
