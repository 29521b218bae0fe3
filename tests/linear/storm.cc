// SPDX-License-Identifier: GPL-2.0-or-later
#include "storm.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

#include "spc/opcodes.h"
#include "store/file_durable.h"
#include "store/gate_memory.h"
#include "store/store.h"
#include "workload.h"

namespace scsi_pr::linear {

namespace {

int64_t Now() {
  // CLOCK_MONOTONIC, as in the workers.
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// While it exists, the process does not run.
class Stopped {
 public:
  explicit Stopped(pid_t pid) : pid_(pid) { kill(pid_, SIGSTOP); }
  ~Stopped() { kill(pid_, SIGCONT); }
  Stopped(const Stopped&) = delete;
  Stopped& operator=(const Stopped&) = delete;

 private:
  const pid_t pid_;
};

}  // namespace

Storm::Storm(StormOptions options) : options_(std::move(options)), random_(options_.seed) {
  signal(SIGPIPE, SIG_IGN);  // somebody is told something and killed
  workers_.resize(static_cast<size_t>(options_.processes));
  for (size_t i = 0; i < workers_.size(); i++) {
    workers_[i].number = static_cast<int>(i);
    workers_[i].ports = static_cast<uint16_t>(1 + i % 2);
    Start(workers_[i]);
  }
}

void Storm::Start(Worker& worker) {
  worker.life++;
  worker.awaited = 0;
  std::vector<std::string> command = {options_.worker,
                                      options_.uri,
                                      options_.fault,
                                      std::to_string(workers_.size()),
                                      std::to_string(worker.number),
                                      std::to_string(worker.ports),
                                      std::to_string(worker.life),
                                      std::to_string(random_() >> 1)};
  if (!options_.runtime_directories.empty()) command.push_back(RuntimeDirectoryOf(worker));
  worker.process = std::make_unique<testing::PipeProcess>(command);
}

std::string Storm::RuntimeDirectoryOf(const Worker& worker) const {
  const auto& directories = options_.runtime_directories;
  return directories[static_cast<size_t>(worker.number) % directories.size()];
}

void Storm::Tell(Worker& worker, const std::string& line) {
  worker.process->Write(line);
  worker.awaited++;
}

void Storm::RunAll() {
  int nexuses = 0;
  for (const Worker& worker : workers_) nexuses += worker.ports;
  const std::string run = "run " + std::to_string((options_.operations + nexuses - 1) / nexuses);
  for (Worker& worker : workers_) Tell(worker, run);
}

void Storm::Collect(Worker& worker) {
  const bool killed = worker.process->pid() < 0;
  std::string line;
  while ((killed || worker.awaited > 0) && worker.process->ReadLine(&line)) Heed(worker, line);
  if (!killed && worker.awaited > 0) throw std::runtime_error("a worker has died of itself");
  for (auto& [id, operation] : worker.running) {
    figures_.unknown++;
    operations_.push_back(std::move(operation));
  }
  worker.running.clear();
}

void Storm::Heed(Worker& worker, const std::string& line) {
  std::istringstream words(line);
  std::string verb;
  std::string id;
  words >> verb;
  if (verb == "done") {
    worker.awaited--;
  } else if (verb == "capabilities") {
    words >> capabilities_.persist_through_power_loss >> capabilities_.abort_tasks;
  } else if (verb == "call" || verb == "end") {
    words >> id;
    Operation operation = DecodeOperation(line.substr(static_cast<size_t>(words.tellg())));
    if (verb == "call") {
      figures_.operations++;
      worker.running[id] = std::move(operation);
    } else {
      const bool out = !operation.cdb.empty() && operation.cdb[0] == opcode::kPersistentReserveOut;
      figures_.changes += out && operation.response.status == ScsiStatus::kGood ? 1 : 0;
      figures_.failed += operation.Failed() ? 1 : 0;
      if (operation.IsUnknown()) {
        figures_.unknown++;
        figures_.untold++;
        operation.end.reset();
      }
      worker.running.erase(id);
      operations_.push_back(std::move(operation));
    }
  } else {
    throw std::runtime_error("worker " + std::to_string(worker.number) + ": " + line);
  }
}

// All at once: by SIGKILL, or after what they still have to do.
void Storm::End(const std::vector<Worker*>& workers, bool killed) {
  const int64_t call = Now();
  for (Worker* worker : workers) {
    if (killed) {
      kill(worker->process->pid(), SIGKILL);
    } else {
      worker->process->Close();
    }
  }
  for (Worker* worker : workers) {
    if (worker->process->Wait() != 0 && !killed) throw std::runtime_error("a worker has failed");
  }
  const int64_t end = Now();
  for (Worker* worker : workers) {
    Collect(*worker);
    for (uint16_t port = 1; port <= worker->ports; port++) {
      operations_.push_back({.kind = Operation::Kind::kGone,
                             .nexus = WorkloadNexus(worker->number, port),
                             .life = worker->life,
                             .call = call,
                             .end = end});
    }
  }
}

// Over many hosts a death takes effect when the daemon there has noticed it: at the latest when the
// nexus comes again, as each does within the round.
void Storm::EndGone() {
  if (options_.runtime_directories.empty()) return;
  for (Operation& operation : operations_) {
    if (operation.kind == Operation::Kind::kGone) operation.end = Now();
  }
}

void Storm::Restart(const std::vector<Worker*>& workers, bool killed) {
  End(workers, killed);
  for (Worker* worker : workers) {
    Start(*worker);
    Tell(*worker, "run " + std::to_string(1 + Below(3)));
  }
  (killed ? figures_.kills : figures_.leaves) += workers.size();
  if (workers.size() == workers_.size()) figures_.power_ons++;
}

void Storm::Pause(uint32_t most_us) {
  std::this_thread::sleep_for(std::chrono::microseconds(Below(most_us + 1)));
}

// While one is stopped: whether it seems to have the change lock of the store.
bool Storm::HoldsTheOthersUp() const {
  if (!options_.runtime_directories.empty()) return false;  // the daemon has it
  constexpr uint64_t kChangeLock = 2;                       // store/host_locks.h
  std::unique_ptr<FileDurable> file;
  std::shared_ptr<const RuntimeDirectory> directory;
  const std::string path = options_.uri.substr(options_.uri.find(':') + 1);
  FileDurable::Options how;
  if (!RuntimeDirectory::Open("", &directory).ok()) return false;
  how.directory = directory;
  if (!FileDurable::Open(path, how, &file).ok()) {
    return false;
  }
  const int memory = directory->OpenFile(GateMemory::NameFor(file->identity()), false);
  bool held = memory >= 0;
  for (int i = 0; i < 10 && held; i++) {
    held = ByteLocks(memory).IsLockedElsewhere(kChangeLock, 1);
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
  if (memory >= 0) close(memory);
  return held;
}

// Another may be killed in the meantime.
void Storm::Stop() {
  Worker& stopped = Any();
  const Stopped while_here(stopped.process->pid());
  figures_.stops++;
  Pause(3000);
  Worker& other = Any();
  if (&other != &stopped && Below(3) == 0) Restart({&other}, true);
  if (figures_.long_stops < options_.long_stops && HoldsTheOthersUp()) {
    figures_.long_stops++;
    std::this_thread::sleep_for(Store::kPatience + std::chrono::milliseconds(500));
  } else {
    Pause(10000);
  }
}

void Storm::Disturb() {
  Pause(static_cast<uint32_t>(round_ns_ / 1000));
  const uint32_t what = Below(100);
  std::vector<Worker*> some = {&Any()};
  if (what >= 90) {
    some.clear();
    for (Worker& worker : workers_) some.push_back(&worker);
  }
  if (what < 35) {
    Stop();
  } else if (what < 45) {
    Restart(some, false);
  } else {
    Restart(some, true);
    if (Below(3) > 0) return;
    Pause(8000);  // while it opens the store, or attaches
    Restart(some, true);
  }
}

History Storm::Round() {
  const int64_t start = Now();
  RunAll();
  const bool disturb = Below(4) != 0;
  if (disturb) Disturb();
  for (Worker& worker : workers_) Collect(worker);
  EndGone();
  if (!disturb) round_ns_ = Now() - start;
  Tell(workers_[0], "barrier");
  Collect(workers_[0]);
  return {capabilities_, {}, std::exchange(operations_, {})};
}

}  // namespace scsi_pr::linear
