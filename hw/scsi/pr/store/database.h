// SPDX-License-Identifier: GPL-2.0-or-later
//
// The durable half of a file store: an SQLite database with one row, the
// logical unit. Look at one with
//
//   sqlite3 quorum.pr 'SELECT version, document FROM logical_unit'
//
// Not thread-safe. Every error leaves the last committed record as it was.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/status.h"
#include "store/record.h"

struct sqlite3;

namespace scsi_pr {

class Database {
 public:
  // `PRAGMA user_version`; a higher one is refused.
  static constexpr int kSchema = 1;

  // Makes a database with an empty state, at once whole under its name. No
  // error if another process was faster.
  static Status Create(const std::string& path);
  // Opens an existing one and verifies that it is a sound store: kCorrupt,
  // kUnsupported (newer) or kIo.
  static Status Open(const std::string& path, std::unique_ptr<Database>* database);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // From memory, unless another process has changed the file.
  Status Load(Record* record, std::string* gate_nonce = nullptr);
  // `durable`: on stable storage when this returns (else only safe from the
  // death of processes).
  Status Save(const Record& record, bool durable);
  // A record whose Save() has failed, or whose process died in it, may be in the
  // write-ahead log as a whole, and known to nobody: the first to open the store
  // after all have died would take it for committed. Afterwards nobody can. Between
  // processes like Save().
  Status Settle();

  // The nonce of the gate that goes with this database, alone.
  Status LoadGateNonce(std::string* nonce);
  Status SaveGateNonce(const std::string& nonce);

 private:
  explicit Database(std::string path) : path_(std::move(path)) {}

  // What the file says, and at which of its PRAGMA data_version: a number that
  // changes when another connection has committed something.
  struct Content {
    int64_t data_version = 0;
    Record record;
    std::string gate_nonce;
  };

  Status Verify();
  Status Refresh();
  Status SetDurable(bool durable);
  Status ReadRecord(Record* record);
  Status ReadGateNonce(std::string* nonce);
  Status Execute(const char* sql);
  Status QueryInteger(const char* sql, int64_t* value);
  Status Failure() const;
  Status Damage(const std::string& what) const;

  const std::string path_;
  sqlite3* db_ = nullptr;
  std::optional<bool> durable_;  // what PRAGMA synchronous is set to
  std::optional<Content> content_;
};

}  // namespace scsi_pr
