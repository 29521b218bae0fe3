// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator or a disk can do to a store, at the start, at run time and
// in the middle of a commit: PERSISTENT RESERVE OUT ends in CHECK CONDITION, state
// and gate stay as they were, and when the cause is gone the next command works.
// Each case runs in a process of its own, with a small file system of its own.
#include <sched.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>

#include "../unit/execute.h"
#include "../unit/temporary_directory.h"
#include "../unit/testing.h"
#include "faults.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr int kSkipped = 77;
constexpr uid_t kNobody = 65534;

// The store's file system, and what happens to it.
struct Scene {
  std::string directory;
  std::string path = directory + "/lu.pr";
  FaultyDisk disk = {};
};

void EachDocument(const Scene& scene, const std::string& value) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(scene.path.c_str(), &db), SQLITE_OK);
  for (const char* table : {"record_even", "record_odd"}) {
    const std::string sql = std::string("UPDATE ") + table + " SET document = " + value;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
  }
  sqlite3_close(db);
}

struct Cause {
  const char* name;
  std::function<void(Scene&)> begin;
  std::function<void(Scene&)> end;
  // A process that has the store open already works on.
  bool only_at_start = false;
  // SQL waits for a commit, and cannot come in its middle.
  bool in_a_commit = true;
};

void PrintTo(const Cause& cause, std::ostream* out) { *out << cause.name; }

void Fail(Scene& scene, int error) { scene.disk.Arm({"", error, true}, 1); }
void Heal(Scene& scene) { scene.disk.Disarm(); }

std::vector<Cause> Causes() {
  const auto put_back = [](Scene& scene) { fs::rename(scene.path + ".aside", scene.path); };
  return {
      {"Eio", [](Scene& scene) { Fail(scene, EIO); }, Heal},
      {"ReadOnly", [](Scene& scene) { Fail(scene, EROFS); }, Heal},
      {"Full", [](Scene& scene) { FillFileSystem(scene.directory + "/filler"); },
       [](Scene& scene) { fs::remove(scene.directory + "/filler"); }},
      {"Removed", [](Scene& scene) { fs::rename(scene.path, scene.path + ".aside"); }, put_back},
      {"Replaced",
       [](Scene& scene) {
         fs::rename(scene.path, scene.path + ".aside");
         WriteFile(scene.path, "another");
       },
       put_back},
      {"Corrupted",
       [](Scene& scene) { EachDocument(scene, "'-' || document"); },
       [](Scene& scene) { EachDocument(scene, "substr(document, 2)"); }, false, false},
      {"DirectoryForbidden", [](Scene& scene) { chmod(scene.directory.c_str(), 0); },
       [](Scene& scene) { chmod(scene.directory.c_str(), 0755); }},
      {"FileForbidden", [](Scene& scene) { chmod(scene.path.c_str(), 0); },
       [](Scene& scene) { chmod(scene.path.c_str(), 0600); }, true},
  };
}

// The device servers of A, who holds the reservation, and of B.
class Unit {
 public:
  explicit Unit(Scene& scene) : scene_(scene) {}

  Status Open() {
    std::shared_ptr<Store> store;
    if (Status s = Store::Open("file:" + scene_.path, Store::OpenMode::kCreate, &store); !s.ok()) {
      return s;
    }
    if (Status s = DeviceServer::Open(store, A(), "a", {}, &a_); !s.ok()) return s;
    return DeviceServer::Open(store, B(), "b", {}, &b_);
  }
  void Reserve() {
    ASSERT_EQ(Send(*a_, RegisterIgnore(kKeyA).Aptpl()).status, ScsiStatus::kGood);
    ASSERT_EQ(Send(*a_, testing::Reserve(kKeyA, kWE)).status, ScsiStatus::kGood);
  }
  // A change by A; another one each time.
  Response Change() { return Send(*a_, RegisterIgnore(kKeyA + ++changes_).Aptpl()); }

  void ExpectRefused(const Response& response) {
    EXPECT_EQ(response.status, ScsiStatus::kCheckCondition);
    EXPECT_EQ(response.sense, sense::kInternalTargetFailure);
    changes_--;
  }
  // I/O of the holder goes on, the other one stays out, whatever the store does.
  void ExpectGate() {
    const auto epoch = a_->Enter(AccessClass::kWrite);
    ASSERT_TRUE(epoch);
    a_->Leave(*epoch);
    EXPECT_FALSE(b_->Enter(AccessClass::kWrite));
    EXPECT_TRUE(b_->Admits(AccessClass::kRead));
    EXPECT_EQ(b_->TakeUnitAttention(), std::nullopt);
  }
  void ExpectState() {
    const Response keys = Execute(*b_, InCdb(InAction::kReadKeys, 100));
    ASSERT_EQ(keys.status, ScsiStatus::kGood);
    ASSERT_EQ(keys.data.size(), 16u);
    EXPECT_EQ(keys.data[15], kKeyA + changes_);
    const Response held = Execute(*b_, InCdb(InAction::kReadReservation, 100));
    ASSERT_EQ(held.data.size(), 24u);
    EXPECT_EQ(held.data[15], kKeyA + changes_);
  }

