// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an I/O command pays at the gate: scsi_pr_enter() and scsi_pr_leave() for
// a WRITE(10), admitted and denied, with one and with a thousand registrants.
// Below 50 ns, whatever their number; with a deadline below 60 ns. The physical limits
// beside it: two locked read-modify-writes of a word that no other processor wants, and
// a look at the clock.
#include <benchmark/benchmark.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <string>

#include "gate/gate.h"
#include "scsi-pr/scsi-pr.h"
#include "store/store.h"

namespace {

constexpr uint8_t kWrite10[10] = {0x2A};

std::string Initiator(unsigned number) {
  char text[32];
  snprintf(text, sizeof text, "naa.%016x", number);
  return text;
}

// A device whose logical unit has `registrants` registrations and is reserved
// (Write Exclusive - Registrants Only) by one of them.
class Setting {
 public:
  Setting(const char* scheme, unsigned registrants, bool registered) {
    char directory[] = "/tmp/scsi-pr-bench-XXXXXX";
    directory_ = mkdtemp(directory);
    uri_ = std::string(scheme) == "file" ? "file:" + directory_ + "/lu.pr" : "memory:gate-bench";
    if (!scsi_pr::Store::Open(uri_, scsi_pr::Store::OpenMode::kCreate, &store_).ok()) exit(1);
    const std::string own = Initiator(1);
    ScsiPrConfig config = {};
    config.store = uri_.c_str();
    config.initiator = own.c_str();
    config.target_port = 1;
    config.owner = "gate-bench";
    ScsiPrError error = {};
    device_ = scsi_pr_device_new(&config, &error);
    if (device_ == nullptr) {
      fprintf(stderr, "%s\n", error.message);
      exit(1);
    }
    Fill(registrants, registered ? 1 : 2);
  }
  ~Setting() {
    scsi_pr_device_free(device_);
    store_.reset();
    std::filesystem::remove_all(directory_);
  }

  ScsiPrDevice* device() { return device_; }
  // The device attached first: its slot is the one before that of who comes now.
  void AdmitForAnHour() {
    std::string error;
    const auto other = scsi_pr::TransportId::FromText("naa.5000000000000001", &error);
    scsi_pr::GateSlot* slot = nullptr;
    if (!store_->Attach({*other, 1}, "gate-bench", scsi_pr::Store::AttachMode::kNew, nullptr, &slot)
             .ok()) {
      exit(1);
    }
    slot[-1].SetAdmitUntil(scsi_pr::BootTime() + uint64_t{3600} * 1'000'000'000);
    store_->Detach(slot);
  }

 private:
  // Registers `count` nexuses from number `first` on, in one change.
  void Fill(unsigned count, unsigned first) {
    scsi_pr::Outcome outcome;
    const auto status = store_->Update(
        [&](scsi_pr::State state) {
          std::string error;
          for (unsigned i = first; i < first + count; i++) {
            const auto id = scsi_pr::TransportId::FromText(Initiator(i), &error);
            state.registrations.push_back({{*id, 1}, i});
          }
          state.reservation = {scsi_pr::Type::kWriteExclusiveRegistrantsOnly,
                               state.registrations.back().nexus};
          scsi_pr::Outcome outcome;
          outcome.state = std::move(state);
          return outcome;
        },
        {}, &outcome);
    if (!status.ok()) exit(1);
  }

  std::string directory_;
  std::string uri_;
  std::shared_ptr<scsi_pr::Store> store_;
  ScsiPrDevice* device_ = nullptr;
};

void Pass(benchmark::State& state, const char* scheme, bool registered, bool deadline = false) {
  Setting setting(scheme, static_cast<unsigned>(state.range(0)), registered);
  if (deadline) setting.AdmitForAnHour();
  state.SetLabel(deadline ? "limit 60 ns" : "limit 50 ns");
  const ScsiPrAdmission expected = registered ? SCSI_PR_ADMITTED : SCSI_PR_CONFLICT;
  for (auto _ : state) {
    ScsiPrTask task = {};
    const ScsiPrAdmission admission =
        scsi_pr_enter(setting.device(), kWrite10, sizeof kWrite10, &task);
    scsi_pr_leave(setting.device(), &task);
    if (admission != expected) {
      state.SkipWithError("wrong answer");
      break;
    }
  }
}

// For comparison: what no gate at all would cost, one that only looks, and the
// limit of one that counts.
void EmptyLoop(benchmark::State& state) {
  for (auto _ : state) benchmark::ClobberMemory();
}
void RelaxedLoad(benchmark::State& state) {
  std::atomic<uint32_t> word{1};
  for (auto _ : state) benchmark::DoNotOptimize(word.load(std::memory_order_relaxed));
}
void TwoLockedUpdates(benchmark::State& state) {
  std::atomic<uint64_t> word{1};
  for (auto _ : state) {
    word.fetch_add(1);
    word.fetch_sub(1);
  }
}

void Clock(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(scsi_pr::BootTime());
}

// Two queues of one nexus, and their limit: two threads that want one word.
void OneSlot(benchmark::State& state) {
  static scsi_pr::GateSlot slot;
  slot.SetAccess(scsi_pr::kFullAccess);
  for (auto _ : state) {
    const auto epoch = slot.Enter(scsi_pr::AccessClass::kWrite);
    if (epoch) slot.Leave(*epoch);
  }
}
void OneWord(benchmark::State& state) {
  alignas(512) static std::atomic<uint64_t> word{1};
  for (auto _ : state) {
    word.fetch_add(1);
    word.fetch_sub(1);
  }
}

// What a gate would cost whose fencer has the kernel put the memory fence into
// all other processes: at least a count of the thread's own, twice, and a look at
// the access between them. And what that costs the fencer.
void TwoPlainUpdatesAndALook(benchmark::State& state) {
  std::atomic<uint64_t> count{1};
  std::atomic<uint32_t> access{1};
  const auto add = [&count](uint64_t n) {
    count.store(count.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  };
  for (auto _ : state) {
    add(1);
    benchmark::DoNotOptimize(access.load(std::memory_order_relaxed));
    add(~uint64_t{0});
  }
}
void Membarrier(benchmark::State& state, int command) {
  for (auto _ : state) {
    if (syscall(SYS_membarrier, command, 0, 0) == 0) continue;
    state.SkipWithError("this kernel refuses it");
    break;
  }
}

void Registrants(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("registrants")->Arg(1)->Arg(1000);
}

BENCHMARK(EmptyLoop);
BENCHMARK(RelaxedLoad);
BENCHMARK(TwoLockedUpdates);
BENCHMARK(Clock);
BENCHMARK(OneWord)->Threads(2);
BENCHMARK(OneSlot)->Threads(2);
BENCHMARK(TwoPlainUpdatesAndALook);
BENCHMARK_CAPTURE(Membarrier, expedited, MEMBARRIER_CMD_GLOBAL_EXPEDITED);
BENCHMARK_CAPTURE(Membarrier, global, MEMBARRIER_CMD_GLOBAL);
BENCHMARK_CAPTURE(Pass, memory_admitted, "memory", true)->Apply(Registrants);
BENCHMARK_CAPTURE(Pass, memory_with_deadline, "memory", true, true)->Apply(Registrants);
BENCHMARK_CAPTURE(Pass, memory_denied, "memory", false)->Apply(Registrants);
BENCHMARK_CAPTURE(Pass, file_admitted, "file", true)->Apply(Registrants);
BENCHMARK_CAPTURE(Pass, file_denied, "file", false)->Apply(Registrants);

}  // namespace

BENCHMARK_MAIN();
