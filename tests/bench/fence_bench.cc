// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a fencing costs: PREEMPT AND ABORT on a file store with APTPL on.
//
//   nothing on its way   at most twice one fdatasync(2) of the same disk, after
//                        4 KiB were appended to a file, as a log does
//   128 commands         at most the slowest of them and two milliseconds
//
// Both are ratios or differences within one run, medians of many rounds; the
// exit status says whether they hold.
//
// usage: fence-bench [DIRECTORY]     on whose disk the store is made (/var/tmp)
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "store/store.h"

namespace {

using namespace scsi_pr;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;

constexpr int kRounds = 200;
constexpr int kSlowRounds = 20;
constexpr int kInFlight = 128;
constexpr auto kSlowest = 50ms;

[[noreturn]] void Die(const std::string& why) {
  fprintf(stderr, "fence-bench: %s\n", why.c_str());
  exit(2);
}

Nexus Number(int number) {
  std::string error;
  const auto id = TransportId::FromText("naa.500000000000000" + std::to_string(number), &error);
  return {*id, 1};
}

class Bench {
 public:
  explicit Bench(std::string directory) : directory_(std::move(directory)) {
    const std::string uri = "file:" + directory_ + "/lu.pr";
    const Status status = Store::Open(uri, Store::OpenMode::kCreate, &store_);
    if (!status.ok()) Die(status.message());
    for (int i : {0, 1}) {
      if (!store_->Attach(Number(i), "fence-bench", nullptr, &slots_[i]).ok()) Die("no slot");
    }
    Send(0, OutAction::kRegisterAndIgnoreExistingKey, 0, 1);
    probe_ = open((directory_ + "/probe").c_str(), O_RDWR | O_CREAT | O_APPEND, 0600);
    if (probe_ < 0) Die("cannot write to " + directory_);
  }
  ~Bench() {
    close(probe_);
    for (GateSlot* slot : slots_) store_->Detach(slot);
    store_.reset();
    std::filesystem::remove_all(directory_);
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
        &outcome);
    if (!status.ok()) Die(status.message());
    if (outcome.status != ScsiStatus::kGood) Die("a command was refused");
  }

  const std::string directory_;
  std::shared_ptr<Store> store_;
  GateSlot* slots_[2] = {};
  int probe_ = -1;
};

template <typename Function>
double Time(Function function) {
  const auto start = Clock::now();
  function();
  return Microseconds(Clock::now() - start).count();
}

double Median(std::vector<double> times) {
  std::ranges::sort(times);
  return times[times.size() / 2];
}

bool NothingOnItsWay(Bench& bench) {
  std::vector<double> fences;
  std::vector<double> syncs;
  for (int i = 0; i < kRounds; i++) {
    bench.RegisterVictim();
    fences.push_back(Time([&] { bench.Fence(); }));
    syncs.push_back(Time([&] { bench.Sync(); }));
  }
  const double ratio = Median(fences) / Median(syncs);
  printf("nothing on its way    %8.0f us, fdatasync %.0f us: %.2f of it (limit 2)\n",
         Median(fences), Median(syncs), ratio);
  return ratio <= 2;
}

// How much longer than its slowest command the fencing took, less what the
// commit costs anyway.
bool CommandsOnTheirWay(Bench& bench) {
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
  const double over = Median(extra) - Median(commits);
  printf("%d commands          %8.0f us after the slowest, %.0f us more than without (limit 2000)\n",
         kInFlight, Median(extra), over);
  return over <= 2000;
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory = std::string(argc > 1 ? argv[1] : "/var/tmp") + "/fence-bench-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) Die("cannot make a directory in " + directory);
  Bench bench(directory);
  const bool idle = NothingOnItsWay(bench);
  const bool busy = CommandsOnTheirWay(bench);
  return idle && busy ? 0 : 1;
}
