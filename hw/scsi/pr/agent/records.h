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
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/access.h"
#include "core/state.h"
#include "core/status.h"
#include "core/transition.h"

namespace scsi_pr::agent {

// Nanoseconds of CLOCK_BOOTTIME of this host, or of that much time.
using Time = uint64_t;
inline constexpr Time kNever = std::numeric_limits<Time>::max();
inline constexpr Time kMillisecond = 1'000'000;
inline constexpr Time kSecond = 1000 * kMillisecond;

// A number used once, a boot id, an incarnation: 1 to 64 letters, digits, '.', '-', '_'. So are
// the names of hosts, logical units and nexuses in keys, up to 255.
bool IsWord(std::string_view text, size_t most = 64);
// A name for a logical unit: a word of 160 at most, and none that the keys below have another
// meaning for.
bool IsUnitName(std::string_view text);

// A nexus in keys: 32 hexadecimal digits that depend on its initiator and target port alone.
std::string NexusKey(const Nexus& nexus);

class Keys {
 public:
  // "/scsi-pr/PREFIX/"
  explicit Keys(std::string prefix) : prefix_(std::move(prefix)) {}

  // All that is about one logical unit begins so.
  std::string Unit(const std::string& lu) const { return prefix_ + lu + "/"; }
  const std::string& All() const { return prefix_; }
  std::string Meta() const { return prefix_ + "meta"; }
  std::string Hosts() const { return prefix_ + "hosts/"; }
  std::string Host(const std::string& host) const { return Hosts() + host; }
  std::string State(const std::string& lu) const { return prefix_ + lu + "/state"; }
  std::string Change(const std::string& lu) const { return prefix_ + lu + "/change"; }
  std::string Nexuses(const std::string& lu) const { return prefix_ + lu + "/nexus/"; }
  std::string Acks(const std::string& lu) const { return prefix_ + lu + "/ack/"; }
  // `nexus`: NexusKey().
  std::string OfNexus(const std::string& lu, const std::string& nexus) const {
    return Nexuses(lu) + nexus;
  }
  std::string Ack(const std::string& lu, const std::string& host) const { return Acks(lu) + host; }

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

// What says that nothing of a dead host can reach a medium any more, in a word.
struct Proof {
  static constexpr const char* kConfirmed = "confirmed";  // by somebody, who knows that it is off
  static constexpr const char* kWatchdog = "watchdog";    // its own must have reset it by now
  static constexpr const char* kStorage = "storage";      // lets nothing of it through any more
  static constexpr const char* kLease = "lease";          // nothing but the end of its admission
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
  std::string proof;  // of a dead one: Proof, or what a newer program takes for one; or empty
  // For people: when this incarnation joined, by its host's clock, in seconds since 1970-01-01 UTC.
  uint64_t joined = 0;
  std::string proof_text = {};  // who, and why, for people
  // The time after which its watchdog, which is armed, resets it; 0: there is none.
  Time watchdog = 0;
  // The path groups with which it has registered before it joined, sorted.
  static constexpr size_t kMostPaths = 32;
  std::vector<std::string> paths = {};

  friend bool operator==(const HostRecord&, const HostRecord&) = default;
};

// What the change to this version has to tell those who are attached.
struct Told {
  uint64_t version = 0;
  std::vector<UnitAttention> unit_attentions;  // one at least

  friend bool operator==(const Told&, const Told&) = default;
};

struct StateRecord {
  static constexpr size_t kNonces = 64;
  static constexpr size_t kTold = 16;
  // Of a state that nobody has changed yet, which has no record.
  static constexpr uint64_t kFirstVersion = 1;
  // A gate has room for no more.
  static constexpr uint64_t kMostVersions = uint64_t{1} << 40;

  uint64_t version = 0;             // above kFirstVersion, below kMostVersions
  std::vector<std::string> nonces;  // of the last changes, the newest first
  std::string document;             // of the state (core/document.h)
  // Of the last versions that had something to tell, the newest first; not more than kTold,
  // nor than kMaxUnitAttentions conditions, nor than a value has room for. The newest stays in
  // any case. A host that has missed older ones has nothing to tell of them.
  std::vector<Told> told;

