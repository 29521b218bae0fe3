// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "core/document.h"
#include "store/schema.h"
#include "store/statement.h"
#include "store/store.h"

namespace scsi_pr {

namespace {

// A full store is smaller by far: what is larger is a disk image, say, whose
// name was given by mistake.
constexpr off_t kMostBytes = off_t{256} << 20;
constexpr std::string_view kMagic{"SQLite format 3\0", 16};

struct StoredRecord {
  uint64_t version;
  std::string document;
  std::string unit_attentions;
};

StoredRecord ReadRow(Statement& statement) {
  return {static_cast<uint64_t>(statement.Integer(0)), statement.Text(1), statement.Text(2)};
}

// SQLite explains damage in several lines; a message has one.
Status Damaged(const std::string& path, std::string what) {
  std::ranges::replace(what, '\n', ' ');
  return Status::Error(Status::Code::kCorrupt, path + " is damaged: " + what,
                       "Nothing was changed. What is left of it, and what to do: scsi-pr check "
                       "file:" + path);
}

Status Unusable(const std::string& path, const std::string& what) {
  return Status::Error(Status::Code::kIo, "cannot use " + path + ": " + what,
                       "The user that runs QEMU must be able to read and write it and its "
                       "directory; nothing was changed.");
}

// Why the system has refused to read the database or its log; 0 if it has not.
int ReadError(sqlite3* db) {
  int error = 0;
  sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &error);
  sqlite3_file* log = nullptr;
  if (error == 0) sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  if (log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &error);
  }
  return error;
}

}  // namespace

Status Database::Failure() const {
  const int code = sqlite3_errcode(db_) & 0xFF;
  const std::string what = sqlite3_errmsg(db_);
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // of statements that never change: a table is not as we made it
      return Damage(what);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Status::Error(Status::Code::kBusy, path_ + " is locked by another program",
                           "Look for a program that has it open, an sqlite3 shell for example.");
    case SQLITE_FULL:
      return Status::Error(Status::Code::kIo, "cannot write " + path_ + ": " + what,
                           "Make room on its file system; nothing was changed.");
    default:
      return Unusable(path_, what);
  }
}

// SQLite takes what cannot be read for damaged. It may be sound.
Status Database::Damage(const std::string& what) const {
  const int error = ReadError(db_);
  return error == 0 ? Damaged(path_, what) : Unusable(path_, strerror(error));
}

Status Database::Execute(const char* sql) {
  return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? Status() : Failure();
}

Status Database::QueryInteger(const char* sql, int64_t* value) {
  Statement statement(db_, sql);
  if (statement.Step() != SQLITE_ROW) return Failure();
  *value = statement.Integer(0);
  return Status();
}

Status Database::CheckForm(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (!fs::is_regular_file(path, error) && !error) {
    return Status::Error(Status::Code::kInvalid, "it is no regular file");
  }
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  struct stat info = {};
  std::string magic(kMagic.size(), '\0');
  const bool read = fd >= 0 && fstat(fd, &info) == 0 && pread(fd, magic.data(), magic.size(), 0) >= 0;
  const int failure = errno;
  if (fd >= 0) close(fd);
  if (!read) return Status::Error(Status::Code::kIo, strerror(failure));
  if (info.st_size == 0) return Status::Error(Status::Code::kCorrupt, "it is empty");
  if (info.st_size > kMostBytes) {
    return Status::Error(Status::Code::kInvalid, "it is too large for a scsi-pr store");
  }
  if (magic == kMagic) return Status();
  return Status::Error(Status::Code::kCorrupt, "it does not begin as a database does");
}

Status Database::Open(const std::string& path, std::unique_ptr<Database>* database) {
  // SQLite would take an empty file for a new database, and write the log of a
  // damaged one into what is under its name.
  switch (const Status form = CheckForm(path); form.code()) {
    case Status::Code::kOk: break;
    case Status::Code::kCorrupt: return Damaged(path, form.message());
    case Status::Code::kIo: return Unusable(path, form.message());
    default: return Status::Error(form.code(), path + ": " + form.message(), "Name another file.");
  }
  std::unique_ptr<Database> opened(new Database(path));
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &opened->db_, flags, nullptr) != SQLITE_OK) {
    return opened->Failure();
  }
  sqlite3_busy_timeout(opened->db_, static_cast<int>(Store::kPatience.count()));
  // What is refused stays as it is, its log included; an empty one is SQLite's own.
  struct stat log = {};
  const bool log_left = stat((path + "-wal").c_str(), &log) == 0 && log.st_size > 0;
  sqlite3_db_config(opened->db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, log_left ? 1 : 0, nullptr);
  if (Status status = opened->Verify(); !status.ok()) return status;
  sqlite3_db_config(opened->db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, nullptr);
  *database = std::move(opened);
  return Status();
}

Database::~Database() { sqlite3_close(db_); }

Status Database::ReadSchema(int64_t* schema) {
  if (Status status = QueryInteger("PRAGMA user_version", schema); !status.ok()) return status;
  if (*schema <= kSchema) return Status();
  return Status::Error(Status::Code::kUnsupported,
                       path_ + " was written by a newer version (store schema " +
                           std::to_string(*schema) + ", this one knows up to " +
                           std::to_string(kSchema) + ")",
                       "Use that version, or a newer one.");
}

