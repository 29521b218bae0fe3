// SPDX-License-Identifier: GPL-2.0-or-later
//
// The first frame of a client, made into what it asks for.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "agent/config.h"
#include "agent/operation.h"

namespace scsi_pr::agent {

class Daemon;

// What a connection has asked for, as long as it lasts.
class Request {
 public:
  virtual ~Request() = default;
  // Throws what is wrong with it.
  virtual void Receive(const nlohmann::json& frame, Time now) = 0;
  virtual void ClientGone(Time now) = 0;
};

// Throws what is wrong with the frame; what may not be, or cannot, the client is told.
std::unique_ptr<Request> StartRequest(Daemon& daemon, std::shared_ptr<Client> client,
                                      const Peer& peer, const nlohmann::json& frame, Time now);

}  // namespace scsi_pr::agent
