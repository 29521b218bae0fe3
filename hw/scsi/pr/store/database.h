// SPDX-License-Identifier: GPL-2.0-or-later
//
// The durable half of a file store: an SQLite database with the last two
// records of the logical unit. Look at the newest with
//
//   sqlite3 quorum.pr 'SELECT version, document FROM logical_unit'
//
// Each commit writes one of two tables, the even versions the one, the odd ones
// the other: damage of one record leaves the other one. Of the two the newer
// counts; if it is damaged, that is an error, and not the return of the older
// one (store/repair.h).
//
// Not thread-safe. Every error leaves the last committed record as it was.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/status.h"
#include "store/record.h"

struct sqlite3;

namespace scsi_pr {

class Database {
 public:
  // `PRAGMA application_id`, "scPR": `file` shows it.
  static constexpr int64_t kApplicationId = 0x73635052;
  // `PRAGMA user_version`; a higher one is refused. 1 had one record, in a table
  // logical_unit, and no identity.
  static constexpr int kSchema = 2;

  // Makes a database with an empty state, at once whole under its name. No
  // error if another process was faster.
  static Status Create(const std::string& path);
  // Makes one of the empty file `path`, which nobody else uses. `older` is the
  // predecessor of `newest`; no `identity`: a new one. What is there after an
  // error is of no use.
  static Status Build(const std::string& path, const Record& newest, const Record& older,
                      const std::string& identity);
  // Whether the file may be one, by its size and its first bytes: kCorrupt if it
  // is empty or begins otherwise, kInvalid, kIo.
  static Status CheckForm(const std::string& path);
  // Opens an existing one and verifies that it is a sound store: kCorrupt,
  // kUnsupported (newer) or kIo.
  static Status Open(const std::string& path, std::unique_ptr<Database>* database);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Whether it is of schema 1. Upgrade() makes it schema 2, in one transaction;
  // only while no process of an older version can change it.
  bool NeedsUpgrade();
  Status Upgrade();

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

  // A random UUID that the store keeps for life, by which a migration knows it
  // again; empty before Upgrade(). From memory, too.
  Status LoadIdentity(std::string* uuid);

 private:
  explicit Database(std::string path) : path_(std::move(path)) {}

  // What the file says, and at which of its PRAGMA data_version: a number that
  // changes when another connection has committed something.
  struct Content {
    int64_t data_version = 0;
    int64_t schema = 0;
    Record record;
    std::string gate_nonce;
    std::string identity;
  };

  Status Verify();
  Status Refresh();
  Status SetDurable(bool durable);
  Status ReadSchema(int64_t* schema);
  Status ReadRecord(int64_t schema, Record* record);
  Status ReadText(const char* sql, const char* none, std::string* text);
  Status WriteRecord(const Record& record);
  Status WriteIdentity(const std::string& uuid);
  Status WriteSchema2(const Record& record);
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