Status Database::Verify() {
  int64_t application_id = 0;
  if (Status status = QueryInteger("PRAGMA application_id", &application_id); !status.ok()) {
    return status;
  }
  if (application_id != kApplicationId) {
    return Status::Error(Status::Code::kInvalid, path_ + " is an SQLite database, but no scsi-pr store",
                         "Name another file; one that does not exist yet is created.");
  }
  int64_t schema = 0;
  if (Status status = ReadSchema(&schema); !status.ok()) return status;
  Statement check(db_, "PRAGMA quick_check");
  if (check.Step() != SQLITE_ROW) return Failure();
  if (check.Text(0) != "ok") return Damage(check.Text(0));
  // A read-only file opens all the same; find out now, not at the first change.
  if (sqlite3_db_readonly(db_, "main") == 1) {
    return Status::Error(Status::Code::kIo, path_ + " is read-only",
                         "The user that runs QEMU must be able to write it and its directory.");
  }
  return Refresh();
}

// Before reading: what another process commits meanwhile shows next time.
Status Database::Refresh() {
  Content content;
  Status status = QueryInteger("PRAGMA data_version", &content.data_version);
  if (status.ok() && content_ && content_->data_version == content.data_version) return status;
  content_.reset();
  if (status.ok()) status = ReadSchema(&content.schema);
  if (status.ok()) status = ReadRecord(content.schema, &content.record);
  if (status.ok()) status = ReadText("SELECT nonce FROM gate WHERE id = 1", "it names no gate",
                                     &content.gate_nonce);
  if (status.ok() && content.schema >= 2) {
    status = ReadText("SELECT uuid FROM identity WHERE id = 1", "it has no identity",
                      &content.identity);
  }
  if (status.ok()) content_ = std::move(content);
  return status;
}

Status Database::Load(Record* record, std::string* gate_nonce) {
  if (Status status = Refresh(); !status.ok()) return status;
  *record = content_->record;
  if (gate_nonce != nullptr) *gate_nonce = content_->gate_nonce;
  return Status();
}

// The newest of two records; both must be there, and follow one another: a
// missing one may have been the newest.
Status Database::ReadRecord(int64_t schema, Record* record) {
  Statement statement(db_, schema == 1 ? "SELECT version, document, unit_attentions "
                                         "FROM logical_unit WHERE id = 1"
                                       : kRecordsSql);
  std::vector<StoredRecord> rows;
  int step = statement.Step();
  for (; step == SQLITE_ROW; step = statement.Step()) rows.push_back(ReadRow(statement));
  if (step != SQLITE_DONE) return Failure();
  std::ranges::sort(rows, std::greater(), &StoredRecord::version);
  const bool complete = schema == 1 ? rows.size() == 1
                                    : rows.size() == 2 && rows[0].version == rows[1].version + 1;
  if (!complete) return Damaged(path_, "a record of the logical unit is missing");
  const Status status = DecodeRecord(rows[0].version, rows[0].document, rows[0].unit_attentions,
                                     record);
  if (status.code() == Status::Code::kCorrupt) return Damaged(path_, status.message());
  if (!status.ok()) return Status::Error(status.code(), path_ + ": " + status.message(), status.hint());
  return Status();
}

Status Database::ReadText(const char* sql, const char* none, std::string* text) {
  Statement statement(db_, sql);
  const int step = statement.Step();
  if (step == SQLITE_DONE) return Damaged(path_, none);
  if (step != SQLITE_ROW) return Failure();
  *text = statement.Text(0);
  return Status();
}

bool Database::NeedsUpgrade() { return Refresh().ok() && content_->schema < kSchema; }

Status Database::SetDurable(bool durable) {
  if (durable_ == durable) return Status();
  // NORMAL keeps the database sound through a power loss, FULL also the
  // commit itself.
  Status status = Execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  if (status.ok()) durable_ = durable;
  return status;
}

// In place of its predecessor's predecessor.
Status Database::WriteRecord(const Record& record) {
  Statement statement(db_, record.version % 2 == 0
                               ? "INSERT OR REPLACE INTO record_even VALUES (1, ?, ?, ?)"
                               : "INSERT OR REPLACE INTO record_odd VALUES (1, ?, ?, ?)");
  statement.Bind(1, static_cast<int64_t>(record.version));
  statement.Bind(2, EncodeDocument(record.state));
  statement.Bind(3, EncodeUnitAttentions(record.unit_attentions));
  return statement.Step() == SQLITE_DONE ? Status() : Failure();
}

Status Database::Save(const Record& record, bool durable) {
  if (Status status = SetDurable(durable); !status.ok()) return status;
  const Status status = WriteRecord(record);
  if (!status.ok()) content_.reset();
  if (content_) content_->record = record;
  return status;
}

// Any other commit takes the place of the failed one in the log. What it changes
// does not matter, but SQLite leaves out what changes nothing.
Status Database::Settle() {
  content_.reset();
  if (Status status = SetDurable(true); !status.ok()) return status;
  Status status = Execute(R"(
    BEGIN IMMEDIATE;
    UPDATE gate SET nonce = nonce || ' ';
    UPDATE gate SET nonce = rtrim(nonce);
    COMMIT)");
  if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  return status;
}

Status Database::LoadGateNonce(std::string* nonce) {
  if (Status status = Refresh(); !status.ok()) return status;
  *nonce = content_->gate_nonce;
  return Status();
}

Status Database::SaveGateNonce(const std::string& nonce) {
  content_.reset();
  Statement statement(db_, "UPDATE gate SET nonce = ? WHERE id = 1");
  statement.Bind(1, nonce);
  return statement.Step() == SQLITE_DONE ? Status() : Failure();
}

Status Database::LoadIdentity(std::string* uuid) {
  if (Status status = Refresh(); !status.ok()) return status;
  *uuid = content_->identity;
  return Status();
}

}  // namespace scsi_pr
