// SPDX-License-Identifier: GPL-2.0-or-later
//
// `file:` - durability, damage, and everything a disk and an administrator can
// do to it. What needs a second process is in tests/process.
#include "store/file_backing.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "file_store.h"

namespace scsi_pr {
namespace {

namespace fs = std::filesystem;
using namespace testing;

class FileStoreTest : public FileStoreFixture {};

// 5.6.3, 6.11.3: APTPL keeps registrations and reservation, not PRgeneration.
TEST_F(FileStoreTest, PowerOnWithAptpl) {
  Clause("5.6.3: power cycle with APTPL");
  MakeStoreReservedByA();
  const auto store = Open();
  GateSlot* slot = nullptr;
  ASSERT_TRUE(store->Attach(B(), "later", nullptr, &slot).ok());
  EXPECT_EQ(Read(*store), State(Given().Registered(A(), kKeyA).Reserved(kWE, A()).Aptpl()));
  EXPECT_FALSE(slot->admission().Admits(AccessClass::kWrite));
  store->Detach(slot);
}

TEST_F(FileStoreTest, OpenDoesNotPowerOn) {
  MakeStoreReservedByA();
  EXPECT_EQ(Read(*Open()).generation, 1u) << "a tool that looks changes nothing";
}

TEST_F(FileStoreTest, ExistingModeCreatesNothing) {
  std::shared_ptr<Store> store;
  EXPECT_EQ(Store::Open("file:" + path_, Store::OpenMode::kExisting, &store).code(),
            Code::kInvalid);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

// No temporary file stays behind.
TEST_F(FileStoreTest, FilesOfAStore) {
  MakeStoreReservedByA();
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory_.path())) {
    names.insert(entry.path().filename());
  }
  EXPECT_EQ(names, (std::set<std::string>{"lu.pr", "lu.pr-gate"}));
}

// A process died between commit and publication: whoever comes next publishes,
// with the unit attentions, before it answers.
TEST_F(FileStoreTest, CommittedButNotPublished) {
  const auto store = Open();
  GateSlot* a = nullptr;
  GateSlot* b = nullptr;
  ASSERT_TRUE(store->Attach(A(), "a", nullptr, &a).ok());
  ASSERT_TRUE(store->Attach(B(), "b", nullptr, &b).ok());
  {
    std::unique_ptr<Database> dead;
    ASSERT_TRUE(Database::Open(path_, &dead).ok());
    Record record;
    ASSERT_TRUE(dead->Load(&record).ok());
    record.version++;
    record.state = ReservedByA(kEA);
    record.unit_attentions = {{B(), sense::kReservationsReleased}};
    ASSERT_TRUE(dead->Save(record, true).ok());
  }
  EXPECT_EQ(Read(*store), ReservedByA(kEA));
  EXPECT_FALSE(b->admission().Admits(AccessClass::kRead));
  EXPECT_EQ(b->unit_attentions().Take(), sense::kReservationsReleased);
  EXPECT_EQ(a->unit_attentions().Take(), std::nullopt);
  Read(*store);
  EXPECT_EQ(b->unit_attentions().Take(), std::nullopt);
  store->Detach(a);
  store->Detach(b);
}

TEST_F(FileStoreTest, LinkedPathIsTheSameStore) {
  const auto store = Open();
  fs::create_symlink(path_, directory_ / "link.pr");
  fs::create_directory_symlink(directory_.path(), directory_ / "dir");
  for (const std::string& name : {directory_ / "link.pr", directory_ / "dir/lu.pr",
                                  directory_ / "./lu.pr"}) {
    std::shared_ptr<Store> other;
    ASSERT_TRUE(Open(name, &other).ok()) << name;
    EXPECT_EQ(other, store) << name;
  }
}

TEST_F(FileStoreTest, NewerSchema) {
  MakeStoreReservedByA();
  Sql("PRAGMA user_version = 3");
  ExpectRefused(Code::kUnsupported);
}

TEST_F(FileStoreTest, NewerDocument) {
  MakeStoreReservedByA();
  Sql(R"(UPDATE record_odd SET document = '{"format":"scsi-pr","schema":3}')");
  ExpectRefused(Code::kUnsupported);
}

TEST_F(FileStoreTest, DamagedRow) {
  for (const char* damage :
       {"UPDATE record_odd SET document = replace(document, '000a', '000b')",
        "UPDATE record_odd SET document = ''", "UPDATE record_odd SET unit_attentions = '{'",
        "UPDATE record_odd SET version = version + 2", "UPDATE record_even SET version = 0",
        "DELETE FROM record_odd", "DELETE FROM record_even", "DROP TABLE record_odd",
        "DELETE FROM identity", "DELETE FROM gate"}) {
    SCOPED_TRACE(damage);
    for (const auto& entry : fs::directory_iterator(directory_.path())) fs::remove(entry);
    MakeStoreReservedByA();
    Sql(damage);
    const std::string before = ReadFile(path_);
    EXPECT_EQ(OpenCode(path_), Code::kCorrupt);
    ExpectFile(before);
  }
}

// The newest record counts; the next commit replaces the older one.
TEST_F(FileStoreTest, DamagedOlderRecord) {
  MakeStoreReservedByA();
  Sql("UPDATE record_even SET document = 'x'");
  const auto store = Open();
  EXPECT_TRUE(Read(*store).IsHolder(A()));
  ASSERT_TRUE(Send(*store, A(), Release(kKeyA, kWE)).ok());
  EXPECT_EQ(SqlInteger("SELECT count(*) FROM record_even WHERE document = 'x'"), 0);
}

// Two records on different pages: one that is damaged leaves the other.
TEST_F(FileStoreTest, EachCommitLeavesItsPredecessor) {
  MakeStoreReservedByA();
  EXPECT_EQ(SqlInteger("SELECT version FROM record_odd"), 3);
  EXPECT_EQ(SqlInteger("SELECT version FROM record_even"), 2);
  EXPECT_EQ(SqlInteger("SELECT version FROM logical_unit"), 3) << "the newest, for people";
  EXPECT_EQ(SqlInteger("SELECT count(DISTINCT rootpage) FROM sqlite_schema "
                       "WHERE name IN ('record_even', 'record_odd')"), 2);
}

TEST_F(FileStoreTest, IdentityIsForLife) {
  const auto identity = [&](const std::string& path) {
    std::unique_ptr<Database> database;
    std::string uuid;
    EXPECT_TRUE(Database::Open(path, &database).ok());
    EXPECT_TRUE(database->LoadIdentity(&uuid).ok());
    return uuid;
  };
  MakeStoreReservedByA();
  const std::string uuid = identity(path_);
  EXPECT_EQ(uuid.size(), 36u);
  fs::remove(path_ + "-gate");
  MakeStoreReservedByA();
  EXPECT_EQ(identity(path_), uuid);
  ASSERT_TRUE(Database::Create(directory_ / "other.pr").ok());
  EXPECT_NE(identity(directory_ / "other.pr"), uuid);
}

// As version 0.1 made it.
TEST_F(FileStoreTest, Schema1IsUpgraded) {
  MakeSchema1();
  const State kept = Given().Registered(A(), kKeyA).Reserved(kWE, A()).Aptpl();
  EXPECT_EQ(Read(*Open()), kept);
  EXPECT_EQ(SqlInteger("PRAGMA user_version"), 2);
  EXPECT_EQ(SqlInteger("SELECT version FROM record_even"), 40);
  EXPECT_EQ(SqlInteger("SELECT version FROM record_odd"), 41);
  EXPECT_EQ(SqlInteger("SELECT length(uuid) FROM identity"), 36);
  EXPECT_EQ(Read(*Open()), kept);
}

// A process of the old version would go on writing the old way.
TEST_F(FileStoreTest, Schema1InUseIsRefused) {
  MakeSchema1();
  constexpr uint64_t kSlotLock = 16;
  std::unique_ptr<RangeLock> old;
  ASSERT_TRUE(RangeLock::Open(path_, &old).ok());
  ASSERT_TRUE(old->TryLock(kSlotLock));
  EXPECT_EQ(OpenCode(path_), Code::kInUse);
  EXPECT_EQ(SqlInteger("PRAGMA user_version"), 1);
  old.reset();
  EXPECT_TRUE(Read(*Open()).IsHolder(A()));
}

TEST_F(FileStoreTest, DamagedSchema1IsRefused) {
  MakeSchema1();
  Sql("UPDATE logical_unit SET document = 'x'");
  ExpectRefused(Code::kCorrupt);
}

TEST_F(FileStoreTest, DamagedPages) {
  MakeStoreReservedByA();
  const std::string sound = ReadFile(path_);
  constexpr size_t kPage = 4096;
  ASSERT_GE(sound.size(), 3 * kPage);
  for (size_t page = 0; page < sound.size() / kPage; page++) {
    std::string damaged = sound;
    damaged.replace(page * kPage, 64, 64, '\xA5');
    WriteFile(path_, damaged);
    EXPECT_NE(OpenCode(path_), Code::kOk) << "page " << page;
    ExpectFile(damaged);
  }
  WriteFile(path_, sound);
  EXPECT_TRUE(Read(*Open()).IsHolder(A())) << "the backup is good again";
}

TEST_F(FileStoreTest, TruncatedFile) {
  MakeStoreReservedByA();
  const std::string sound = ReadFile(path_);
  for (size_t size : {size_t{1}, size_t{99}, size_t{100}, size_t{4096}, sound.size() - 4096}) {
    WriteFile(path_, sound.substr(0, size));
    EXPECT_NE(OpenCode(path_), Code::kOk) << size;
    ExpectFile(sound.substr(0, size));
  }
}

TEST_F(FileStoreTest, EmptyFile) {
  WriteFile(path_, "");
  ExpectRefused(Code::kCorrupt);
}

TEST_F(FileStoreTest, TextFile) {
  WriteFile(path_, std::string(8192, 'x'));
  ExpectRefused(Code::kCorrupt);
}

TEST_F(FileStoreTest, ForeignDatabase) {
  Sql("CREATE TABLE precious (data TEXT); INSERT INTO precious VALUES ('x')");
  ExpectRefused(Code::kInvalid);
}

TEST_F(FileStoreTest, MissingDirectory) {
  EXPECT_EQ(OpenCode(directory_ / "none/lu.pr"), Code::kIo);
  EXPECT_FALSE(fs::exists(directory_ / "none"));
}

TEST_F(FileStoreTest, ReplacedWhileInUse) {
  const auto store = Open();
  GateSlot* slot = nullptr;
  ASSERT_TRUE(store->Attach(A(), "a", nullptr, &slot).ok());
  ASSERT_TRUE(Send(*store, A(), Register(0, kKeyA)).ok());
  const State before = Read(*store);
  for (const bool replaced : {false, true}) {
    fs::rename(path_, directory_ / "aside");
    if (replaced) WriteFile(path_, "another");
    EXPECT_EQ(Send(*store, A(), Reserve(kKeyA, kWE)).code(), Code::kIo);
    std::shared_ptr<const Record> snapshot;
    EXPECT_EQ(store->Read(&snapshot).code(), Code::kIo);
    fs::rename(directory_ / "aside", path_);
    EXPECT_EQ(Read(*store), before);
  }
  EXPECT_TRUE(Send(*store, A(), Reserve(kKeyA, kWE)).ok());
  store->Detach(slot);
}

// Damage that comes while the store is in use: an error, never an empty state.
TEST_F(FileStoreTest, DamagedWhileInUse) {
  const auto store = Open();
  GateSlot* b = nullptr;
  ASSERT_TRUE(store->Attach(B(), "b", nullptr, &b).ok());
  ASSERT_TRUE(Send(*store, A(), Register(0, kKeyA)).ok());
  ASSERT_TRUE(Send(*store, A(), Reserve(kKeyA, kWE)).ok());
  Sql("UPDATE record_odd SET document = 'x'");
  std::shared_ptr<const Record> snapshot;
  EXPECT_EQ(store->Read(&snapshot).code(), Code::kCorrupt);
  EXPECT_EQ(Send(*store, A(), Clear(kKeyA)).code(), Code::kCorrupt);
  EXPECT_FALSE(b->admission().Admits(AccessClass::kWrite)) << "the reservation is still on";
  store->Detach(b);
}

// Runs `body` in a child process; returns its exit code.
template <typename Body>
int InChild(Body body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

constexpr int kSkipped = 77;
constexpr uid_t kNobody = 65534;

int OpenAsNobody(const std::string& uri) {
  if (getuid() == 0 && (setgid(kNobody) != 0 || setuid(kNobody) != 0)) return kSkipped;
  std::shared_ptr<Store> store;
  const Status status = Store::Open(uri, Store::OpenMode::kCreate, &store);
  return status.code() == Code::kIo && !status.hint().empty() ? 0 : 1;
}

TEST_F(FileStoreTest, UnwritableDirectory) {
  ASSERT_EQ(chmod(directory_.path().c_str(), 0555), 0);
  const int code = InChild([&] { return OpenAsNobody("file:" + path_); });
  chmod(directory_.path().c_str(), 0755);
  if (code == kSkipped) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

TEST_F(FileStoreTest, ReadOnlyStore) {
  MakeStoreReservedByA();
  chmod(directory_.path().c_str(), 0777);
  chmod(path_.c_str(), 0444);
  const std::string before = ReadFile(path_);
  const int code = InChild([&] { return OpenAsNobody("file:" + path_); });
  if (code == kSkipped) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(code, 0);
  ExpectFile(before);
}

// A small file system of this process's own; kSkipped where that is forbidden.
int MountSmall(const std::string& where, const char* options) {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", where.c_str(), "tmpfs", 0, options) != 0) {
    return kSkipped;
  }
  return 0;
}

int CreateOnFullDisk(const std::string& directory) {
  if (MountSmall(directory, "size=64k") != 0) return kSkipped;
  FillFileSystem(directory + "/filler");
  if (::testing::Test::HasFatalFailure()) return 9;
  std::shared_ptr<Store> store;
  const Status status =
      Store::Open("file:" + directory + "/lu.pr", Store::OpenMode::kCreate, &store);
  if (status.code() != Code::kIo) return 1;
  return fs::exists(directory + "/lu.pr") ? 2 : 0;
}

TEST_F(FileStoreTest, CreateOnAFullDisk) {
  const int code = InChild([&] { return CreateOnFullDisk(directory_.path()); });
  if (code == kSkipped) GTEST_SKIP() << "cannot mount a small file system";
  EXPECT_EQ(code, 0);
}

// Registers until the disk is full: that one fails, and changed nothing; with
// room again it goes on. (A short write-ahead log may still have room first.)
int ChangeOnFullDisk(const std::string& directory) {
  if (MountSmall(directory, "size=2m") != 0) return kSkipped;
  std::shared_ptr<Store> store;
  if (!Store::Open("file:" + directory + "/lu.pr", Store::OpenMode::kCreate, &store).ok()) return 1;
  GateSlot* slot = nullptr;
  if (!store->Attach(A(), "a", nullptr, &slot).ok()) return 2;
  FillFileSystem(directory + "/filler");
  if (::testing::Test::HasFatalFailure()) return 9;
  const auto send = [&](uint64_t key) {
    const Command command = RegisterIgnore(key).Aptpl();
    Outcome outcome;
    return store->Update(
        [&](const State& state) { return Apply(state, kDurable, A(), command); }, &outcome);
  };
  uint64_t key = 1;
  Status status = send(key);
  while (status.ok() && key < 10000) status = send(++key);
  if (status.code() != Code::kIo) return 3;
  std::shared_ptr<const Record> snapshot;
  if (!store->Read(&snapshot).ok()) return 4;
  const Registration* kept = snapshot->state.Find(A());
  if ((kept == nullptr ? 0 : kept->key) != key - 1) return 5;
  fs::remove(directory + "/filler");
  if (!send(key).ok()) return 6;
  store->Detach(slot);
  return 0;
}

TEST_F(FileStoreTest, ChangeOnAFullDisk) {
  const int code = InChild([&] { return ChangeOnFullDisk(directory_.path()); });
  if (code == kSkipped) GTEST_SKIP() << "cannot mount a small file system";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace scsi_pr
