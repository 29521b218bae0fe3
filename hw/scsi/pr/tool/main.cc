// SPDX-License-Identifier: GPL-2.0-or-later
//
// scsi-pr: looks at reservation stores from the command line, whether a QEMU
// uses them or not.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "server/device_server.h"
#include "store/store.h"

namespace {

using nlohmann::json;
using scsi_pr::Snapshot;
using scsi_pr::Status;
using scsi_pr::Store;

constexpr int kExitFailure = 1;

std::string NexusText(const json& nexus) {
  return nexus.at("initiator").get<std::string>() + ", target port " +
         std::to_string(nexus.at("target-port").get<unsigned>());
}

void PrintReservation(const json& state) {
  if (state.contains("information-lost")) {
    std::cout << "Reservation   information lost, waits for REPLACE LOST RESERVATION\n";
  }
  if (state.contains("legacy-holder")) {
    std::cout << "Reservation   made by RESERVE (SPC-2)\n"
              << "  holder      " << NexusText(state.at("legacy-holder")) << "\n";
    return;
  }
  if (!state.contains("reservation")) {
    std::cout << "Reservation   none\n";
    return;
  }
  const json& reservation = state.at("reservation");
  std::cout << "Reservation   " << reservation.at("type").get<std::string>() << "\n";
  std::cout << "  holder      "
            << (reservation.contains("holder") ? NexusText(reservation.at("holder"))
                                               : "every registered I_T nexus")
            << "\n";
}

void PrintForPeople(const json& info) {
  const json& state = info.at("state");
  std::cout << "Store         " << info.at("store").get<std::string>() << "\n"
            << "PRgeneration  " << state.at("pr-generation").get<uint32_t>() << "\n"
            << "APTPL         " << (state.at("aptpl").get<bool>() ? "on" : "off") << "\n";
  PrintReservation(state);
  std::cout << "Registrations " << state.at("registrations").size() << "\n";
  for (const json& registration : state.at("registrations")) {
    std::cout << "  " << registration.at("key").get<std::string>() << "  " << NexusText(registration)
              << "\n";
  }
  std::cout << "Attached      " << info.at("attached").size() << "\n";
  for (const json& attached : info.at("attached")) {
    std::cout << "  process " << attached.at("process-id").get<uint32_t>() << " ("
              << attached.at("owner").get<std::string>() << "): " << NexusText(attached) << "\n";
  }
}

int Fail(const Status& status) {
  std::cerr << "scsi-pr: " << status.message() << "\n";
  if (!status.hint().empty()) std::cerr << status.hint() << "\n";
  return kExitFailure;
}

int Info(const std::string& uri, bool as_json) {
  std::shared_ptr<Store> store;
  if (Status status = Store::Open(uri, Store::OpenMode::kExisting, &store); !status.ok()) {
    return Fail(status);
  }
  Snapshot snapshot;
  if (Status status = store->Read(&snapshot); !status.ok()) return Fail(status);
  const json info = scsi_pr::DescribeStore(*store, Status(), snapshot);
  if (as_json) {
    std::cout << info.dump(2) << "\n";
  } else {
    PrintForPeople(info);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Looks at SCSI-3 persistent reservation stores.", "scsi-pr");
  app.require_subcommand(1);
  app.set_version_flag("--version", SCSI_PR_VERSION);
  app.footer("Exit status: 0 done, 1 the store could not be used, above 100 wrong usage.");

  std::string uri;
  std::string output = "human";
  CLI::App* info = app.add_subcommand(
      "info", "Show PRgeneration, reservation, registrations and attached I_T nexuses");
  info->add_option("STORE", uri, "Store URI: file:/PATH")->required();
  info->add_option("--output", output, "human or json")
      ->check(CLI::IsMember({"human", "json"}))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  return Info(uri, output == "json");
}
