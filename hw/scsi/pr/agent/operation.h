// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a client on this host has asked for, until its end: a state machine that talks to the
// client in frames (cluster/wire.h). On the loop's thread.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/engine.h"
#include "agent/records.h"
#include "core/status.h"

namespace scsi_pr::agent {

class LogicalUnit;

Status NobodyHas(const LogicalUnit& unit);

// Of a client's connection. Frames for one that has gone are dropped.
class Client {
 public:
  virtual ~Client() = default;
  virtual void Send(const nlohmann::json& frame) = 0;
  // The last one.
  virtual void End(const nlohmann::json& frame) = 0;
  void Good(nlohmann::json what) { End({{"ok", std::move(what)}}); }
  void Bad(const Status& why);
};

class Operation {
 public:
  virtual ~Operation() = default;

  virtual void Begin(Time now) = 0;
  // What else the client says. Throws what is wrong with it.
  virtual void Receive(const nlohmann::json& /*frame*/, Time /*now*/) {
    throw std::invalid_argument("nothing was asked for");
  }
  // Something may have changed in the engine.
  virtual void Look(Time /*now*/) {}
  // Nobody is waiting for the end any more.
  virtual void ClientGone(Time /*now*/) {}
  virtual void Tick(Time now) = 0;
  virtual Time NextTick() const = 0;
  bool is_over() const { return is_over_; }

 protected:
  explicit Operation(std::shared_ptr<Client> client) : client_(std::move(client)) {}

  void Good(nlohmann::json what) {
    is_over_ = true;
    if (client_) client_->Good(std::move(what));
  }
  void Bad(const Status& why) {
    is_over_ = true;
    if (client_) client_->Bad(why);
  }

  // Null: the daemon's own.
  const std::shared_ptr<Client> client_;
  bool is_over_ = false;
};

// Waits until what the engine has had since now is shown here (read).
class ReadOperation : public Operation {
 public:
  ReadOperation(LogicalUnit& unit, std::shared_ptr<Client> client, Time patience);
  void Begin(Time now) override;
  void Tick(Time now) override;
  Time NextTick() const override;

 protected:
  virtual void Shown();

  LogicalUnit& unit_;

 private:
  const Time patience_;
  Time deadline_ = 0;
  uint64_t ticket_ = 0;
};

// The same, with all that there is to see (look); kInvalid if nobody has ever used the unit.
class LookOperation : public ReadOperation {
 public:
  using ReadOperation::ReadOperation;

 protected:
  void Shown() override;
};

}  // namespace scsi_pr::agent