  bool Has(const std::string& nonce) const;
  // The record of the next version.
  static StateRecord Next(const std::optional<StateRecord>& before, const std::string& nonce,
                          std::string document, std::vector<UnitAttention> unit_attentions);
  friend bool operator==(const StateRecord&, const StateRecord&) = default;
};
uint64_t VersionOf(const std::optional<StateRecord>& state);

// A version of a logical unit that was in force.
struct SeenVersion {
  std::string lu;
  uint64_t version = 0;
  std::string nonce;  // of the change to it

  // Whether a store that had it may have come to this. What more than kNonces versions have
  // covered is believed.
  bool MayBecome(const std::optional<StateRecord>& state) const;
  friend bool operator==(const SeenVersion&, const SeenVersion&) = default;
};

// What the slot of a nexus has to be told that was told what the versions up to `since` have to
// tell: the conditions of each later one. To be raised in their order, each once.
std::map<uint64_t, std::vector<Sense>> ToldSince(const StateRecord& state, const Nexus& nexus,
                                                 uint64_t since);

// A nexus that is attached, and to which host it belongs. A host has its commands only as
// long as it is `owned`, or was when the host was declared dead.
struct NexusRecord {
  // A former host of the nexus, that was declared dead: what it had on its way there may be
  // still, until that host has another incarnation, or its death a proof.
  struct Remains {
    std::string host;
    std::string incarnation;

    friend bool operator==(const Remains&, const Remains&) = default;
  };
  static constexpr size_t kRemains = 8;

  Nexus nexus;
  std::string host;        // where its owner is, or was last; empty: only remains are left
  bool owned = false;      // false: handed over; the host or the heir may take it
  std::string heir;        // the host where an incoming VM waits for it, or empty
  std::string owner_text;  // who attached it, for people: printable, no line breaks
  std::string nonce;       // of this write
  std::vector<Remains> remains;

  bool IsAt(const std::string& whom) const { return host == whom || heir == whom; }
  friend bool operator==(const NexusRecord&, const NexusRecord&) = default;
};

// Whom a change takes something away from, or whose tasks it aborts.
struct Victim {
  std::string nexus;       // NexusKey()
  AccessMask keep = 0;     // what it may both before and after
  bool preempted = false;  // by a change that aborts: its tasks have to end

  friend bool operator==(const Victim&, const Victim&) = default;
};

// The attached nexuses that lose an access class by what leads from `before` to `after`, and, if
// that `aborts`, those that `preempted` covers. `nexuses`: what is below LU/nexus/.
std::vector<Victim> VictimsOf(const State& before, const State& after,
                              const std::vector<Nexus>& preempted, bool aborts,
                              const std::map<std::string, NexusRecord>& nexuses);

// The attached nexuses, by NexusKey(), that may more after what leads from `before` to `after`, or
// are told of it. To all others it is the same which of the two their gate shows: whoever loses
// something has been shut before.
std::vector<std::string> ConcernedBy(const State& before, const State& after,
                                     const std::vector<UnitAttention>& unit_attentions,
                                     const std::map<std::string, NexusRecord>& nexuses);

// Whether a nexus that is attached on `host`, or waits there, may more after what leads from
// `before`, the state of the version `since`, to `after`, that of `next`, or is told of it.
bool ConcernsHost(const State& before, const State& after, const StateRecord& next, uint64_t since,
                  const std::string& host, const std::map<std::string, NexusRecord>& nexuses);

// Somebody changes the state. First he only says so; when he knows who loses access, and
// there is somebody, he says whom to shut: the intent.
struct ChangeRecord {
  std::string id;  // a nonce; of the commit too
  std::string by;  // host
  bool is_intent = false;
  std::vector<Victim> victims;
  bool aborts = false;  // what of the preempted has entered must have ended, too
  // How long others bear it before they take it away.
  Time patience = 30 * kSecond;

  friend bool operator==(const ChangeRecord&, const ChangeRecord&) = default;
};

// What one host has done. Only that host writes it.
struct AckRecord {
  std::string id;          // all victims of this change are shut there and, if it aborts, drained
  uint64_t published = 0;  // the version that all its gates show, at least; 0: not known

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
