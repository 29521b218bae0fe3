// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>

#include "core/document.h"
#include "store/statement.h"
#include "store/store.h"
#include "temporary_directory.h"
#include "testing.h"

namespace scsi_pr::testing {

using Code = Status::Code;

// A file store of the test, what is in it, and what can be done to it.
class FileStoreFixture : public ::testing::Test {
 protected:
  Status Open(const std::string& path, std::shared_ptr<Store>* store) {
    return Store::Open("file:" + path, Store::OpenMode::kCreate, store);
  }
  std::shared_ptr<Store> Open() {
    std::shared_ptr<Store> store;
    const Status status = Open(path_, &store);
    EXPECT_TRUE(status.ok()) << status.message();
    return store;
  }
  Code OpenCode(const std::string& path) {
    std::shared_ptr<Store> store;
    const Status status = Open(path, &store);
    EXPECT_EQ(status.ok(), store != nullptr);
    if (!status.ok()) {
      EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
      EXPECT_FALSE(status.hint().empty()) << status.message();
    }
    return status.code();
  }
  static Status Send(Store& store, const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    return store.Update(
        [&](const State& state) { return Apply(state, store.capabilities(), nexus, command); },
        &outcome);
  }
  static State Read(Store& store) {
    std::shared_ptr<const Record> snapshot;
    EXPECT_TRUE(store.Read(&snapshot).ok());
    return snapshot->state;
  }
  // A registers with APTPL and reserves; then everything is closed.
  void MakeStoreReservedByA() {
    const auto store = Open();
    GateSlot* slot = nullptr;
    ASSERT_TRUE(store->Attach(A(), "maker", nullptr, &slot).ok());
    ASSERT_TRUE(Send(*store, A(), Register(0, kKeyA).Aptpl()).ok());
    ASSERT_TRUE(Send(*store, A(), Reserve(kKeyA, kWE)).ok());
    store->Detach(slot);
  }
  void Sql(const std::string& statements) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(db, statements.c_str(), nullptr, nullptr, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    sqlite3_close(db);
  }
  int64_t SqlInteger(const std::string& query) {
    sqlite3* db = nullptr;
    EXPECT_EQ(sqlite3_open(path_.c_str(), &db), SQLITE_OK);
    int64_t value = -1;
    {
      Statement statement(db, query.c_str());
      EXPECT_EQ(statement.Step(), SQLITE_ROW) << query << ": " << sqlite3_errmsg(db);
      value = statement.Integer(0);
    }
    sqlite3_close(db);
    return value;
  }
  void MakeSchema1() {
    Sql(R"(PRAGMA journal_mode = WAL;
           PRAGMA application_id = 1935888466;
           PRAGMA user_version = 1;
           CREATE TABLE logical_unit (id INTEGER PRIMARY KEY CHECK (id = 1),
             version INTEGER NOT NULL, document TEXT NOT NULL, unit_attentions TEXT NOT NULL);
           CREATE TABLE gate (id INTEGER PRIMARY KEY CHECK (id = 1), nonce TEXT NOT NULL);
           INSERT INTO gate VALUES (1, '');)");
    const State state = Given().Registered(A(), kKeyA).Reserved(kWE, A()).Aptpl();
    Sql("INSERT INTO logical_unit VALUES (1, 41, '" + EncodeDocument(state) + "', '[]')");
  }
  // Refused as `code`, and every byte of the file as before.
  void ExpectRefused(Code code) {
    const std::string before = ReadFile(path_);
    EXPECT_EQ(OpenCode(path_), code);
    ExpectFile(before);
  }
  void ExpectFile(const std::string& contents) {
    EXPECT_TRUE(ReadFile(path_) == contents) << "the file was changed";
  }

  const TemporaryDirectory directory_;
  const std::string path_ = directory_ / "lu.pr";
};

}  // namespace scsi_pr::testing
