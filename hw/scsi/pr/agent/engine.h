// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the daemon asks of the engine that keeps the reservations of many hosts: a small,
// strictly serializable key-value store. Nothing else of an engine is used: no leases, no
// locks, no server's clock, and no order of what it tells by itself (docs/many-hosts.md says
// why). Whoever implements these four functions is an engine.
//
// Keys and values are bytes, keys some hundred, values at most kMaxValue; an engine takes them
// as they are. A key that is there has a revision: a number above 0 that grows with every write
// of it and never comes again, also not when the key is deleted and made anew. So "is still as
// I have read it" is one comparison of numbers (Compare), and writing is always
//
//   read:   change, state                      → found, with their revisions
//   Txn:    if change and state have these revisions, put state, delete change
//
// An answer that does not come is the normal case, not an error of somebody: the writer is
// left with Outcome::kUnknown. It must not guess. It writes nothing but what is harmless when
// it is applied late, or twice, puts a number used once (a nonce) into each value, and reads
// later whether its nonce is there. An engine sends a transaction once; but networks and
// libraries on the way may repeat it, so kCompareFailed says that *now* the comparison does
// not hold, never that an earlier sending of the same transaction was not applied: the reads
// that come with the same answer tell that.
//
// Threads: every function may be called by any threads at the same time, and waits for a
// network, never longer than kLongest. Ownership: everything is a value.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace scsi_pr::agent {

// Above the document of 4,096 registrations, below what etcd takes (1.5 MiB a request).
inline constexpr size_t kMaxValue = 1 << 20;

struct KeyValue {
  std::string key;
  std::string value;
  int64_t revision = 0;  // of the last write of this key

  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

// The key itself, or with `below` all keys that begin with it.
struct Range {
  std::string key;
  bool below = false;
};

// Holds if the key has this revision; 0: if it is not there.
struct Compare {
  std::string key;
  int64_t revision = 0;
};

// Without a value the key is deleted; it need not be there.
struct Write {
  std::string key;
  std::optional<std::string> value;
};

// One step, seen by everybody wholly or not at all: if all compares hold, the writes (each key
// once), and in either case the reads, which see what was written. Without compares they hold.
// What was written is known then, and need not be read; if one does not hold, `otherwise` is read
// too.
struct Transaction {
  std::vector<Compare> compares;
  std::vector<Write> writes;
  std::vector<Range> reads;
  std::vector<Range> otherwise{};
};

enum class Outcome {
  kApplied,        // the compares held; what was written is in force and durable
  kCompareFailed,  // one did not hold; nothing was written by this sending
  kFailed,         // it has not been carried out, and never will be
  kUnknown,        // it may have been applied, or be at any later time, or never
};

// Why there is no answer that counts: for people (text), and for what they can do (kind).
struct Failure {
  enum class Kind {
    kNone,
    kUnreachable,     // no endpoint took the request
    kNoAnswer,        // in time, or the engine itself does not know
    kBusy,            // it has too much to do
    kNoSpace,         // its database has reached its quota: reads go on, writes do not
    kTooLarge,        // what was sent
    kAuthentication,  // who we are was not accepted
    kPermission,      // what we may was exceeded
    kRefused,         // for another reason
    kBadAnswer,       // an answer that no engine gives
  };
  Kind kind = Kind::kNone;
  std::string message;  // printable, one line, without a full stop; empty for kNone
  std::string hint;     // a sentence that says what to do, or empty
};

// Whether trying again may help.
bool IsPassing(Failure::Kind kind);

struct Answer {
  Outcome outcome = Outcome::kUnknown;
  Failure failure;       // of kFailed and kUnknown
  uint64_t cluster = 0;  // who has answered; 0 where nobody did
  // Of the whole store when this was answered: never less than in an answer that had come
  // before this was sent, unless the store has been put back. Of writes that were applied: theirs.
  int64_t revision = 0;
  // What the reads have found, in the order of the reads, below a key by key; then `otherwise`.
  std::vector<KeyValue> found;

  bool answered() const {
    return outcome == Outcome::kApplied || outcome == Outcome::kCompareFailed;
  }
  // nullptr: not there, or not asked for.
  const KeyValue* Find(const std::string& key) const;
};

// What was written to a key, or that it was deleted: as somebody tells, who need not be right.
struct News {
  std::string key;
  std::optional<std::string> value;
  int64_t revision = 0;  // of that write

  friend bool operator==(const News&, const News&) = default;
};

struct Identity {
  Failure failure;  // kNone: the rest counts
  uint64_t cluster = 0;
  int64_t revision = 0;
  std::string version;              // printable
  std::vector<std::string> alarms;  // printable; what is wrong with it by its own account
};

class Engine {
 public:
  // One try at one endpoint. What has no answer by then is given up, and the next try goes to
  // the next endpoint.
  static constexpr std::chrono::milliseconds kTry{1500};
  // With proving who we are in the middle of it.
  static constexpr std::chrono::milliseconds kLongest{6500};

  virtual ~Engine() = default;

  // Linearizable: what it finds was so at some time since it was called. kApplied or kFailed.
  virtual Answer Read(const std::vector<Range>& ranges) = 0;

  virtual Answer Txn(const Transaction& transaction) = 0;

  // Calls `look`, on a thread of the engine's, soon after something below `prefix` may have
  // changed: maybe late, maybe never, maybe for nothing. The news are what that was; without any
  // it may be anything. Only what a Read() finds, or a Txn() compares, counts. Not called any more
  // when the destructor of the result has returned, which waits for a call under way.
  using Look = std::function<void(std::vector<News> news)>;
  class Hints {
   public:
    virtual ~Hints() = default;
  };
  virtual std::unique_ptr<Hints> Hint(const std::string& prefix, Look look) = 0;

  virtual Identity Identify() = 0;
};

}  // namespace scsi_pr::agent
