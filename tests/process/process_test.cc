// SPDX-License-Identifier: GPL-2.0-or-later
//
// The file store under several processes, and under kill -9.
#include <algorithm>
#include <chrono>
#include <random>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "fixture.h"

namespace scsi_pr {
namespace {

using testing::Child;
using testing::kGood;
using testing::Preempt;
using testing::ProcessTest;
using testing::Register;
using testing::Reserve;

// What one process changes is in force in the other for the very next command
// after the status, every time.
TEST_F(ProcessTest, EffectiveWithTheStatus) {
  const auto a = Attached(1);
  const auto b = Attached(2);
  for (int i = 0; i < 50; i++) {
    ASSERT_EQ(b->Ask("admits"), "yes");
    ASSERT_EQ(a->Ask(Register(1)), kGood);
    ASSERT_EQ(a->Ask(Reserve(1)), kGood);
    ASSERT_EQ(b->Ask("admits"), "no");
    ASSERT_EQ(a->Ask("admits"), "yes");
    ASSERT_EQ(b->Ask(Register(2)), kGood);
    ASSERT_EQ(b->Ask("admits"), "yes");
    ASSERT_EQ(b->Ask(Preempt(2, 1)), kGood);
    ASSERT_EQ(a->Ask("admits"), "no");
    ASSERT_EQ(a->Ask("attention"), "42 5");
    ASSERT_EQ(a->Ask("attention"), "none");
    ASSERT_EQ(b->Ask("attention"), "none");
    ASSERT_EQ(b->Ask(Register(0)), kGood);
  }
}

TEST_F(ProcessTest, SameNexusNamesTheOtherProcess) {
  const auto one = Attached(1);
  const auto other = Start(1);
  const std::string answer = other->Ask("attach");
  EXPECT_TRUE(answer.starts_with("error 4 ")) << answer;
  EXPECT_NE(answer.find("process " + std::to_string(one->pid())), std::string::npos) << answer;
  EXPECT_NE(answer.find("helper"), std::string::npos) << answer;
  EXPECT_EQ(one->Ask("detach"), "ok");
  EXPECT_EQ(other->Ask("attach"), "ok");
}

// kill -9 frees the nexus, and nothing else.
TEST_F(ProcessTest, KilledProcessFreesItsNexusOnly) {
  const auto a = Attached(1);
  const auto b = Attached(2);
  ASSERT_EQ(a->Ask(Register(1)), kGood);
  ASSERT_EQ(a->Ask(Reserve(1)), kGood);
  a->Kill();
  EXPECT_EQ(b->Ask("admits"), "no");
  EXPECT_EQ(b->Ask("keys"), "1");
  const auto again = Attached(1);
  EXPECT_EQ(again->Ask("admits"), "yes");
  EXPECT_EQ(again->Ask("keys"), "1");
}

// 5.6.3: after the last one was killed the next one powers the unit on.
TEST_F(ProcessTest, KilledLastProcessIsAPowerLoss) {
  for (const bool aptpl : {false, true}) {
    auto a = Attached(1);
    ASSERT_EQ(a->Ask(Register(1, aptpl)), kGood);
    ASSERT_EQ(a->Ask(Reserve(1)), kGood);
    a->Kill();
    const auto b = Attached(2);
    EXPECT_EQ(b->Ask("keys"), aptpl ? "1" : "-");
    EXPECT_EQ(b->Ask("admits"), aptpl ? "no" : "yes");
  }
}

// SPC-2 5.5.1: a reservation made by RESERVE is in force in every process, and
// ends with the process of its holder. Whatever the next one does finds that.
TEST_F(ProcessTest, KilledProcessLosesItsLegacyReservation) {
  const auto b = Attached(2);
  for (const char* next : {"keys", "reserve", "attach"}) {
    const auto a = Attached(1);
    ASSERT_EQ(a->Ask("reserve"), kGood);
    ASSERT_EQ(b->Ask("reserve"), "status 24");
    ASSERT_EQ(b->Ask("admits"), "no");
    a->Kill();
    EXPECT_EQ(b->Ask("admits"), "no") << "nobody has looked yet";
    std::unique_ptr<Child> again;
    if (next == std::string("attach")) {
      again = Attached(1);
    } else {
      EXPECT_EQ(b->Ask(next), next == std::string("keys") ? "-" : kGood);
    }
    EXPECT_EQ(b->Ask("admits"), "yes") << next;
    EXPECT_EQ(b->Ask("attention"), "none");
    ASSERT_EQ(b->Ask("release"), kGood);
  }
}

// A process that is only stopped lives.
TEST_F(ProcessTest, StoppedProcessKeepsItsLegacyReservation) {
  const auto a = Attached(1);
  const auto b = Attached(2);
  ASSERT_EQ(a->Ask("reserve"), kGood);
  ASSERT_EQ(kill(a->pid(), SIGSTOP), 0);
  EXPECT_EQ(b->Ask("reserve"), "status 24");
  EXPECT_EQ(b->Ask("admits"), "no");
  ASSERT_EQ(kill(a->pid(), SIGCONT), 0);
  EXPECT_EQ(a->Ask("release"), kGood);
  EXPECT_EQ(b->Ask("admits"), "yes");
}

// Killed anywhere in the middle of its updates, again and again, it leaves a
// store that the next one repairs: sound, with one registration, in force.
TEST_F(ProcessTest, KilledInTheMiddleOfUpdates) {
  const auto witness = Attached(2);
  ASSERT_EQ(witness->Ask(Register(7)), kGood);
  std::mt19937 random(20240229);
  for (int i = 0; i < 40; i++) {
    const auto a = Attached(1);
    ASSERT_EQ(a->Ask("hammer " + std::to_string(1000 + i * 100000)), "ok");
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 30000));
    a->Kill();
    EXPECT_EQ(a->ReadLine(), "") << "no update failed";
    const std::string keys = witness->Ask("keys");
    ASSERT_TRUE(keys.starts_with("7")) << keys;
    ASSERT_LE(std::count(keys.begin(), keys.end(), ','), 1) << keys;
    ASSERT_EQ(witness->Ask(Reserve(7)), kGood);
    const auto later = Attached(1);
    ASSERT_EQ(later->Ask(Register(0)), kGood);
    ASSERT_EQ(later->Ask("admits"), "no");
    ASSERT_EQ(witness->Ask("out 2 7 0 5 0"), kGood);
    ASSERT_EQ(later->Ask("admits"), "yes");
  }
}

