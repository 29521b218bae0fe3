// SPDX-License-Identifier: GPL-2.0-or-later
//
// The tables of a file store's database.
#pragma once

namespace scsi_pr {

// What schema 2 has in place of schema 1's table logical_unit. Two tables, so
// that no page holds something of both records.
inline constexpr const char* kSchema2Sql = R"(
  CREATE TABLE record_even (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL CHECK (version % 2 = 0),
    document TEXT NOT NULL,
    unit_attentions TEXT NOT NULL);
  CREATE TABLE record_odd (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL CHECK (version % 2 = 1),
    document TEXT NOT NULL,
    unit_attentions TEXT NOT NULL);
  CREATE VIEW logical_unit AS
    SELECT version, document, unit_attentions FROM record_even UNION ALL
    SELECT version, document, unit_attentions FROM record_odd
    ORDER BY version DESC LIMIT 1;
  CREATE TABLE identity (id INTEGER PRIMARY KEY CHECK (id = 1), uuid TEXT NOT NULL);
  PRAGMA user_version = 2;
)";
inline constexpr const char* kCreateSql = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA application_id = 1935888466;
  CREATE TABLE gate (id INTEGER PRIMARY KEY CHECK (id = 1), nonce TEXT NOT NULL);
  INSERT INTO gate VALUES (1, '');
)";

// Both records.
inline constexpr const char* kRecordsSql =
    "SELECT version, document, unit_attentions FROM record_even UNION ALL "
    "SELECT version, document, unit_attentions FROM record_odd";

}  // namespace scsi_pr
