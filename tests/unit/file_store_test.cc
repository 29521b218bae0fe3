// SPDX-License-Identifier: GPL-2.0-or-later
//
// `file:` - durability, damage, and where a store may be. What needs a second process is
// in tests/process, what happens to a store in use in store_in_use_test.cc.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "file_store.h"
#include "in_child.h"
#include "other_process.h"
#include "store/gate_memory.h"

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
  ASSERT_TRUE(store->Attach(B(), "later", Store::AttachMode::kNew, nullptr, &slot).ok());
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
  EXPECT_EQ(Store::Open("file:" + path_, Options(Store::OpenMode::kExisting), &store).code(),
            Code::kInvalid);
  EXPECT_TRUE(fs::is_empty(directory_.path()));
}

// One file on the disk and, while it is in use, one in memory, beside what has its name. No
// temporary one stays.
TEST_F(FileStoreTest, FilesOfAStore) {
  MakeStoreReservedByA();
  EXPECT_TRUE(runtime_.Names().empty()) << "the last one removes it";
  const auto store = Open();
  const auto in_use = runtime_.Names();
  ASSERT_EQ(in_use.size(), 2u);
  EXPECT_EQ(in_use[0], GateMemory::NameFor(Identity()));
  EXPECT_TRUE(in_use[1].starts_with("scsi-pr-name-")) << in_use[1];
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory_.path())) {
    names.insert(entry.path().filename());
  }
  EXPECT_EQ(names, std::set<std::string>{"lu.pr"});
}

// Without APTPL no change is owed to a disk, and none is made; the last change that turned
// it off was durable.
TEST_F(FileStoreTest, NothingIsWrittenWithoutAptpl) {
  Clause("5.6.3: power cycle without APTPL");
  MakeStoreReservedByA();
  const auto store = Open();
  GateSlot* a = nullptr;
  ASSERT_TRUE(store->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &a).ok());
  ASSERT_TRUE(Send(*store, A(), RegisterIgnore(kKeyA)).ok());
  struct stat before = {};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  const std::string contents = ReadFile(path_);
  ASSERT_TRUE(Send(*store, B(), Register(0, kKeyB)).ok());
  ASSERT_TRUE(Send(*store, B(), Preempt(kKeyB, kKeyA, kWE)).ok());
  EXPECT_TRUE(Read(*store).IsHolder(B()));
  store->Detach(a);
  ExpectFile(contents);
  struct stat after = {};
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

// A process died between commit and publication: whoever comes next publishes,
// with the unit attentions, before it answers.
TEST_F(FileStoreTest, CommittedButNotPublished) {
  const auto store = Open();
  GateSlot* a = nullptr;
  GateSlot* b = nullptr;
  ASSERT_TRUE(store->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &a).ok());
  ASSERT_TRUE(store->Attach(B(), "b", Store::AttachMode::kNew, nullptr, &b).ok());
  OtherProcess(path_, runtime_.path())
      .Commit(ReservedByA(kEA), {{B(), sense::kReservationsReleased, std::nullopt}});
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
  for (const std::string& name :
       {directory_ / "link.pr", directory_ / "dir/lu.pr", directory_ / "./lu.pr"}) {
    std::shared_ptr<Store> other;
    ASSERT_TRUE(Open(name, &other).ok()) << name;
    EXPECT_EQ(other, store) << name;
  }
}

TEST_F(FileStoreTest, NewerFormat) {
  MakeStoreReservedByA();
  Rewrite([&](std::string& contents) { contents[SectorOffset(Newest(), 0) + 8] = '2'; });
  ExpectRefused(Code::kUnsupported);
}

// Whatever happens to one sector: the state is what it was, or the store is refused and
// stays as it is.
TEST_F(FileStoreTest, DamagedSectors) {
  MakeLargeStore();
  const std::string sound = ReadFile(path_);
  const State state = Read(*Open());
  int refused = 0;
  for (size_t at = 0; at < sound.size(); at += kSectorBytes) {
    for (const char garbage : {'\0', '\xA5'}) {
      SCOPED_TRACE(at);
      std::string damaged = sound;
      damaged.replace(at, kSectorBytes, kSectorBytes, garbage);
      WriteFile(path_, damaged);
      std::shared_ptr<Store> store;
      const Status status = Open(path_, &store);
      if (status.ok()) {
        EXPECT_EQ(Read(*store), state);
      } else {
        EXPECT_EQ(status.code(), Code::kCorrupt);
        EXPECT_NE(status.hint().find("scsi-pr check"), std::string::npos) << status.hint();
        refused++;
      }
      ExpectFile(damaged);
    }
  }
  EXPECT_GE(refused, 4);
  WriteFile(path_, sound);
  EXPECT_EQ(Read(*Open()), state) << "the backup is good again";
}

// The newest record counts; the next commit replaces the older one.
TEST_F(FileStoreTest, DamagedOlderRecord) {
  MakeLargeStore();
  const unsigned older = 1 - Newest();
  DamageSector(older, 1);
  const auto store = Open();
  EXPECT_TRUE(Read(*store).IsHolder(A()));
  ASSERT_TRUE(Send(*store, A(), Release(kKeyA, kWE)).ok());
  EXPECT_TRUE(Parts().part[older].sound());
}

TEST_F(FileStoreTest, DamagedNewestRecord) {
  for (const size_t sector : {0, 1}) {
    MakeLargeStore();
    DamageSector(Newest(), sector);
    ExpectRefused(Code::kCorrupt);
  }
}

