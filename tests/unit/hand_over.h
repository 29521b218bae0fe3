// SPDX-License-Identifier: GPL-2.0-or-later
//
// Device servers that hand a nexus over, for the tests.
#pragma once

#include <future>
#include <nlohmann/json.hpp>

#include "eventually.h"
#include "execute.h"
#include "testing.h"

namespace scsi_pr::testing {

inline std::unique_ptr<DeviceServer> Open(const std::string& uri, const Nexus& nexus,
                                          bool incoming = false, NexusListener* listener = nullptr,
                                          const std::string& runtime_directory = "") {
  std::shared_ptr<Store> store;
  Store::OpenOptions how(incoming ? Store::OpenMode::kIncoming : Store::OpenMode::kCreate);
  how.runtime_directory = runtime_directory;
  const Status opened = Store::Open(uri, how, &store);
  EXPECT_TRUE(opened.ok()) << opened.message();
  if (!opened.ok()) return nullptr;
  DeviceServer::Options options;
  options.incoming = incoming;
  options.listener = listener;
  std::unique_ptr<DeviceServer> server;
  const Status status = DeviceServer::Open(store, nexus, "test", std::move(options), &server);
  EXPECT_TRUE(status.ok()) << status.message();
  return server;
}

inline ScsiStatus Send(DeviceServer& server, const PersistentReserveOut& command) {
  return Execute(server, OutCdb(command), OutData(command)).status;
}

inline std::string HandOver(DeviceServer& server) {
  std::string text;
  const Status status = server.HandOver(&text);
  EXPECT_TRUE(status.ok()) << status.message();
  return text;
}

// As the emulator's timer does: a daemon may have to be asked first.
inline Ownership TakeOver(DeviceServer& server) {
  auto taken = Ownership::kNotTaken;
  Eventually([&] { return (taken = server.TakeOver()) != Ownership::kNotTaken; });
  return taken;
}

inline bool Writes(DeviceServer& server) {
  const auto epoch = server.Enter(AccessClass::kWrite);
  if (epoch) server.Leave(*epoch);
  return epoch.has_value();
}

inline nlohmann::json StateOf(DeviceServer& server) { return server.Inspect().at("state"); }

}  // namespace scsi_pr::testing
