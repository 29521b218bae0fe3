// SPDX-License-Identifier: GPL-2.0-or-later
//
// A process of the storm: one initiator port behind some target ports.
//
//   linear-worker URI FAULT INITIATORS INITIATOR PORTS LIFE SEED [RUNTIME-DIRECTORY]
//
// It attaches at once, then obeys:
//
//   run COUNT   -> done    COUNT random commands of each nexus, nexuses at once
//   barrier     -> done    a change, and all that shows the state
//
// Its first line is "capabilities P A" (core/transition.h, 0 or 1). Everything
// it does is two lines, one written before and one after:
//
//   call ID OPERATION
//   end ID OPERATION       (history.h)
//
// "unable MESSAGE" is the last line of one that cannot go on.
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "faulty_store.h"
#include "history.h"
#include "server/device_server.h"
#include "workload.h"

namespace {

using namespace scsi_pr;
using namespace scsi_pr::linear;

bool many_hosts = false;

int64_t Now() {
  timespec now = {};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

// In one piece, whoever else writes and whatever kills the process meanwhile.
void WriteLine(std::string line) {
  line += '\n';
  if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(3);
}

[[noreturn]] void Unable(const std::string& message) {
  WriteLine("unable " + message);
  _exit(1);
}

// One operation, while it lasts.
class Recorded {
 public:
  explicit Recorded(Operation operation) : operation_(std::move(operation)) {
    static std::atomic<int> ids{0};
    id_ = std::to_string(ids++);
    operation_.call = Now();
    WriteLine("call " + id_ + " " + Encode(operation_));
  }
  void End(const Response& response) {
    operation_.end = Now();
    operation_.response = response;
    WriteLine("end " + id_ + " " + Encode(operation_));
  }
  const Operation& operation() const { return operation_; }

 private:
  Operation operation_;
  std::string id_;
};

// Whether it is to be tried again. A daemon of many hosts may be away for a while.
bool Passes(const Status& status) {
  constexpr auto kAway = std::chrono::seconds(60);
  static const auto start = std::chrono::steady_clock::now();
  if (status.code() == Status::Code::kBusy) return true;
  const bool is_away = status.code() == Status::Code::kIo && many_hosts;
  if (!is_away || std::chrono::steady_clock::now() > start + kAway) return false;
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  return true;
}

// One nexus at work.
class Device {
 public:
  Device(std::shared_ptr<Store> store, const Nexus& nexus, uint32_t life, uint64_t seed,
         int initiators)
      : nexus_(nexus), life_(life), workload_(seed, initiators) {
    for (;;) {
      Recorded attach({.kind = Operation::Kind::kAttach, .nexus = nexus, .life = life});
      const Status status = DeviceServer::Open(store, nexus, "storm", {}, &server_);
      attach.End({status.ok() ? ScsiStatus::kGood : ScsiStatus::kBusy, {}, {}});
      if (status.ok()) return;
      if (!Passes(status)) Unable(status.message());
    }
  }

  // Returns at once; `finished` when the commands have ended.
  void Run(int count, std::shared_ptr<std::promise<void>> finished) {
    if (count == 0) {
      finished->set_value();
      return;
    }
    Send(workload_.Next(), [this, count, finished](const Response& response) {
      workload_.Learn(response.status);
      Run(count - 1, finished);
    });
  }
  // Returns its status when it has ended.
  ScsiStatus Do(const Command& command) {
    const auto done = std::make_shared<std::promise<ScsiStatus>>();
    Send(command, [done](const Response& response) { done->set_value(response.status); });
    return done->get_future().get();
  }

 private:
  void Send(const Command& command, std::function<void(const Response&)> done) {
    const auto recorded = std::make_shared<Recorded>(Operation{
        .nexus = nexus_, .life = life_, .cdb = command.cdb, .data_out = command.data_out});
    const auto end = [recorded, done](const Response& response) {
      recorded->End(response);
      done(response);
    };
    // In turn, for while one is carried out at once no other nexus of this process sends.
    Response response;
    at_once_ = !at_once_;
    if (at_once_ && server_->TryExecute(command.cdb, command.data_out, &response))
      return end(response);
    server_->Execute(command.cdb, command.data_out, end);
  }

  const Nexus nexus_;
  const uint32_t life_;
  Workload workload_;
  std::unique_ptr<DeviceServer> server_;
  bool at_once_ = false;
};

std::shared_ptr<Store> OpenStore(const std::string& uri, const std::string& fault,
                                 const std::string& runtime_directory) {
  std::shared_ptr<Store> store;
  Store::OpenOptions options(Store::OpenMode::kCreate);
  options.runtime_directory = runtime_directory;
  for (;;) {
    const Status status = Store::Open(uri, options, &store);
    if (status.ok()) break;
    if (!Passes(status)) Unable(status.message());
  }
  store = WithFault(store, fault);
  if (!store) Unable("there is no fault " + fault);
  return store;
}

void RunAll(std::vector<std::unique_ptr<Device>>& devices, int count) {
  std::vector<std::shared_ptr<std::promise<void>>> finished;
  for (const auto& device : devices) {
    finished.push_back(std::make_shared<std::promise<void>>());
    device->Run(count, finished.back());
  }
  for (const auto& each : finished) each->get_future().wait();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8 && argc != 9) return 2;
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // also when it is stopped
  const int initiators = std::stoi(argv[3]);
  const int initiator = std::stoi(argv[4]);
  const auto life = static_cast<uint32_t>(std::stoul(argv[6]));
  const std::string runtime_directory = argc == 9 ? argv[8] : "";
  many_hosts = !runtime_directory.empty();
  const auto store = OpenStore(argv[1], argv[2], runtime_directory);
  const Capabilities capabilities = store->capabilities();
  WriteLine(std::string("capabilities ") + (capabilities.persist_through_power_loss ? "1" : "0") +
            (capabilities.abort_tasks ? " 1" : " 0"));
  std::vector<std::unique_ptr<Device>> devices;
  for (uint16_t port = 1; port <= std::stoi(argv[5]); port++) {
    const uint64_t seed = std::stoull(argv[7]) + port;
    devices.push_back(
        std::make_unique<Device>(store, WorkloadNexus(initiator, port), life, seed, initiators));
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string verb;
    int count = 0;
    words >> verb >> count;
    if (verb == "run") RunAll(devices, count);
    if (verb == "barrier") {
      // What others have left undone is kept away by a command that was decided: also by one
      // that meets a legacy reservation.
      ScsiStatus status;
      do {
        status = devices[0]->Do(Barrier());
      } while (status != ScsiStatus::kGood && status != ScsiStatus::kReservationConflict);
      for (const Command& command : Witnesses()) devices[0]->Do(command);
    }
    WriteLine("done");
  }
  return 0;
}