// All at once, the creation of the store included: nothing is lost.
TEST_F(ProcessTest, ConcurrentRegistrations) {
  constexpr int kProcesses = 8;
  constexpr int kRounds = 20;
  std::vector<std::unique_ptr<Child>> children(kProcesses);
  std::vector<std::thread> threads;
  for (int i = 0; i < kProcesses; i++) {
    threads.emplace_back([&, i] { children[i] = std::make_unique<Child>(uri_, i); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& child : children) {
    ASSERT_EQ(child->opened(), "ok");
    ASSERT_EQ(child->Ask("attach"), "ok");
  }
  for (int round = 1; round <= kRounds; round++) {
    for (int i = 0; i < kProcesses; i++) {
      children[i]->Write(Register(static_cast<uint64_t>(round * 100 + i)));
    }
    for (const auto& child : children) ASSERT_EQ(child->ReadLine(), kGood);
    std::set<std::string> expected;
    for (int i = 0; i < kProcesses; i++) expected.insert(std::to_string(round * 100 + i));
    std::istringstream keys(children[0]->Ask("keys"));
    std::set<std::string> found;
    for (std::string key; std::getline(keys, key, ',');) found.insert(key);
    ASSERT_EQ(found, expected);
  }
}

// Another memory for the same store would admit what this one forbids.
TEST_F(ProcessTest, AnotherRuntimeDirectoryIsRefused) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  {
    const testing::RuntimeDirectoryOfTest another;
    const Child b(uri_, 2);
    EXPECT_TRUE(b.opened().starts_with("error 4 ")) << b.opened();
    EXPECT_NE(b.opened().find("runtime directory"), std::string::npos) << b.opened();
    EXPECT_NE(b.opened().find(path_), std::string::npos) << b.opened();
  }
  EXPECT_EQ(Attached(2)->Ask("keys"), "1");
}

// Also if the memory of those who run was removed (tmpfiles, an administrator).
TEST_F(ProcessTest, RemovedMemoryIsRefused) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  ASSERT_EQ(a->Ask(Reserve(1)), kGood);
  runtime_.Clear();
  {
    const Child b(uri_, 2);
    EXPECT_TRUE(b.opened().starts_with("error 4 ")) << b.opened();
  }
  EXPECT_EQ(a->Ask("keys"), "1");
  EXPECT_EQ(a->Ask("detach"), "ok");
  a->Ask("quit");
  a->Wait();
  const auto c = Attached(2);
  EXPECT_EQ(c->Ask("keys"), "1");
  EXPECT_EQ(c->Ask("admits"), "no");
}

// The same for a process that has opened the store but not attached yet.
TEST_F(ProcessTest, RemovedMemoryIsRefusedBeforeAttach) {
  const auto a = Start(1);
  runtime_.Clear();
  Child b(uri_, 2);
  EXPECT_TRUE(b.opened().starts_with("error 4 ")) << b.opened();
  EXPECT_EQ(a->Ask("attach"), "ok");
}

