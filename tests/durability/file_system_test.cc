// SPDX-License-Identifier: GPL-2.0-or-later
//
// A store on a real file system that stops working: frozen, full, shut down, read-only.
// The holder's I/O goes on, whoever looks is answered at once, a change that must survive
// ends in an error, and when the file system works again so does the store.
//
// Each file system is a small sparse image, mounted where only a process of the test sees
// it, and gone with that.
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "../process/fixture.h"
#include "../unit/disk_record.h"
#include "../unit/in_child.h"
#include "../unit/testing.h"
#include "core/document.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPause = 100ms;

struct FileSystem {
  const char* name;
  off_t bytes;
  const char* make;
};
constexpr FileSystem kFileSystems[] = {
    {"ext4", off_t{32} << 20, "mkfs.ext4 -q -F"},
    {"xfs", off_t{320} << 20, "mkfs.xfs -q -m reflink=1"},
    {"btrfs", off_t{128} << 20, "mkfs.btrfs -q"},
};

bool Runs(const std::string& command) {
  return system(("PATH=$PATH:/usr/sbin:/sbin; " + command + " >/dev/null 2>&1").c_str()) == 0;
}

// In a process of its own, which has no other mounts below `directory`.
class Mounted {
 public:
  Mounted(const FileSystem& kind, const std::string& directory)
      : image_(directory + "/image"), place_(directory + "/mounted") {
    std::filesystem::create_directory(place_);
    WriteFile(image_, "");
    works_ = truncate(image_.c_str(), kind.bytes) == 0 && unshare(CLONE_NEWNS) == 0 &&
             mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
             Runs(std::string(kind.make) + " " + image_) && Mount();
    if (works_) fd_ = open(place_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  ~Mounted() {
    Thaw();
    if (fd_ >= 0) close(fd_);
    if (works_) umount2(place_.c_str(), MNT_DETACH);
  }
  Mounted(const Mounted&) = delete;
  Mounted& operator=(const Mounted&) = delete;

  bool works() const { return works_; }
  std::string operator/(const std::string& name) const { return place_ + "/" + name; }

  // Whatever becomes of the test, it does not last.
  void Freeze() {
    ASSERT_EQ(ioctl(fd_, FIFREEZE, 0), 0);
    watchdog_ = fork();
    if (watchdog_ != 0) return;
    sleep(30);
    ioctl(fd_, FITHAW, 0);
    _exit(0);
  }
  void Thaw() {
    if (watchdog_ <= 0) return;
    EXPECT_EQ(ioctl(fd_, FITHAW, 0), 0);
    kill(watchdog_, SIGKILL);
    waitpid(watchdog_, nullptr, 0);
    watchdog_ = 0;
  }
  // To the last block, without writing any.
  void Fill() {
    const int fd = open((*this / "filler").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t at = 0;
    for (off_t size = off_t{64} << 20; size >= 4096; size /= 2) {
      while (at < off_t{1} << 30 && fallocate(fd, 0, at, size) == 0) at += size;
    }
    fsync(fd);
    close(fd);
  }
  void Empty() {
    std::filesystem::remove(*this / "filler");
    syncfs(fd_);
  }
  // As after an error of the disk: every access fails from now on.
  bool ShutDown() {
    constexpr unsigned long kGoingDown = _IOR('X', 125, uint32_t);
    uint32_t without_a_flush = 2;
    return ioctl(fd_, kGoingDown, &without_a_flush) == 0;
  }
  // The kernel may still be at work on what was closed or removed: XFS removes later.
  bool MakeReadOnly() {
    for (int attempt = 0; attempt < 100; attempt++) {
      if (mount(nullptr, place_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0)
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

 private:
  // Several that look for a free loop device may find the same.
  bool Mount() const {
    for (int attempt = 0; attempt < 10; attempt++) {
      if (Runs("mount -o loop " + image_ + " " + place_)) return true;
    }
    return false;
  }

  const std::string image_;
  const std::string place_;
  bool works_ = false;
  int fd_ = -1;
  pid_t watchdog_ = 0;
};

// A nexus of this process.
class User {
 public:
  User(const std::string& path, const Nexus& nexus) : nexus_(nexus) {
    const Status status = Store::Open("file:" + path, Store::OpenMode::kCreate, &store_);
    EXPECT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(store_->Attach(nexus, "test", Store::AttachMode::kNew, nullptr, &slot_).ok());
  }
  ~User() { store_->Detach(slot_); }
  User(const User&) = delete;
  User& operator=(const User&) = delete;

  Status Send(const PersistentReserveOut& command) { return SendAs(nexus_, command); }
  Status SendAs(const Nexus& nexus, const PersistentReserveOut& command) {
    Outcome outcome;
    const Status status = store_->Update(
        [&](const State& state) { return Apply(state, store_->capabilities(), nexus, command); },
        {}, &outcome);
    EXPECT_TRUE(!status.ok() || outcome.status == ScsiStatus::kGood);
    return status;
  }
  void HoldsReservation() {
    ASSERT_TRUE(Send(testing::Register(0, kKeyA).Aptpl()).ok());
    ASSERT_TRUE(Send(testing::Reserve(kKeyA, kWERO)).ok());
  }
  State Read() {
    std::shared_ptr<const Record> record;
    EXPECT_TRUE(store_->Read(&record).ok());
    return record->state;
  }
  // Whatever it takes for granted: to write, to look, to ask for the state.
  void Everyday() {
    const auto epoch = slot_->Enter(AccessClass::kWrite);
    ASSERT_TRUE(epoch);
    slot_->Leave(*epoch);
    Snapshot snapshot;
    ASSERT_TRUE(store_->Look(&snapshot).ok());
    Read();
  }

 private:
  const Nexus nexus_;
  std::shared_ptr<Store> store_;
  GateSlot* slot_ = nullptr;
};

// A user's everyday life beside the test, and its longest pause.
class Watched {
 public:
  explicit Watched(User& user) : thread_([this, &user] { Run(user); }) {}
  std::chrono::milliseconds LongestPause() {
    ended_ = true;
    thread_.join();
    return longest_;
  }

 private:
  void Run(User& user) {
    // A busy machine is no pause of the store's.
    const sched_param first{1};
    sched_setscheduler(0, SCHED_FIFO, &first);
    while (!ended_) {
      const auto start = Clock::now();
      user.Everyday();
      const auto pause =
          std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
      longest_ = std::max(longest_, pause);
      std::this_thread::sleep_for(5ms);
    }
  }

  std::atomic<bool> ended_{false};
  std::chrono::milliseconds longest_{0};
  std::thread thread_;
};

// What the next one finds who opens it when nobody uses it.
State Found(const std::string& path) {
  Child child("file:" + path, 9);
  EXPECT_EQ(child.opened(), "ok");
  State found;
  const std::string text = child.Ask("state");
  EXPECT_TRUE(DecodeDocument(text, &found).ok()) << text;
  return AfterPowerOn(found);
}

using Body = void (*)(Mounted&);

// Everywhere at once: most of them wait.
void OnEach(Body body, const std::vector<std::string>& but_not = {}) {
  struct Started {
    const FileSystem* kind;
    std::unique_ptr<TemporaryDirectory> directory;
    pid_t child;
  };
  const RuntimeDirectoryOfTest runtime;
  std::vector<Started> all;
  for (const FileSystem& kind : kFileSystems) {
    if (std::ranges::find(but_not, kind.name) != but_not.end()) continue;
    auto directory = std::make_unique<TemporaryDirectory>();
    const pid_t child = StartChild([&] {
      Mounted mounted(kind, directory->path());
      if (!mounted.works()) return kSkipped;
      SCOPED_TRACE(kind.name);
      body(mounted);
      return 0;
    });
    all.push_back({&kind, std::move(directory), child});
  }
  std::string skipped;
  for (const Started& each : all) {
    const int code = WaitForChild(each.child);
    if (code == kSkipped) {
      skipped += std::string(" ") + each.kind->name;
    } else {
      EXPECT_EQ(code, 0) << each.kind->name << ", see above";
    }
  }
  if (!skipped.empty()) GTEST_SKIP() << "this machine cannot make or mount:" << skipped;
}

void Frozen(Mounted& mounted) {
  User a(mounted / "lu.pr", A());
  a.HoldsReservation();
  Child b("file:" + (mounted / "lu.pr"), 2);
  ASSERT_EQ(b.Ask("attach"), "ok");
  ASSERT_EQ(b.Ask(testing::Register(2, true)), kGood);
  User without_aptpl(mounted / "other.pr", A());
  const State before = a.Read();
  mounted.Freeze();
  Watched watched(a);
  const auto start = Clock::now();
  b.Write(testing::Register(3, true));
  EXPECT_TRUE(without_aptpl.Send(testing::Register(0, kKeyA)).ok());
  EXPECT_TRUE(without_aptpl.Send(testing::Reserve(kKeyA, kEA)).ok());
  EXPECT_LT(Clock::now() - start, 1s) << "nothing of that is for the disk";
  const std::string answer = b.ReadLine();
  const auto waited = Clock::now() - start;
  EXPECT_TRUE(answer.starts_with("error 6 ")) << answer;
  EXPECT_LT(waited, 2 * Store::kPatience);
  EXPECT_EQ(a.Read(), before);
  EXPECT_EQ(b.Ask("admits"), "yes") << "as a registrant, still";
  EXPECT_LT(watched.LongestPause(), kPause);
  mounted.Thaw();
  EXPECT_EQ(a.Read(), before) << "the refused change has not come to life";
  EXPECT_EQ(b.Ask(testing::Register(4, true)), kGood);
  EXPECT_TRUE(a.Send(testing::RegisterIgnore(kKeyC).Aptpl()).ok());
}

// The two changes, the refused one and the one after it, and everybody is gone.
void FrozenThenKilled(Mounted& mounted) {
  const std::string path = mounted / "lu.pr";
  Child a("file:" + path, 1);
  Child b("file:" + path, 2);
  for (Child* each : {&a, &b}) {
    ASSERT_EQ(each->Ask("attach"), "ok");
    ASSERT_EQ(each->Ask(testing::Register(7, true)), kGood);
  }
  State before;
  ASSERT_TRUE(DecodeDocument(a.Ask("state"), &before).ok());
  mounted.Freeze();
  const std::string answer = b.Ask(testing::Register(3, true));
  EXPECT_TRUE(answer.starts_with("error 6 ")) << answer;
  mounted.Thaw();
  for (Child* each : {&b, &a}) each->Signal(SIGKILL);
  for (Child* each : {&b, &a}) each->Wait();
  EXPECT_EQ(Found(path), AfterPowerOn(before));
}

// Registers until a record finds no room.
void Full(Mounted& mounted) {
  std::filesystem::create_directory(mounted / "stores");
  const std::string path = mounted / "stores/lu.pr";
  User a(path, A());
  a.HoldsReservation();
  // Where it can, it shares the blocks of the original, which then must be copied.
  ASSERT_TRUE(Runs("cp -a " + (mounted / "stores") + " " + (mounted / "copy")));
  mounted.Fill();
  Watched watched(a);
  uint64_t number = 1;
  const auto registers = [&] {
    return a.SendAs(NumberedNexus(number), testing::RegisterIgnore(number).Aptpl());
  };
  Status status = registers();
  while (status.ok() && number < 400) {
    number++;
    status = registers();
  }
  EXPECT_EQ(status.code(), Status::Code::kIo) << number;
  EXPECT_FALSE(status.hint().empty());
  EXPECT_EQ(a.Read().registrations.size(), number);
  mounted.Empty();
  EXPECT_TRUE(registers().ok());
  EXPECT_EQ(a.Read().registrations.size(), number + 1);
  EXPECT_LT(watched.LongestPause(), kPause);
  const DiskParts parts = DecodeParts(ReadFile(path));
  EXPECT_EQ(parts.part[NewestPlace(parts)].content.record.state, a.Read());
}

// There is no way back, but for the I/O of those who run.
void ShutDown(Mounted& mounted) {
  User a(mounted / "lu.pr", A());
  a.HoldsReservation();
  const State before = a.Read();
  ASSERT_TRUE(mounted.ShutDown());
  Watched watched(a);
  for (int i = 0; i < 3; i++) {
    const Status status = a.Send(testing::RegisterIgnore(kKeyB).Aptpl());
    EXPECT_EQ(status.code(), Status::Code::kIo) << status.message();
    EXPECT_EQ(a.Read(), before);
  }
  EXPECT_LT(watched.LongestPause(), kPause);
}

// The kernel makes none so that a file is open to be written on: a start is what meets it.
void ReadOnly(Mounted& mounted) {
  const std::string path = mounted / "lu.pr";
  {
    User a(path, A());
    a.HoldsReservation();
  }
  ASSERT_TRUE(mounted.MakeReadOnly());
  std::shared_ptr<Store> store;
  const Status status = Store::Open("file:" + path, Store::OpenMode::kCreate, &store);
  EXPECT_EQ(status.code(), Status::Code::kIo);
  EXPECT_NE(status.message().find(path), std::string::npos) << status.message();
  EXPECT_FALSE(status.hint().empty());
}

TEST(FileSystemTest, Frozen) { OnEach(Frozen); }
TEST(FileSystemTest, FrozenThenKilled) { OnEach(FrozenThenKilled); }
TEST(FileSystemTest, Full) { OnEach(Full); }
TEST(FileSystemTest, ShutDown) { OnEach(ShutDown, {"btrfs"}); }
TEST(FileSystemTest, ReadOnly) { OnEach(ReadOnly); }

}  // namespace
}  // namespace scsi_pr
