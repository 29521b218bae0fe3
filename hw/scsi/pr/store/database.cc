// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/database.h"

#include <fcntl.h>
#include <glib.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "store/store.h"
#include "store/temporary.h"

namespace scsi_pr {

namespace {

using nlohmann::json;

constexpr int64_t kApplicationId = 0x73635052;  // "scPR": `file` shows it

constexpr const char* kCreateSql = R"(
  PRAGMA journal_mode = WAL;
  PRAGMA application_id = 1935888466;
  PRAGMA user_version = 1;
  CREATE TABLE logical_unit (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    document TEXT NOT NULL,
    unit_attentions TEXT NOT NULL);
  CREATE TABLE gate (id INTEGER PRIMARY KEY CHECK (id = 1), nonce TEXT NOT NULL);
  INSERT INTO gate VALUES (1, '');
)";
static_assert(kApplicationId == 1935888466 && Database::kSchema == 1);

// A prepared statement with its bindings.
class Statement {
 public:
  Statement(sqlite3* db, const char* sql) {
    sqlite3_prepare_v2(db, sql, -1, &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void Bind(int index, int64_t value) { sqlite3_bind_int64(statement_, index, value); }
  void Bind(int index, const std::string& value) {
    sqlite3_bind_text(statement_, index, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
  }
  // SQLITE_ROW, SQLITE_DONE or an error; a statement that could not be
  // prepared is a misuse, whose cause the connection remembers.
  int Step() { return statement_ == nullptr ? SQLITE_ERROR : sqlite3_step(statement_); }
  int64_t Integer(int column) { return sqlite3_column_int64(statement_, column); }
  std::string Text(int column) {
    const auto* text = sqlite3_column_text(statement_, column);
    return text == nullptr ? "" : reinterpret_cast<const char*>(text);
  }

 private:
  sqlite3_stmt* statement_ = nullptr;
};

std::string EncodeUnitAttentions(const std::vector<UnitAttention>& attentions) {
  json list = json::array();
  for (const UnitAttention& attention : attentions) {
    json item = NexusToJson(attention.nexus);
    item["asc"] = attention.sense.asc;
    item["ascq"] = attention.sense.ascq;
    if (attention.but_not) item["but-not"] = NexusToJson(*attention.but_not);
    list.push_back(std::move(item));
  }
  return list.dump();
}

// Throws what nlohmann-json and NexusFromJson() throw.
std::vector<UnitAttention> DecodeUnitAttentions(const std::string& text) {
  constexpr uint8_t kUnitAttentionKey = 0x6;
  std::vector<UnitAttention> attentions;
  for (const json& item : json::parse(text)) {
    const Sense sense{kUnitAttentionKey, item.at("asc").get<uint8_t>(),
                      item.at("ascq").get<uint8_t>()};
    attentions.push_back({NexusFromJson(item), sense});
    if (item.contains("but-not")) attentions.back().but_not = NexusFromJson(item.at("but-not"));
  }
  return attentions;
}

Status CannotCreate(const std::string& path, int error) {
  return Status::Error(Status::Code::kIo, "cannot create " + path + ": " + strerror(error),
                       "The user that runs QEMU must be able to write to its directory, and there "
                       "must be room.");
}

Status SyncDirectory(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && fsync(fd) == 0;
  const int error = errno;
  if (fd >= 0) close(fd);
  if (synced) return Status();
  return Status::Error(Status::Code::kIo, "cannot sync " + directory + ": " + strerror(error),
                       "What its file system has trouble with is in the kernel's log.");
}

// SQLite explains damage in several lines; a message has one.
Status Damaged(const std::string& path, std::string what) {
  std::ranges::replace(what, '\n', ' ');
  return Status::Error(Status::Code::kCorrupt, path + " is damaged: " + what,
                       "Nothing was changed. Restore it from a backup; only if no guest relies on "
                       "its reservations any more, remove it to start with an empty state.");
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

Status Database::Create(const std::string& path) {
  std::string temporary;
  const int fd = CreateTemporary(path, &temporary);
  if (fd < 0) {
    return CannotCreate(path, errno);
  }
  close(fd);
  Status status;
  {
    Database database(temporary);
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
    const bool opened = sqlite3_open_v2(temporary.c_str(), &database.db_, flags, nullptr) == SQLITE_OK;
    status = opened ? database.Execute(kCreateSql) : database.Failure();
    if (status.ok()) status = database.Save(Record{1, State{}, {}}, true);
    // Folds the write-ahead log in. Closing would, too, and not say if it fails.
    if (status.ok()) status = database.Execute("PRAGMA wal_checkpoint(TRUNCATE)");
  }
  // link() does not replace: if another process was faster, its store stays.
  if (status.ok() && link(temporary.c_str(), path.c_str()) != 0 && errno != EEXIST) {
    status = CannotCreate(path, errno);
  }
  unlink(temporary.c_str());
  for (const char* name : {"-journal", "-wal", "-shm"}) unlink((temporary + name).c_str());
  return status.ok() ? SyncDirectory(path) : status;
}

Status Database::Open(const std::string& path, std::unique_ptr<Database>* database) {
  struct stat info = {};
  // SQLite would take an empty file for a new database.
  if (stat(path.c_str(), &info) == 0 && info.st_size == 0) return Damaged(path, "it is empty");
  std::unique_ptr<Database> opened(new Database(path));
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  if (sqlite3_open_v2(path.c_str(), &opened->db_, flags, nullptr) != SQLITE_OK) {
    return opened->Failure();
  }
  sqlite3_busy_timeout(opened->db_, static_cast<int>(Store::kPatience.count()));
  if (Status status = opened->Verify(); !status.ok()) return status;
  *database = std::move(opened);
  return Status();
}

Database::~Database() { sqlite3_close(db_); }

Status Database::Verify() {
  int64_t application_id = 0;
  int64_t schema = 0;
  Status status = QueryInteger("PRAGMA application_id", &application_id);
  if (status.ok()) status = QueryInteger("PRAGMA user_version", &schema);
  if (!status.ok()) return status;
  if (application_id != kApplicationId) {
    return Status::Error(Status::Code::kInvalid, path_ + " is an SQLite database, but no scsi-pr store",
                         "Name another file; one that does not exist yet is created.");
  }
  if (schema > kSchema) {
    return Status::Error(Status::Code::kUnsupported,
                         path_ + " was written by a newer version (store schema " +
                             std::to_string(schema) + ", this one knows up to " +
                             std::to_string(kSchema) + ")",
                         "Use that version, or a newer one.");
  }
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
  if (status.ok()) status = ReadRecord(&content.record);
  if (status.ok()) status = ReadGateNonce(&content.gate_nonce);
  if (status.ok()) content_ = std::move(content);
  return status;
}

Status Database::Load(Record* record, std::string* gate_nonce) {
  if (Status status = Refresh(); !status.ok()) return status;
  *record = content_->record;
  if (gate_nonce != nullptr) *gate_nonce = content_->gate_nonce;
  return Status();
}

Status Database::ReadRecord(Record* record) {
  Statement statement(db_, "SELECT version, document, unit_attentions FROM logical_unit WHERE id = 1");
  const int step = statement.Step();
  if (step == SQLITE_DONE) return Damaged(path_, "it holds no logical unit");
  if (step != SQLITE_ROW) return Failure();
  record->version = static_cast<uint64_t>(statement.Integer(0));
  const Status status = DecodeDocument(statement.Text(1), &record->state);
  if (status.code() == Status::Code::kCorrupt) return Damaged(path_, status.message());
  if (!status.ok()) return Status::Error(status.code(), path_ + ": " + status.message(), status.hint());
  try {
    record->unit_attentions = DecodeUnitAttentions(statement.Text(2));
  } catch (const std::exception& e) {
    return Damaged(path_, e.what());
  }
  return Status();
}

Status Database::SetDurable(bool durable) {
  if (durable_ == durable) return Status();
  // NORMAL keeps the database sound through a power loss, FULL also the
  // commit itself.
  Status status = Execute(durable ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
  if (status.ok()) durable_ = durable;
  return status;
}

Status Database::Save(const Record& record, bool durable) {
  if (Status status = SetDurable(durable); !status.ok()) return status;
  Statement statement(db_, "INSERT OR REPLACE INTO logical_unit VALUES (1, ?, ?, ?)");
  statement.Bind(1, static_cast<int64_t>(record.version));
  statement.Bind(2, EncodeDocument(record.state));
  statement.Bind(3, EncodeUnitAttentions(record.unit_attentions));
  const bool saved = statement.Step() == SQLITE_DONE;
  if (!saved) content_.reset();
  if (content_) content_->record = record;
  return saved ? Status() : Failure();
}

// Any other commit takes the place of the failed one in the log. What it changes
// does not matter, but SQLite leaves out what changes nothing.
Status Database::Settle() {
  content_.reset();
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

Status Database::ReadGateNonce(std::string* nonce) {
  Statement statement(db_, "SELECT nonce FROM gate WHERE id = 1");
  const int step = statement.Step();
  if (step == SQLITE_DONE) return Damaged(path_, "it names no gate");
  if (step != SQLITE_ROW) return Failure();
  *nonce = statement.Text(0);
  return Status();
}

Status Database::SaveGateNonce(const std::string& nonce) {
  content_.reset();
  Statement statement(db_, "UPDATE gate SET nonce = ? WHERE id = 1");
  statement.Bind(1, nonce);
  return statement.Step() == SQLITE_DONE ? Status() : Failure();
}

}  // namespace scsi_pr
