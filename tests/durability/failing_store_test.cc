// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an administrator or a disk can do to a store, at the start, at run time and
// in the middle of a commit: PERSISTENT RESERVE OUT ends in CHECK CONDITION, state
// and gate stay as they were, and when the cause is gone the next command works.
// Each case runs in a process of its own, with a small file system of its own.
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <iostream>

#include "../unit/execute.h"
#include "../unit/in_child.h"
#include "../unit/temporary_directory.h"
#include "../unit/testing.h"
#include "faults.h"
#include "store/store.h"

namespace scsi_pr {
namespace {

using namespace testing;
namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

// The store's file system, and what happens to it.
struct Scene {
  std::string directory;
  std::string path = directory + "/lu.pr";
  FaultyDisk disk = {};
};

struct Cause {
  const char* name;
  std::function<void(Scene&)> begin;
  std::function<void(Scene&)> end;
  enum class Effect {
    kFails,        // while it lasts
    kOnlyAtStart,  // a process that has the store open already works on
    kMadeAnew,     // it lasts until a change is refused, which makes the file anew
    kHarmless,
  } effect = Effect::kFails;
};

void PrintTo(const Cause& cause, std::ostream* out) { *out << cause.name; }

void Fail(Scene& scene, int error) { scene.disk.Arm({"", error, true}, 1); }
void Heal(Scene& scene) { scene.disk.Disarm(); }
void Leave(Scene&) {}

std::vector<Cause> Causes() {
  using enum Cause::Effect;
  const auto put_back = [](Scene& scene) { fs::rename(scene.path + ".aside", scene.path); };
  const auto garble = [](Scene& scene) {
    std::string contents = ReadFile(scene.path);
    for (size_t at = 100; at < contents.size(); at += 512) contents[at] ^= 1;
    WriteFile(scene.path, contents);
  };
  return {
      {"Eio", [](Scene& scene) { Fail(scene, EIO); }, Heal},
      {"ReadOnly", [](Scene& scene) { Fail(scene, EROFS); }, Heal},
      // Records as large as those before them find their room.
      {"Full", [](Scene& scene) { FillFileSystem(scene.directory + "/filler"); },
       [](Scene& scene) { fs::remove(scene.directory + "/filler"); }, kHarmless},
      {"MovedAway", [](Scene& scene) { fs::rename(scene.path, scene.path + ".aside"); }, put_back},
      {"Replaced",
       [](Scene& scene) {
         fs::rename(scene.path, scene.path + ".aside");
         WriteFile(scene.path, "another");
       },
       put_back},
      {"Removed", [](Scene& scene) { fs::remove(scene.path); }, Leave, kMadeAnew},
      {"Corrupted", garble, Leave, kMadeAnew},
      {"Cut", [](Scene& scene) { fs::resize_file(scene.path, 0); }, Leave, kMadeAnew},
      {"DirectoryForbidden", [](Scene& scene) { chmod(scene.directory.c_str(), 0); },
       [](Scene& scene) { chmod(scene.directory.c_str(), 0755); }, kOnlyAtStart},
      {"FileForbidden", [](Scene& scene) { chmod(scene.path.c_str(), 0); },
       [](Scene& scene) { chmod(scene.path.c_str(), 0600); }, kOnlyAtStart},
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

bool Reachable(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error) || error;
}

void AtStart(Scene& scene, const Cause& cause) {
  {
    Unit unit(scene);
    ASSERT_TRUE(unit.Open().ok());
    unit.Reserve();
  }
  const std::string kept = ReadFile(scene.path);
  cause.begin(scene);
  // A store that was removed is not told from one that never was.
  if (Reachable(scene.path)) {
    Unit unit(scene);
    const Status status = unit.Open();
    EXPECT_EQ(status.ok(), cause.effect == Cause::Effect::kHarmless) << status.message();
    if (!status.ok()) {
      EXPECT_NE(status.message().find(scene.directory), std::string::npos) << status.message();
      EXPECT_FALSE(status.hint().empty()) << status.message();
    }
  }
  cause.end(scene);
  if (cause.effect == Cause::Effect::kMadeAnew) WriteFile(scene.path, kept);
  Unit unit(scene);
  ASSERT_TRUE(unit.Open().ok());
  unit.ExpectState();
  unit.ExpectGate();
}

void AtRunTime(Scene& scene, const Cause& cause) {
  using enum Cause::Effect;
  Unit unit(scene);
  ASSERT_TRUE(unit.Open().ok());
  unit.Reserve();
  for (int twice = 0; twice < 2; twice++) {
    cause.begin(scene);
    unit.ExpectState();
    const Response response = unit.Change();
    if (cause.effect == kOnlyAtStart || cause.effect == kHarmless) {
      EXPECT_EQ(response.status, ScsiStatus::kGood);
    } else {
      unit.ExpectRefused(response);
    }
    if (cause.effect == kFails) unit.ExpectRefused(unit.Change());
    unit.ExpectState();
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
  std::atomic<int> left = 0;
  std::atomic<bool> begun = false;

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
    trigger.begun = false;
    trigger.left = call;
    Response response = unit.Change();
    trigger.left = 0;
    const bool begun = trigger.begun;
    // Removed too late to matter, say.
    if (response.status != ScsiStatus::kGood) {
      refused++;
      unit.ExpectRefused(response);
    }
    unit.ExpectGate();
    if (!begun || ::testing::Test::HasFailure()) break;
    if (cause.effect == Cause::Effect::kFails) {
      refused++;
      unit.ExpectRefused(unit.Change());
    }
    cause.end(scene);
    unit.ExpectState();
    unit.ExpectGate();
    response = unit.Change();
    // This one has found it so.
    if (cause.effect == Cause::Effect::kMadeAnew && response.status != ScsiStatus::kGood) {
      refused++;
      unit.ExpectRefused(response);
      response = unit.Change();
    }
    EXPECT_EQ(response.status, ScsiStatus::kGood);
  }
  EXPECT_GT(refused, 0);
}

using Body = void (*)(Scene&, const Cause&);

// A mount of its own, and no power over permissions; kSkipped where that is
// forbidden.
int Prepare(const std::string& directory, const std::string& runtime) {
  if (chown(runtime.c_str(), kNobody, kNobody) != 0 || unshare(CLONE_NEWNS) != 0 ||
      mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      mount("tmpfs", directory.c_str(), "tmpfs", 0, "size=1m,mode=0777") != 0 ||
      chown(directory.c_str(), kNobody, kNobody) != 0 || chmod(directory.c_str(), 0755) != 0 ||
      setgid(kNobody) != 0 || setuid(kNobody) != 0) {
    return kSkipped;
  }
  return 0;
}

int RunInChild(const std::string& directory, Body body, const Cause& cause) {
  const RuntimeDirectoryOfTest runtime;
  return InChild([&] {
    if (const int code = Prepare(directory, runtime.path()); code != 0) return code;
    Scene scene{directory};
    if (body == InACommit) {
      body(scene, cause);
    } else {
      const Watching watching(scene.path, &scene.disk);
      body(scene, cause);
    }
    return 0;
  });
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
  using enum Cause::Effect;
  if (GetParam().effect == kOnlyAtStart || GetParam().effect == kHarmless) return;
  Run(InACommit);
}

}  // namespace
}  // namespace scsi_pr