 private:
  static Response Send(DeviceServer& server, const Command& command) {
    return Execute(server, OutCdb(command), OutData(command));
  }

  Scene& scene_;
  std::unique_ptr<DeviceServer> a_;
  std::unique_ptr<DeviceServer> b_;
  uint8_t changes_ = 0;
};

void AtStart(Scene& scene, const Cause& cause) {
  {
    Unit unit(scene);
    ASSERT_TRUE(unit.Open().ok());
    unit.Reserve();
  }
  // A gate of this boot would not have to be written.
  fs::remove(scene.path + "-gate");
  cause.begin(scene);
  {
    Unit unit(scene);
    // A store that was removed is not told from one that never was.
    if (std::string(cause.name) != "Removed") {
      const Status status = unit.Open();
      EXPECT_FALSE(status.ok());
      EXPECT_NE(status.message().find(scene.directory), std::string::npos) << status.message();
      EXPECT_FALSE(status.hint().empty()) << status.message();
    }
  }
  cause.end(scene);
  Unit unit(scene);
  ASSERT_TRUE(unit.Open().ok());
  unit.ExpectState();
  unit.ExpectGate();
}

void AtRunTime(Scene& scene, const Cause& cause) {
  Unit unit(scene);
  ASSERT_TRUE(unit.Open().ok());
  unit.Reserve();
  for (int twice = 0; twice < 2; twice++) {
    cause.begin(scene);
    Response response = unit.Change();
    if (cause.only_at_start) {
      EXPECT_EQ(response.status, ScsiStatus::kGood);
      cause.end(scene);
      unit.ExpectState();
      continue;
    }
    // A log that was written before may have room.
    for (int i = 0; i < 8 && response.status == ScsiStatus::kGood; i++) response = unit.Change();
    unit.ExpectRefused(response);
    unit.ExpectGate();
    cause.end(scene);
    unit.ExpectState();
    EXPECT_EQ(unit.Change().status, ScsiStatus::kGood);
    unit.ExpectState();
    unit.ExpectGate();
  }
}

// Begins before a call.
struct Trigger : FileWatcher {
  Scene& scene;
  const Cause& cause;
  int left = 0;
  bool begun = false;

  Trigger(Scene& s, const Cause& c) : scene(s), cause(c) {}
  int Before(const FileCall& call) override {
    if (left > 0 && --left == 0) {
      begun = true;
      cause.begin(scene);
    }
    return scene.disk.Before(call);
  }
};

void InACommit(Scene& scene, const Cause& cause) {
  Trigger trigger(scene, cause);
  const Watching watching(scene.path, &trigger);
  Unit unit(scene);
  ASSERT_TRUE(unit.Open().ok());
  unit.Reserve();
  int refused = 0;
  for (int call = 1; call < 1000; call++) {
    SCOPED_TRACE("call " + std::to_string(call));
    trigger.left = call;
    trigger.begun = false;
    const Response response = unit.Change();
    trigger.left = 0;
    // Removed too late to matter, say.
    if (response.status != ScsiStatus::kGood) {
      refused++;
      unit.ExpectRefused(response);
    }
    unit.ExpectGate();
    if (!trigger.begun || ::testing::Test::HasFailure()) break;
    cause.end(scene);
    unit.ExpectState();
    unit.ExpectGate();
  }
  EXPECT_GT(refused, 0);
}

using Body = void (*)(Scene&, const Cause&);

// A mount of its own, and no power over permissions; kSkipped where that is
// forbidden.
int Prepare(const std::string& directory) {
  if (unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=1m,mode=0777") != 0 ||
      chown(directory.c_str(), kNobody, kNobody) != 0 || chmod(directory.c_str(), 0755) != 0 ||
      setgid(kNobody) != 0 || setuid(kNobody) != 0) {
    return kSkipped;
  }
  return 0;
}

int RunInChild(const std::string& directory, Body body, const Cause& cause) {
  std::cout.flush();
  fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    if (const int code = Prepare(directory); code != 0) _exit(code);
    Scene scene{directory};
    if (body == InACommit) {
      body(scene, cause);
    } else {
      const Watching watching(scene.path, &scene.disk);
      body(scene, cause);
    }
    fflush(stdout);
    _exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class FailingStoreTest : public ::testing::TestWithParam<Cause> {
 protected:
  void Run(Body body) {
    const TemporaryDirectory directory;
    const int code = RunInChild(directory.path(), body, GetParam());
    if (code == kSkipped) GTEST_SKIP() << "cannot mount a file system and become another user";
    EXPECT_EQ(code, 0) << "see above";
  }
};

INSTANTIATE_TEST_SUITE_P(Cause, FailingStoreTest, ::testing::ValuesIn(Causes()),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(FailingStoreTest, AtStart) { Run(AtStart); }

TEST_P(FailingStoreTest, AtRunTime) { Run(AtRunTime); }

TEST_P(FailingStoreTest, InACommit) {
  if (GetParam().only_at_start || !GetParam().in_a_commit) return;
  Run(InACommit);
}

}  // namespace
}  // namespace scsi_pr
