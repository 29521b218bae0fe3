// SPDX-License-Identifier: GPL-2.0-or-later
//
// One gate slot and two threads, as with a queue of the adapter for each of two
// iothreads: scsi_pr_enter() and scsi_pr_leave(), and beside them the physical limit of
// a gate that counts in one word, two locked read-modify-writes.
#include <atomic>
#include <thread>

#include "bench.h"
#include "scsi-pr/scsi-pr.h"

namespace {

using namespace bench;

constexpr int kThreads = 2;
constexpr int kRounds = 15;
constexpr int kCommands = 2'000'000;  // longer than a processor is given to one thread
constexpr uint8_t kWrite10[10] = {0x2A};

// Nanoseconds a call, when all threads make it at the same time.
template <typename Function>
double Together(Function function) {
  std::atomic<int> waiting{kThreads};
  std::vector<std::thread> threads;
  std::vector<double> times(kThreads);
  for (double& time : times) {
    threads.emplace_back([&] {
      waiting--;
      while (waiting > 0) {
      }
      time = Time([&] {
        for (int i = 0; i < kCommands; i++) function();
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return std::ranges::max(times) * 1000 / kCommands;
}

ScsiPrDevice* MakeDevice() {
  ScsiPrConfig config = {};
  config.store = "memory:";
  config.initiator = "naa.5000c50000000001";
  config.target_port = 1;
  config.owner = "slot-bench";
  ScsiPrError error = {};
  ScsiPrDevice* device = scsi_pr_device_new(&config, &error);
  if (device == nullptr) Die(error.message);
  return device;
}

}  // namespace

int main() {
  ScsiPrDevice* device = MakeDevice();
  alignas(64) std::atomic<uint64_t> word{1};  // alone on its cache line
  std::vector<double> gate, limit;
  for (int i = 0; i < kRounds; i++) {
    gate.push_back(Together([&] {
      ScsiPrTask task = {};
      scsi_pr_enter(device, kWrite10, sizeof kWrite10, &task);
      scsi_pr_leave(device, &task);
    }));
    limit.push_back(Together([&] {
      word.fetch_add(1);
      word.fetch_sub(1);
    }));
  }
  scsi_pr_device_free(device);
  printf("--- one gate slot, %d threads: median [quartiles]\n", kThreads);
  Tell("two locked updates of a word", limit, "ns");
  Tell("enter and leave, to that", Ratios(gate, Median(limit)), "", 1.3);
}
