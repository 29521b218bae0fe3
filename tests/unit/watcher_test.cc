// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a watcher tells, and what another process can make it do by writing garbage
// into the gate or by ringing for ever (docs/threat-model.md).
#include "store/watcher.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <functional>
#include <memory>
#include <random>

#include "gate/gate.h"

namespace scsi_pr {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

class Counter : public NexusListener {
 public:
  void AbortTasks() override { aborts++; }
  void Fenced() override { calls++; }
  void Preempted() override { calls++; }
  void Changed(uint64_t version, uint32_t, uint64_t count) override {
    calls++;
    last_version = version;
    changes += count;
  }
  void StoreFailed(const Status&) override {}

  std::atomic<int> aborts{0};
  std::atomic<int> calls{0};  // others
  std::atomic<uint64_t> last_version{0};
  std::atomic<uint64_t> changes{0};
};

// A gate that another process shares.
class SharedGate {
 public:
  SharedGate() {
    void* memory =
        mmap(nullptr, sizeof(Gate), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) abort();
    gate_ = new (memory) Gate;
  }
  ~SharedGate() { munmap(gate_, sizeof(Gate)); }
  Gate& operator*() { return *gate_; }
  Gate* operator->() { return gate_; }

 private:
  Gate* gate_;
};

// Another process, which does one thing for ever. Started before any thread.
class Neighbour {
 public:
  explicit Neighbour(const std::function<void()>& action) : pid_(fork()) {
    if (pid_ != 0) return;
    alarm(60);  // whatever becomes of its parent
    for (;;) action();
  }
  ~Neighbour() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

