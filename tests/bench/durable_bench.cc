// SPDX-License-Identifier: GPL-2.0-or-later
//
// For the choice of what makes a change durable: one commit of a small document, in
// turn with one write and fdatasync(2) in the same directory, to which it is compared.
//
//   SQLite without shared memory, in two of its ways to keep a journal
//   two records in a file, the older of which is overwritten: one write, one fdatasync
//
// usage: durable-bench [DIRECTORY]     of a real disk (/var/tmp)
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

namespace {

using namespace bench;

constexpr int kRounds = 200;
constexpr size_t kRecord = 4096;

class Database {
 public:
  Database(const std::string& path, const char* journal) {
    if (sqlite3_open(path.c_str(), &db_) != SQLITE_OK) Die("cannot open " + path);
    Run(std::string("PRAGMA journal_mode=") + journal);
    Run("PRAGMA synchronous=FULL; PRAGMA locking_mode=NORMAL; PRAGMA mmap_size=0;"
        "CREATE TABLE record (id INTEGER PRIMARY KEY, document TEXT);"
        "INSERT INTO record VALUES (1, ''), (2, '')");
  }
  ~Database() { sqlite3_close(db_); }
  Database(const Database&) = delete;

  void Commit(int round, const std::string& document) {
    Run("UPDATE record SET document='" + document + "' WHERE id=" + std::to_string(1 + round % 2));
  }

 private:
  void Run(const std::string& sql) {
    if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
      Die(sqlite3_errmsg(db_));
    }
  }
  sqlite3* db_ = nullptr;
};

class File {
 public:
  explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDWR | O_CREAT, 0600)) {
    if (fd_ < 0) Die("cannot open " + path);
    for (int i : {0, 1}) Write(i, "");
    if (fsync(fd_) != 0) Die("fsync");
  }
  ~File() { close(fd_); }
  File(const File&) = delete;

  void Write(int round, const std::string& document) {
    std::string record = document;
    record.resize(kRecord);
    const off_t at = round % 2 * static_cast<off_t>(kRecord);
    if (pwrite(fd_, record.data(), kRecord, at) != kRecord) Die("pwrite");
    if (fdatasync(fd_) != 0) Die("fdatasync");
  }

 private:
  const int fd_;
};

}  // namespace

int main(int argc, char** argv) {
  const Directory directory(Place(argc, argv));
  Database truncated(directory.path() + "/truncate.db", "TRUNCATE");
  Database persistent(directory.path() + "/persist.db", "PERSIST");
  File records(directory.path() + "/records");
  File bare(directory.path() + "/bare");
  std::vector<double> truncate, persist, two, one;
  for (int i = 0; i < kRounds; i++) {
    const std::string document(600 + static_cast<size_t>(i % 7), static_cast<char>('a' + i % 26));
    truncate.push_back(Time([&] { truncated.Commit(i, document); }));
    persist.push_back(Time([&] { persistent.Commit(i, document); }));
    two.push_back(Time([&] { records.Write(i, document); }));
    one.push_back(Time([&] { bare.Write(0, document); }));
  }
  const double base = Median(one);
  printf("--- one durable commit, to one pwrite and fdatasync of 4 KiB: median [quartiles]\n");
  Tell("pwrite and fdatasync", one, "us");
  Tell("SQLite, journal_mode=TRUNCATE, synchronous=FULL", Ratios(truncate, base), "");
  Tell("SQLite, journal_mode=PERSIST, synchronous=FULL", Ratios(persist, base), "");
  Tell("two records, the older overwritten", Ratios(two, base), "");
}
