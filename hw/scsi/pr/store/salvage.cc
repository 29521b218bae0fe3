// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/salvage.h"

#include <glib.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <vector>

#include "store/database.h"
#include "store/statement.h"
#include "store/store.h"

namespace scsi_pr {

namespace {

namespace fs = std::filesystem;

// Above it a gate cannot count (gate/gate.h).
constexpr uint64_t kMostVersions = uint64_t{1} << 40;

Status Corrupt(std::string what) {
  std::ranges::replace(what, '\n', ' ');
  return Status::Error(Status::Code::kCorrupt, std::move(what));
}

class Connection {
 public:
  Connection(const std::string& path, int flags) {
    sqlite3_open_v2(path.c_str(), &db_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    sqlite3_busy_timeout(db_, static_cast<int>(Store::kPatience.count()));
  }
  ~Connection() { sqlite3_close(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sqlite3* get() const { return db_; }
  Status Error() const {
    const int code = sqlite3_errcode(db_) & 0xFF;
    if (code == SQLITE_BUSY)
      return Status::Error(Status::Code::kBusy, "it is locked by another program");
    const bool damage = code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR;
    return Status::Error(damage ? Status::Code::kCorrupt : Status::Code::kIo, sqlite3_errmsg(db_));
  }
  Status Integer(const char* sql, int64_t* value) const {
    Statement statement(db_, sql);
    if (statement.Step() != SQLITE_ROW) return Error();
    *value = statement.Integer(0);
    return Status();
  }
  std::optional<std::string> Text(const char* sql) const {
    Statement statement(db_, sql);
    if (statement.Step() != SQLITE_ROW) return std::nullopt;
    return statement.Text(0);
  }

 private:
  sqlite3* db_ = nullptr;
};

Salvage::Part ReadPart(const Connection& connection, const char* sql) {
  Salvage::Part part;
  Statement statement(connection.get(), sql);
  const int step = statement.Step();
  if (step != SQLITE_ROW) {
    part.status = step == SQLITE_DONE ? Corrupt("it is missing") : connection.Error();
    return part;
  }
  part.version = static_cast<uint64_t>(statement.Integer(0));
  part.status = part.version < kMostVersions
                    ? DecodeRecord(part.version, statement.Text(1), statement.Text(2), &part.record)
                    : Corrupt("its version is impossible");
  return part;
}

void ReadRecords(const Connection& connection, Salvage* salvage) {
  if (salvage->schema == 1) {
    salvage->even = ReadPart(connection,
                             "SELECT version, document, unit_attentions FROM logical_unit");
    salvage->odd = salvage->even;
    return;
  }
  salvage->even =
      ReadPart(connection, "SELECT version, document, unit_attentions FROM record_even");
  salvage->odd = ReadPart(connection, "SELECT version, document, unit_attentions FROM record_odd");
  if (salvage->even.version % 2 != 0) salvage->even.status = Corrupt("its version is impossible");
  if (salvage->odd.status.ok() && salvage->odd.version % 2 == 0) {
    salvage->odd.status = Corrupt("its version is impossible");
  }
}

Status CheckIsStore(const Connection& connection, int64_t* schema) {
  int64_t application_id = 0;
  Status status = connection.Integer("PRAGMA application_id", &application_id);
  if (status.ok()) status = connection.Integer("PRAGMA user_version", schema);
  if (!status.ok()) return status;
  if (application_id != Database::kApplicationId) {
    return Status::Error(Status::Code::kInvalid, "it is an SQLite database, but no scsi-pr store");
  }
  if (*schema > Database::kSchema) {
    return Status::Error(Status::Code::kUnsupported,
                         "it was written by a newer version (store schema " +
                             std::to_string(*schema) + ", this one knows up to " +
                             std::to_string(Database::kSchema) + ")",
                         "Use that version, or a newer one.");
  }
  return Status();
}

Salvage Read(const std::string& path, int flags, bool thorough) {
  Salvage salvage;
  const Connection connection(path, flags);
  // All of it is read at one time.
  if (sqlite3_exec(connection.get(), "BEGIN", nullptr, nullptr, nullptr) != SQLITE_OK) {
    salvage.file = connection.Error();
  }
  if (salvage.file.ok()) salvage.file = CheckIsStore(connection, &salvage.schema);
  if (!salvage.file.ok()) return salvage;
  if (thorough) {
    const auto integrity = connection.Text("PRAGMA integrity_check(1)");
    salvage.integrity = integrity.value_or(connection.Error().message());
    std::ranges::replace(salvage.integrity, '\n', ' ');
  }
  ReadRecords(connection, &salvage);
  salvage.gate_nonce = connection.Text("SELECT nonce FROM gate WHERE id = 1");
  salvage.identity =
      salvage.schema == 1 ? "" : connection.Text("SELECT uuid FROM identity WHERE id = 1");
  if (salvage.schema > 1 && !g_uuid_string_is_valid(salvage.identity.value_or("").c_str())) {
    salvage.identity.reset();
  }
  return salvage;
}

// A file at one time, as far as that can be told.
struct Glimpse {
  explicit Glimpse(const std::string& path) { there = stat(path.c_str(), &info) == 0; }
  bool operator==(const Glimpse& o) const {
    if (!there || !o.there) return there == o.there;
    return info.st_ino == o.info.st_ino && info.st_size == o.info.st_size &&
           info.st_mtim.tv_sec == o.info.st_mtim.tv_sec &&
           info.st_mtim.tv_nsec == o.info.st_mtim.tv_nsec;
  }
  bool there = false;
  struct stat info = {};
};

class PrivateDirectory {
 public:
  PrivateDirectory() {
    std::error_code error;
    path_ = (fs::temp_directory_path(error) / "scsi-pr-XXXXXX").string();
    if (mkdtemp(path_.data()) == nullptr) path_.clear();
  }
  ~PrivateDirectory() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

Status Copy(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
  // Its permissions came along; SQLite has to write to the copy.
  if (!error) fs::permissions(to, fs::perms::owner_all, error);
  if (!error) return Status();
  return Status::Error(Status::Code::kIo, "it cannot be read: " + error.message());
}

// The database and its write-ahead log, as of one time.
Status CopyWhole(const std::string& path, const std::string& copy) {
  constexpr int kAttempts = 20;
  for (int i = 0; i < kAttempts; i++) {
    const Glimpse database(path);
    const Glimpse log(path + "-wal");
    std::error_code ignored;
    fs::remove(copy + "-wal", ignored);
    Status status = Copy(path, copy);
    if (status.ok() && log.there) status = Copy(path + "-wal", copy + "-wal");
    if (!(Glimpse(path) == database && Glimpse(path + "-wal") == log)) continue;
    return status;
  }
  return Status::Error(Status::Code::kBusy, "it changes all the time");
}

Salvage ReadCopy(const std::string& path, bool thorough) {
  Salvage salvage;
  const PrivateDirectory directory;
  const std::string copy = directory.path() + "/store";
  salvage.file =
      directory.path().empty()
          ? Status::Error(Status::Code::kIo,
                          std::string("no temporary directory can be made: ") + strerror(errno))
          : CopyWhole(path, copy);
  return salvage.file.ok() ? Read(copy, SQLITE_OPEN_READWRITE, thorough) : salvage;
}

}  // namespace

Salvage ReadWhatIsLeft(const std::string& path, const RangeLock& locks, bool thorough) {
  Salvage salvage;
  salvage.file = Database::CheckForm(path);
  if (!salvage.file.ok()) return salvage;
  if (locks.DatabaseUser() == 0) {
    salvage = ReadCopy(path, thorough);
    // Somebody may have opened it meanwhile, and changes it.
    const bool certain = salvage.file.code() != Status::Code::kBusy;
    if (certain && locks.DatabaseUser() == 0) return salvage;
  }
  return Read(path, SQLITE_OPEN_READONLY, thorough);
}

Verdict Judge(const Salvage& salvage, std::optional<uint64_t> published) {
  Verdict verdict;
  if (!salvage.file.ok()) return verdict;
  const bool even_first = salvage.even.status.ok() &&
                          (!salvage.odd.status.ok() || salvage.even.version > salvage.odd.version);
  const Salvage::Part& best = even_first ? salvage.even : salvage.odd;
  const Salvage::Part& other = even_first ? salvage.odd : salvage.even;
  if (!best.status.ok()) return verdict;
  verdict.record = best.record;
  const bool predecessor = other.version + 1 == best.version;
  if (predecessor && other.status.ok()) verdict.older = other.record;
  // The other one may have been newer. Nobody was told of what is not published.
  const bool doubtful = !predecessor && salvage.schema > 1;
  verdict.newer_is_lost = published ? *published > best.version ||
                                          (doubtful && *published < best.version)
                                    : doubtful;
  return verdict;
}

}  // namespace scsi_pr
