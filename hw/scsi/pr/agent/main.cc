// SPDX-License-Identifier: GPL-2.0-or-later
//
// scsi-prd: this host's member of a cluster of hosts that share disks and their reservations.
#include <systemd/sd-id128.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <memory>
#include <string>

#include "agent/check_config.h"
#include "agent/config.h"
#include "agent/daemon.h"
#include "agent/journal.h"
#include "agent/log.h"
#include "agent/metrics.h"
#include "agent/service.h"

namespace {

using namespace scsi_pr::agent;
using scsi_pr::Status;

constexpr const char* kExitStatus =
    "Exit status: 0 done; 1 it could not start, or this host has not what it needs; 2 no endpoint "
    "can be\n"
    "used, 3 not all of them, or etcd reports an alarm (--check-config); 78 the configuration is "
    "wrong;\n"
    "above 100 wrong usage.";

// For others the machine's id is a secret: what they see is made from it and this.
constexpr sd_id128_t kMadeFor =
    SD_ID128_MAKE(58, 83, f5, e6, 9d, 36, 46, a7, a9, b7, a7, b2, 38, 09, c4, e3);

std::string TextOf(sd_id128_t id) {
  char text[SD_ID128_STRING_MAX];
  return sd_id128_to_string(id, text);
}

Status GetIds(Daemon::Options* options) {
  sd_id128_t machine, boot;
  if (sd_id128_get_machine_app_specific(kMadeFor, &machine) < 0) {
    return Status::Error(Status::Code::kIo, "this machine has no id in /etc/machine-id",
                         "systemd-machine-id-setup makes one.");
  }
  if (sd_id128_get_boot(&boot) < 0) {
    return Status::Error(Status::Code::kIo,
                         "the boot has no id in /proc/sys/kernel/random/boot_id");
  }
  options->machine_id = TextOf(machine);
  options->boot_id = TextOf(boot);
  return Status();
}

std::unique_ptr<LogSink> MakeSink() {
  std::unique_ptr<LogSink> journal = JournalSink();
  return journal ? std::move(journal) : StderrSink();
}

Status Start(const Config& config, Log& log, Metrics& metrics, std::unique_ptr<Daemon>* daemon) {
  Daemon::Options options{config, "", ""};
  if (Status status = GetIds(&options); !status.ok()) return status;
  std::shared_ptr<Engine> engine;
  if (Status status = MakeEngine(config, &engine); !status.ok()) return status;
  return Daemon::Create(std::move(options), std::move(engine), log, metrics, daemon);
}

// systemd starts it again at once, which is right unless it fails at once.
Exit EndSlowly(Exit exit) {
  constexpr unsigned kSeconds = 2;
  if (getenv("NOTIFY_SOCKET") != nullptr) sleep(kSeconds);
  return exit;
}

Exit Serve(const std::string& path, const Config& config, Log& log) {
  HoldSignals();
  Metrics metrics;
  std::unique_ptr<Daemon> daemon;
  if (Status status = Start(config, log, metrics, &daemon); !status.ok()) {
    log.Say(Message::kStartFailed, status);
    return EndSlowly(kFailed);
  }
  log.Say(Message::kStarted, "scsi-prd " SCSI_PR_VERSION " of host " + config.host + " is started");
  {
    const Service service(path, config, log, metrics, *daemon);
    daemon->Run();
  }
  log.Say(Message::kStopped,
          "scsi-prd is stopped; commands on cluster: disks go on until their time is over");
  return kGood;
}

Exit Run(const std::string& path, bool check) {
  Log log(check ? StderrSink() : MakeSink());
  Config config;
  if (Status status = ReadConfig(path, &config); !status.ok()) {
    log.Say(Message::kConfigRefused, status);
    return check ? kBadConfig : EndSlowly(kBadConfig);
  }
  if (check) return CheckConfig(config);
  log.set_level(config.log_level);
  return Serve(path, config, log);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "The member of this host in a cluster of hosts whose VMs share disks and their SCSI-3 "
      "persistent reservations.",
      "scsi-prd");
  app.set_version_flag("--version", SCSI_PR_VERSION);
  app.footer(kExitStatus);
  std::string path = SCSI_PRD_CONFIG;
  bool check = false;
  app.add_option("--config", path, "The configuration")->type_name("FILE")->capture_default_str();
  app.add_flag("--check-config", check,
               "Print what is set, ask each endpoint of etcd whether it answers, and end");
  CLI11_PARSE(app, argc, argv);
  try {
    return Run(path, check);
  } catch (const std::exception& error) {
    std::cerr << "error: scsi-prd ends: " << error.what() << "\n";
    return kFailed;
  }
}