 private:
  const pid_t pid_;
};

std::chrono::microseconds ProcessorTime() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

// A change whose bell the watcher's thread has not heard when the nexus leaves.
TEST(WatcherTest, WhoLeavesHasHeardOfEveryChange) {
  const auto gate = std::make_unique<Gate>();
  Counter listener;
  Watcher watcher(*gate, [] {});
  watcher.Add(3, &listener);
  gate->published.store(gate->published.load() + 2);
  watcher.Remove(3);
  EXPECT_EQ(listener.last_version, gate->published.load());
  EXPECT_EQ(listener.changes, 2u);
}

// Every preemption, also when many are told at once, and to who leaves.
TEST(WatcherTest, ManyPreemptions) {
  const auto gate = std::make_unique<Gate>();
  Counter listener;
  Watcher watcher(*gate, [] {});
  watcher.Add(3, &listener);
  uint64_t version = 0;
  const auto preempt = [&](int times) {
    for (int i = 0; i < times; i++) {
      gate->slots[3].Tell(++version, {sense::kRegistrationsPreempted});
    }
  };
  preempt(100);
  gate->doorbell.Ring();
  while (listener.calls < 100) std::this_thread::sleep_for(1ms);
  preempt(100);
  watcher.Remove(3);
  EXPECT_EQ(listener.calls, 200);
}

// Whatever the numbers say, once or a few times; and on it goes.
TEST(WatcherTest, WildCountsAreOfNoConsequence) {
  const auto gate = std::make_unique<Gate>();
  Counter listener;
  Watcher watcher(*gate, [] {});
  watcher.Add(3, &listener);
  for (const uint64_t version : {~uint64_t{0}, uint64_t{1}, uint64_t{1} << 62}) {
    gate->published.store(version);
    gate->doorbell.Ring();
    while (listener.last_version != version) std::this_thread::sleep_for(1ms);
  }
  EXPECT_LE(listener.changes, 3 * (uint64_t{1} << 32));
  watcher.Remove(3);
  EXPECT_EQ(listener.calls, 3);
}

// A process that scribbles over all of the gate, while this one uses it: nothing
// crashes or hangs, and the listeners are called as often as Pace allows.
TEST(WatcherTest, ScribblingNeighbour) {
  SharedGate gate;
  const Neighbour neighbour([&gate, random = std::mt19937_64(1)]() mutable {
    auto* words = reinterpret_cast<volatile uint64_t*>(&*gate);
    for (size_t i = 0; i < sizeof(Gate) / sizeof *words; i++) words[i] = random();
    gate->doorbell.Ring();
  });
  constexpr size_t kWatched = 4;
  Counter listeners[kWatched];
  std::atomic<int> repairs{0};
  Watcher watcher(*gate, [&repairs] { repairs++; });
  for (size_t i = 0; i < kWatched; i++) watcher.Add(i, &listeners[i]);
  const auto start = Clock::now();
  std::string error;
  const auto initiator = TransportId::FromText("naa.5000000000000001", &error);
  uint64_t rounds = 0;
  for (; Clock::now() - start < 1s; rounds++) {
    GateSlot& slot = gate->slots[rounds % Gate::kSlots];
    slot.attached_nexus();
    slot.owner();
    slot.unit_attentions().List();
    slot.unit_attentions().Take();
    slot.Tell(rounds, {sense::kRegistrationsPreempted});
    slot.SetAccess(kFullAccess);
    const auto epoch = slot.Enter(AccessClass::kWrite, slot.admission().tenure());
    slot.BeginDrain(kFullAccess);
    if (epoch) slot.IsAwaited(*epoch);
    if (epoch) slot.Leave(*epoch);
    slot.EndFencing(true);
    slot.EndTenure();
    slot.BeginTenure(1);
    slot.Attach(*gate, {*initiator, 1}, 1, "test", kFullAccess, rounds);
    if (rounds % 100 == 0) Publish(*gate, rounds, State{}, {{{*initiator, 1}, sense::kNone}});
  }
  for (size_t i = 0; i < kWatched; i++) watcher.Remove(i);
  const auto windows = (Clock::now() - start) / Pace::kWindow + 2;
  EXPECT_GT(rounds, 100u);
  for (const Counter& listener : listeners) {
    EXPECT_LE(listener.calls,
              windows * Pace::kLooks * (Watcher::kMostPreemptions + 2) + Watcher::kMostUntold);
    EXPECT_LE(listener.aborts, windows * Pace::kLooks);
  }
  EXPECT_LE(repairs, (Clock::now() - start) / Watcher::kDeathWatch + 1);
}

// A process that rings and rings, and says that a fencing is under way: this one hardly
// runs, and what it has to do it still hears at once.
TEST(WatcherTest, RingingNeighbour) {
  SharedGate gate;
  const Neighbour neighbour([&gate] {
    gate->fencing.store(1);
    gate->doorbell.Ring();
  });
  Counter listener;
  Watcher watcher(*gate, [] {});
  watcher.Add(0, &listener);
  GateSlot& slot = gate->slots[0];
  slot.SetAccess(kFullAccess);
  const auto start = Clock::now();
  const auto used = ProcessorTime();
  const uint32_t rung = gate->doorbell.count();
  auto quickest = Clock::duration::max();
  // On a busy machine the neighbour may not run for a while.
  const auto goes_on = [&] {
    const auto lasted = Clock::now() - start;
    return lasted < 1s || (lasted < 20s && gate->doorbell.count() - rung < 10000);
  };
  for (int i = 1; goes_on(); i++) {
    std::this_thread::sleep_for(37ms);
    const auto asked = Clock::now();
    slot.BeginDrain(kFullAccess);
    gate->doorbell.Ring();
    while (listener.aborts < i) std::this_thread::sleep_for(500us);
    quickest = std::min(quickest, Clock::now() - asked);
  }
  const auto lasted = Clock::now() - start;
  EXPECT_GE(gate->doorbell.count() - rung, 10000u);
  EXPECT_LT(ProcessorTime() - used, lasted / 20);
  EXPECT_LT(quickest, 2 * Pace::kWindow);
  watcher.Remove(0);
}

}  // namespace
}  // namespace scsi_pr
