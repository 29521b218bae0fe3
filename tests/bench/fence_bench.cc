// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a fencing costs: PREEMPT AND ABORT on a file store with APTPL on.
//
//   nothing on its way   at most twice one fdatasync(2) of the same disk, after
//                        4 KiB were appended to a file, as a log does
//   128 commands         at most the slowest of them and two milliseconds
//
// Both are ratios or differences within one run.
//
// usage: fence-bench [DIRECTORY]     on whose disk the store is made (/var/tmp)
#include <fcntl.h>
#include <unistd.h>

#include <thread>

#include "bench.h"

namespace {

using namespace bench;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

constexpr int kRounds = 200;
constexpr int kSlowRounds = 20;
constexpr int kInFlight = 128;
constexpr auto kSlowest = 50ms;

class Bench {
 public:
  explicit Bench(const Directory& directory) : store_(OpenStore(directory.uri())) {
    for (int i : {0, 1}) {
      if (!store_->Attach(Number(i), "fence-bench", Store::AttachMode::kNew, nullptr, &slots_[i])
               .ok())
        Die("no slot");
    }
    Send(0, OutAction::kRegisterAndIgnoreExistingKey, 0, 1);
    probe_ = open((directory.path() + "/probe").c_str(), O_RDWR | O_CREAT | O_APPEND, 0600);
    if (probe_ < 0) Die("cannot write to " + directory.path());
  }
  ~Bench() {
    close(probe_);
    for (GateSlot* slot : slots_) store_->Detach(slot);
  }

  GateSlot& victim() { return *slots_[1]; }
  void RegisterVictim() { Send(1, OutAction::kRegisterAndIgnoreExistingKey, 0, 2); }
  void Fence() { Send(0, OutAction::kPreemptAndAbort, 1, 2); }
  void Sync() {
    static const char block[4096] = {};
    if (write(probe_, block, sizeof block) < 0 || fdatasync(probe_) != 0) Die("fdatasync");
  }

 private:
  void Send(int nexus, OutAction action, uint64_t key, uint64_t action_key) {
    PersistentReserveOut command;
    command.action = action;
    command.reservation_key = key;
    command.service_action_reservation_key = action_key;
    command.type = static_cast<uint8_t>(Type::kWriteExclusiveRegistrantsOnly);
    command.aptpl = true;
    Outcome outcome;
    const Status status = store_->Update(
        [&](const State& state) {
          return Apply(state, store_->capabilities(), Number(nexus), command);
        },
        {}, &outcome);
    if (!status.ok()) Die(status.message());
    if (outcome.status != ScsiStatus::kGood) Die("a command was refused");
  }

  const std::shared_ptr<Store> store_;
  GateSlot* slots_[2] = {};
  int probe_ = -1;
};

void NothingOnItsWay(Bench& bench) {
  std::vector<double> fences;
  std::vector<double> syncs;
  for (int i = 0; i < kRounds; i++) {
    bench.RegisterVictim();
    fences.push_back(Time([&] { bench.Fence(); }));
    syncs.push_back(Time([&] { bench.Sync(); }));
  }
  Tell("fdatasync", syncs, "us");
  Tell("PREEMPT AND ABORT, nothing on its way, to fdatasync", Ratios(fences, Median(syncs)), "", 2);
}

// How much longer than its slowest command the fencing took, less what the
// commit costs anyway.
void CommandsOnTheirWay(Bench& bench) {
  std::vector<double> extra;
  std::vector<double> commits;
  for (int i = 0; i < kSlowRounds; i++) {
    bench.RegisterVictim();
    commits.push_back(Time([&] { bench.Fence(); }));
    bench.RegisterVictim();
    std::vector<Admission::Epoch> epochs;
    for (int n = 0; n < kInFlight; n++) {
      const auto epoch = bench.victim().Enter(AccessClass::kRead);
      if (!epoch) Die("the victim is shut");
      epochs.push_back(*epoch);
    }
    Clock::time_point last;
    std::thread disk([&] {
      std::this_thread::sleep_for(kSlowest);
      last = Clock::now();
      for (const auto epoch : epochs) bench.victim().Leave(epoch);
    });
    bench.Fence();
    const auto end = Clock::now();
    disk.join();
    extra.push_back(Microseconds(end - last).count());
  }
  for (double& time : extra) time -= Median(commits);
  Tell(std::to_string(kInFlight) + " commands: after the slowest, more than without", extra, "us",
       2000);
}

}  // namespace

int main(int argc, char** argv) {
  const Directory directory(Place(argc, argv));
  Bench bench(directory);
  printf("--- PREEMPT AND ABORT, APTPL: median [quartiles]\n");
  NothingOnItsWay(bench);
  CommandsOnTheirWay(bench);
}
