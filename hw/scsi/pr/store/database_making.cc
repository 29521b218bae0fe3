// SPDX-License-Identifier: GPL-2.0-or-later
//
// How databases are made and upgraded.
#include <glib.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "store/database.h"
#include "store/schema.h"
#include "store/statement.h"
#include "store/temporary.h"

namespace scsi_pr {

namespace {

static_assert(Database::kApplicationId == 1935888466 && Database::kSchema == 2);

std::string RandomUuid() {
  gchar* uuid = g_uuid_string_random();
  std::string text = uuid;
  g_free(uuid);
  return text;
}

Status CannotCreate(const std::string& path, int error) {
  return Status::Error(Status::Code::kIo, "cannot create " + path + ": " + strerror(error),
                       "The user that runs QEMU must be able to write to its directory, and there "
                       "must be room.");
}

}  // namespace

Status Database::Create(const std::string& path) {
  std::string temporary;
  const int fd = CreateTemporary(path, &temporary);
  if (fd < 0) {
    return CannotCreate(path, errno);
  }
  close(fd);
  Status status = Build(temporary, Record{1, State{}, {}}, Record{0, State{}, {}}, "");
  // link() does not replace: if another process was faster, its store stays.
  if (status.ok() && link(temporary.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    status = CannotCreate(path, errno);
  }
  unlink(temporary.c_str());
  return status.ok() ? SyncDirectoryOf(path) : status;
}

Status Database::Build(const std::string& path, const Record& newest, const Record& older,
                       const std::string& identity) {
  Status status;
  {
    Database database(path);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    const bool opened = sqlite3_open_v2(path.c_str(), &database.db_, flags, nullptr) == SQLITE_OK;
    status = opened ? database.SetDurable(true) : database.Failure();
    if (status.ok()) status = database.Execute(kCreateSql);
    if (status.ok()) status = database.Execute(kSchema2Sql);
    if (status.ok()) status = database.WriteIdentity(identity.empty() ? RandomUuid() : identity);
    if (status.ok()) status = database.WriteRecord(older);
    if (status.ok()) status = database.WriteRecord(newest);
    // Folds the write-ahead log in. Closing would, too, and not say if it fails.
    if (status.ok()) status = database.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  for (const char* name : {"-journal", "-wal", "-shm"}) unlink((path + name).c_str());
  return status;
}

Status Database::Upgrade() {
  Status status = SetDurable(true);
  if (status.ok()) status = Execute("BEGIN IMMEDIATE");
  if (!status.ok()) return status;
  Record record;
  if (status = Load(&record); status.ok() && content_->schema < kSchema) {
    status = WriteSchema2(record);
  }
  if (status.ok()) status = Execute("COMMIT");
  if (!status.ok()) static_cast<void>(Execute("ROLLBACK").ok());
  content_.reset();
  return status;
}

// The record is all that is known; it is its own predecessor.
Status Database::WriteSchema2(const Record& record) {
  Record older = record;
  older.version--;
  Status status = Execute("DROP TABLE logical_unit");
  if (status.ok()) status = Execute(kSchema2Sql);
  if (status.ok()) status = WriteIdentity(RandomUuid());
  if (status.ok()) status = WriteRecord(older);
  if (status.ok()) status = WriteRecord(record);
  return status;
}

Status Database::WriteIdentity(const std::string& uuid) {
  Statement statement(db_, "INSERT INTO identity VALUES (1, ?)");
  statement.Bind(1, uuid);
  return statement.Step() == SQLITE_DONE ? Status() : Failure();
}

}  // namespace scsi_pr