TEST_F(FileStoreTest, EachCommitLeavesItsPredecessor) {
  MakeStoreReservedByA();
  const DiskParts parts = Parts();
  const DiskPart& newest = parts.part[Newest()];
  const DiskPart& older = parts.part[1 - Newest()];
  ASSERT_TRUE(newest.sound() && older.sound());
  EXPECT_EQ(newest.content.previous, older.version);
  EXPECT_EQ(older.content.record.state,
            State(Given().Registered(A(), kKeyA).Aptpl().Generation(1)));
}

TEST_F(FileStoreTest, IdentityIsForLife) {
  MakeStoreReservedByA();
  const std::string uuid = Identity();
  EXPECT_EQ(uuid.size(), 36u);
  MakeStoreReservedByA();
  EXPECT_EQ(Identity(), uuid);
  MakeLargeStore();
  EXPECT_NE(Identity(), uuid);
}

TEST_F(FileStoreTest, TruncatedFile) {
  MakeStoreReservedByA();
  const std::string sound = ReadFile(path_);
  for (const size_t size : {size_t{1}, size_t{99}, size_t{512}, size_t{4096}, size_t{4097}}) {
    WriteFile(path_, sound.substr(0, size));
    EXPECT_NE(OpenCode(path_), Code::kOk) << size;
    ExpectFile(sound.substr(0, size));
  }
}

TEST_F(FileStoreTest, EmptyFile) {
  WriteFile(path_, "");
  ExpectRefused(Code::kCorrupt);
}

TEST_F(FileStoreTest, ForeignFile) {
  for (const size_t size : {size_t{1}, size_t{8192}, size_t{100000}}) {
    WriteFile(path_, std::string(size, 'x'));
    ExpectRefused(Code::kInvalid);
  }
}

// A disk image whose name was given by mistake.
TEST_F(FileStoreTest, HugeFile) {
  WriteFile(path_, "scsi-pr/1 ");
  fs::resize_file(path_, uintmax_t{1} << 40);
  EXPECT_EQ(OpenCode(path_), Code::kInvalid);
}

TEST_F(FileStoreTest, MissingDirectory) {
  EXPECT_EQ(OpenCode(directory_ / "none/lu.pr"), Code::kIo);
  EXPECT_FALSE(fs::exists(directory_ / "none"));
}

// What is in force is never kept where a disk can fail.
TEST_F(FileStoreTest, RuntimeDirectoryMustBeMemory) {
  Store::OpenOptions options = Options();
  std::shared_ptr<Store> store;
  const auto refused = [&](const std::string& runtime_directory, Code code) {
    options.runtime_directory = runtime_directory;
    const Status status = Store::Open("file:" + path_, options, &store);
    EXPECT_EQ(status.code(), code) << runtime_directory;
    EXPECT_NE(status.message().find(runtime_directory), std::string::npos) << status.message();
    EXPECT_NE(status.hint().find("tmpfs"), std::string::npos) << status.hint();
  };
  refused("/proc", Code::kInvalid);
  refused("relative", Code::kInvalid);
  refused(runtime_.path() + "/none", Code::kIo);
}

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

// Registers until the record needs more room than the file has: that one fails, and
// changed nothing; with room again it goes on.
int GrowOn(const std::string& store_path, const std::string& full) {
  std::shared_ptr<Store> store;
  if (!Store::Open("file:" + store_path, Store::OpenMode::kCreate, &store).ok()) return 1;
  GateSlot* slot = nullptr;
  if (!store->Attach(A(), "a", Store::AttachMode::kNew, nullptr, &slot).ok()) return 2;
  FillFileSystem(full + "/filler");
  if (::testing::Test::HasFatalFailure()) return 9;
  const auto registers = [&](uint64_t number) {
    const Command command = RegisterIgnore(number).Aptpl();
    Outcome outcome;
    return store->Update(
        [&](const State& state) { return Apply(state, kDurable, NumberedNexus(number), command); },
        {}, &outcome);
  };
  uint64_t number = 1;
  Status status = registers(number);
  while (status.ok() && number < State::kMaxRegistrations) status = registers(++number);
  if (status.code() != Code::kIo || status.hint().empty()) return 3;
  std::shared_ptr<const Record> record;
  if (!store->Read(&record).ok()) return 4;
  if (record->state.registrations.size() != number - 1) return 5;
  fs::remove(full + "/filler");
  if (!registers(number).ok()) return 6;
  store->Detach(slot);
  return 0;
}

TEST_F(FileStoreTest, ChangeOnAFullDisk) {
  const int code = InChild([&] {
    if (MountSmall(directory_.path(), "size=1m") != 0) return kSkipped;
    return GrowOn(path_, directory_.path());
  });
  if (code == kSkipped) GTEST_SKIP() << "cannot mount a small file system";
  EXPECT_EQ(code, 0);
}

// Whoever may write to the runtime directory can fill it: an error, no SIGBUS.
TEST_F(FileStoreTest, ChangeWithoutMemory) {
  const int code = InChild([&] {
    if (MountSmall(runtime_.path(), "size=1m") != 0) return kSkipped;
    return GrowOn(path_, runtime_.path());
  });
  if (code == kSkipped) GTEST_SKIP() << "cannot mount a small file system";
  EXPECT_EQ(code, 0);
}

TEST_F(FileStoreTest, OpenWithoutMemory) {
  MakeStoreReservedByA();
  const int code = InChild([&] {
    if (MountSmall(runtime_.path(), "size=64k") != 0) return kSkipped;
    std::shared_ptr<Store> store;
    const Status status = Store::Open("file:" + path_, Store::OpenMode::kCreate, &store);
    if (status.code() != Code::kIo) return 1;
    return runtime_.Names().empty() ? 0 : 2;
  });
  if (code == kSkipped) GTEST_SKIP() << "cannot mount a small file system";
  EXPECT_EQ(code, 0);
}

}  // namespace
}  // namespace scsi_pr
