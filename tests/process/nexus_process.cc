// SPDX-License-Identifier: GPL-2.0-or-later
//
// A process with one I_T nexus, driven line by line on its standard input:
//
//   nexus-process URI INITIATOR
//
//   attach | incoming -> ok | error CODE MESSAGE
//   detach            -> ok
//   hand-over         -> TEXT | error CODE MESSAGE
//   arrive TEXT       -> ok | error CODE MESSAGE
//   take-over         -> taken | maybe fenced | not taken
//   heard             -> how often: ABORT-TASKS FENCED PREEMPTED
//   out SA KEY ACTION-KEY TYPE APTPL -> status N | error CODE MESSAGE
//   reserve | release -> status N | error CODE MESSAGE     (those of SPC-2)
//   admits            -> yes | no          (a WRITE command, through the gate)
//   enter             -> epoch N | no      (the same, and it stays on its way)
//   leave N           -> ok
//   patience MS       -> ok                (of a PREEMPT AND ABORT)
//   crash NAME N SIG  -> ok                (sends itself SIG there, the Nth time)
//   crash-call N      -> ok                (kills itself before the Nth system call for
//                                           the store's file or memory, from now on)
//   attention         -> none | ASC ASCQ
//   took              -> how many microseconds what was asked before has taken here
//   keys              -> one word, a comma-separated list, "-" when there is none
//   state             -> the canonical document | error CODE MESSAGE
//   hammer KEY        -> ok, then changes the own key until it is killed
//   quit
//
// The first line it prints is the outcome of opening the store, in the runtime directory
// that the environment names (RUNTIME_DIRECTORY).
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <iostream>
#include <sstream>

#include "../durability/file_calls.h"
#include "core/document.h"
#include "core/legacy.h"
#include "crash_point.h"
#include "server/device_server.h"

namespace {

using namespace scsi_pr;

struct Listener : NexusListener {
  void AbortTasks() override { aborts++; }
  void Fenced() override { fencings++; }
  void Preempted() override { preemptions++; }

  std::atomic<int> aborts{0};
  std::atomic<int> fencings{0};
  std::atomic<int> preemptions{0};
};

struct Process {
  Nexus nexus;
  std::shared_ptr<Store> store;
  Store::Waiting waiting;
  Listener listener;
  std::unique_ptr<DeviceServer> server;
  std::chrono::steady_clock::duration took{};
};

// Kills the process before a call for the store.
struct Killer : testing::FileWatcher {
  std::atomic<int> left = 0;  // 0: never; the store has threads of its own