// As tar and rsync restore: the file under the name is another one.
TEST_F(ProcessTest, ReplacedStoreIsRefused) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  const std::string contents = testing::ReadFile(path_);
  std::filesystem::rename(path_, directory_ / "aside");
  testing::WriteFile(path_, contents);
  {
    const Child b(uri_, 2);
    EXPECT_TRUE(b.opened().starts_with("error 4 ")) << b.opened();
  }
  EXPECT_TRUE(a->Ask(Reserve(1)).starts_with("error "));
  std::filesystem::rename(directory_ / "aside", path_);
  const auto b = Attached(2);
  EXPECT_EQ(b->Ask("keys"), "1");
  EXPECT_EQ(a->Ask(Reserve(1)), kGood);
  EXPECT_EQ(b->Ask("admits"), "no");
}

// As cp restores: who starts is refused until those who run have mended it.
TEST_F(ProcessTest, OverwrittenStoreIsRefused) {
  const auto a = Attached(1);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  const std::string old = testing::ReadFile(path_);
  ASSERT_EQ(a->Ask(Reserve(1)), kGood);
  testing::WriteFile(path_, old);
  {
    const Child b(uri_, 2);
    EXPECT_TRUE(b.opened().starts_with("error 2 ")) << b.opened();
  }
  EXPECT_EQ(a->Ask("admits"), "yes");
  EXPECT_TRUE(a->Ask(Register(3, true)).starts_with("error 2 "));
  EXPECT_EQ(a->Ask(Register(3, true)), kGood);
  EXPECT_EQ(Attached(2)->Ask("admits"), "no");
}

// Each process follows when another one has made the file anew.
TEST_F(ProcessTest, MadeAnewForAll) {
  const auto a = Attached(1);
  const auto b = Attached(2);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  for (uint64_t key = 10; key < 13; key++) {
    std::filesystem::remove(path_);
    EXPECT_TRUE(a->Ask(Register(key, true)).starts_with("error 6 "));
    EXPECT_EQ(b->Ask(Register(key + 100, true)), kGood);
    EXPECT_EQ(a->Ask(Register(key, true)), kGood);
    const auto c = Attached(3);
    EXPECT_EQ(c->Ask("keys"), std::to_string(key) + "," + std::to_string(key + 100));
  }
}

// The disk has a change that never came in force. Those who went on saw that, and so does
// who comes when all are gone.
TEST_F(ProcessTest, ChangeOfADeadProcessIsDisowned) {
  const auto a = Attached(1);
  const auto b = Attached(2);
  ASSERT_EQ(a->Ask(Register(1, true)), kGood);
  EXPECT_EQ(a->Ask("crash persisted 1 9"), "ok");
  a->Write(Register(2, true));
  a->Wait();
  EXPECT_EQ(b->Ask("keys"), "1");
  b->Kill();
  EXPECT_EQ(Attached(3)->Ask("keys"), "1");
}

// It may have been the newest: what the other one says is not believed.
TEST_F(ProcessTest, DamagedRecordIsRefused) {
  {
    const auto a = Attached(1);
    ASSERT_EQ(a->Ask(Register(1, true)), kGood);
    ASSERT_EQ(a->Ask(Register(2, true)), kGood);
  }
  const std::string sound = testing::ReadFile(path_);
  for (const size_t first_sector : {0, 4096}) {
    std::string damaged = sound;
    damaged[first_sector + 100] = static_cast<char>(damaged[first_sector + 100] ^ 1);
    testing::WriteFile(path_, damaged);
    const Child b(uri_, 2);
    EXPECT_TRUE(b.opened().starts_with("error 2 ")) << b.opened();
  }
  testing::WriteFile(path_, sound);
  EXPECT_EQ(Attached(2)->Ask("keys"), "2");
}

// A symbolic link is the same store; so is its memory.
TEST_F(ProcessTest, LinkedPath) {
  const auto a = Attached(1);
  std::filesystem::create_symlink(path_, directory_ / "link.pr");
  Child b("file:" + (directory_ / "link.pr"), 2);
  ASSERT_EQ(b.opened(), "ok");
  ASSERT_EQ(b.Ask("attach"), "ok");
  ASSERT_EQ(a->Ask(Register(1)), kGood);
  ASSERT_EQ(a->Ask(Reserve(1)), kGood);
  EXPECT_EQ(b.Ask("admits"), "no");
  EXPECT_EQ(b.Ask("keys"), "1");
}

}  // namespace
}  // namespace scsi_pr
