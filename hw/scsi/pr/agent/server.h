// SPDX-License-Identifier: GPL-2.0-or-later
//
// The daemon's socket: connections of clients on this host, one operation each (cluster/wire.h).
// What they say is hostile or broken: bounded, checked, and at worst the end of a connection.
#pragma once

#include <list>
#include <memory>
#include <string>

#include "agent/config.h"
#include "agent/loop.h"
#include "store/runtime_directory.h"

namespace scsi_pr::agent {

class Daemon;

class Server {
 public:
  static constexpr size_t kMostConnections = 4096;

  // Listens for `group`. kBusy: another daemon does.
  static Status Create(Daemon& daemon, std::shared_ptr<const RuntimeDirectory> directory,
                       gid_t group, std::unique_ptr<Server>* server);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Ends connections that are over, or say nothing.
  void Tick(Time now);
  Time NextTick() const;

 private:
  class Connection;

  Server(Daemon& daemon, std::shared_ptr<const RuntimeDirectory> directory, int fd);

  bool Accept();

  Daemon& daemon_;
  const std::shared_ptr<const RuntimeDirectory> directory_;
  const int fd_;
  std::unique_ptr<Loop::Source> accepting_;
  std::list<std::shared_ptr<Connection>> connections_;
};

}  // namespace scsi_pr::agent