  int Before(const testing::FileCall&) override {
    if (left > 0 && --left == 0) kill(getpid(), SIGKILL);
    return 0;
  }
};
Killer killer;

std::string Text(const Status& status) {
  if (status.ok()) return "ok";
  return "error " + std::to_string(static_cast<int>(status.code())) + " " + status.message();
}

std::string Text(const Status& status, const Outcome& outcome) {
  if (!status.ok()) return Text(status);
  return "status " + std::to_string(static_cast<int>(outcome.status));
}

Status Send(Process& process, const PersistentReserveOut& command, Outcome* outcome) {
  return process.store->Update(
      [&](const State& state) {
        return Apply(state, process.store->capabilities(), process.nexus, command);
      },
      process.waiting, outcome);
}

std::string Attach(Process& process, bool incoming) {
  DeviceServer::Options options;
  options.listener = &process.listener;
  options.incoming = incoming;
  return Text(DeviceServer::Open(process.store, process.nexus, "helper", std::move(options),
                                 &process.server));
}

std::string HandOver(Process& process) {
  std::string text;
  const Status status = process.server->HandOver(&text);
  return status.ok() ? text : Text(status);
}

std::string Arrive(Process& process, std::istream& arguments) {
  std::string text;
  std::getline(arguments >> std::ws, text);
  return Text(process.server->Arrive(text));
}

std::string TakeOver(Process& process) {
  switch (process.server->TakeOver()) {
    case Ownership::kTaken: return "taken";
    case Ownership::kTakenMaybeFenced: return "maybe fenced";
    case Ownership::kNotTaken: break;
  }
  return "not taken";
}

std::string Heard(const Listener& listener) {
  return std::to_string(listener.aborts) + " " + std::to_string(listener.fencings) + " " +
         std::to_string(listener.preemptions);
}

std::string Out(Process& process, std::istream& arguments) {
  PersistentReserveOut command;
  int action = 0;
  int type = 0;
  arguments >> action >> command.reservation_key >> command.service_action_reservation_key >>
      type >> command.aptpl;
  command.action = static_cast<OutAction>(action);
  command.type = static_cast<uint8_t>(type);
  Outcome outcome;
  const Status status = Send(process, command, &outcome);
  return Text(status, outcome);
}

std::string Legacy(Process& process, LegacyAction action) {
  Outcome outcome;
  const Status status = process.store->Update(
      [&](const State& state) { return ApplyLegacy(state, process.nexus, action); }, {}, &outcome);
  return Text(status, outcome);
}

std::string Keys(Process& process) {
  std::shared_ptr<const Record> snapshot;
  if (const Status status = process.store->Read(&snapshot); !status.ok()) return Text(status);
  std::string keys;
  for (const Registration& registration : snapshot->state.registrations) {
    keys += (keys.empty() ? "" : ",") + std::to_string(registration.key);
  }
  return keys.empty() ? "-" : keys;
}

std::string StateOf(Process& process) {
  std::shared_ptr<const Record> snapshot;
  const Status status = process.store->Read(&snapshot);
  return status.ok() ? EncodeDocument(snapshot->state) : Text(status);
}

std::string Attention(Process& process) {
  const auto sense = process.server->TakeUnitAttention();
  if (!sense) return "none";
  return std::to_string(sense->asc) + " " + std::to_string(sense->ascq);
}

[[noreturn]] void Hammer(Process& process, uint64_t key) {
  for (;;) {
    PersistentReserveOut command;
    command.action = OutAction::kRegisterAndIgnoreExistingKey;
    command.service_action_reservation_key = key++;
    command.aptpl = key % 2 == 0;
    Outcome outcome;
    if (const Status status = Send(process, command, &outcome); !status.ok()) {
      std::cout << Text(status) << std::endl;
    }
  }
}

std::string Set(Process& process, const std::string& verb, std::istream& arguments) {
  std::string name;
  int number = 0;
  int signal = 0;
  if (verb == "crash") arguments >> name;
  arguments >> number >> signal;
  if (verb == "crash-call") killer.left = number;
  if (verb == "crash") testing::ArmCrashPoint(name, number, signal);
  if (verb == "leave") process.server->Leave(static_cast<Admission::Epoch>(number));
  if (verb == "patience") process.waiting.abort_timeout = std::chrono::milliseconds(number);
  return "ok";
}

std::string Answer(Process& process, const std::string& line) {
  std::istringstream arguments(line);
  std::string verb;
  arguments >> verb;
  if (verb == "attach" || verb == "incoming") return Attach(process, verb == "incoming");
  if (verb == "hand-over") return HandOver(process);
  if (verb == "arrive") return Arrive(process, arguments);
  if (verb == "take-over") return TakeOver(process);
  if (verb == "heard") return Heard(process.listener);
  if (verb == "out") return Out(process, arguments);
  if (verb == "reserve") return Legacy(process, LegacyAction::kReserve);
  if (verb == "release") return Legacy(process, LegacyAction::kRelease);
  if (verb == "keys") return Keys(process);
  if (verb == "attention") return Attention(process);
  if (verb == "admits") return process.server->Admits(AccessClass::kWrite) ? "yes" : "no";
  if (verb == "enter") {
    const auto epoch = process.server->Enter(AccessClass::kWrite);
    return epoch ? "epoch " + std::to_string(*epoch) : "no";
  }
  if (verb == "state") return StateOf(process);
  if (verb == "took") return std::to_string(process.took / std::chrono::microseconds(1));
  if (verb == "leave" || verb == "patience" || verb.starts_with("crash")) {
    return Set(process, verb, arguments);
  }
  if (verb == "detach") {
    process.server.reset();
    return "ok";
  }
  if (verb == "hammer") {
    uint64_t key = 0;
    arguments >> key;
    std::cout << "ok" << std::endl;
    Hammer(process, key);
  }
  return "unknown " + verb;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Process process;
  std::string error;
  const auto initiator = TransportId::FromText(argv[2], &error);
  if (!initiator) return 2;
  process.nexus = {*initiator, 1};
  const std::string path = std::string(argv[1]).substr(std::string(argv[1]).find(':') + 1);
  Store::OpenOptions options(Store::OpenMode::kCreate);
  if (const char* directory = getenv("RUNTIME_DIRECTORY")) options.runtime_directory = directory;
  const testing::Watching watching({path, options.runtime_directory + "/scsi-pr-"}, &killer);
  const Status status = Store::Open(argv[1], options, &process.store);
  std::cout << Text(status) << std::endl;
  if (!status.ok()) return 1;
  for (std::string line; std::getline(std::cin, line) && line != "quit";) {
    const auto began = std::chrono::steady_clock::now();
    const std::string answer = Answer(process, line);
    process.took = std::chrono::steady_clock::now() - began;
    std::cout << answer << std::endl;
  }
  return 0;
}
