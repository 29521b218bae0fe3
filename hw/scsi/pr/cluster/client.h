// SPDX-License-Identifier: GPL-2.0-or-later
//
// Operations at the daemon of this host (wire.h), for who may wait for it. A daemon that is
// started anew is not there for a moment: what is harmless when it is carried out twice is asked
// again as long as there is time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cluster/connection.h"
#include "core/state.h"
#include "core/status.h"
#include "store/runtime_directory.h"

namespace scsi_pr::cluster {

class Client {
 public:
  // `name`: of the logical unit; empty: of none.
  Client(std::shared_ptr<const RuntimeDirectory> directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}

  const std::shared_ptr<const RuntimeDirectory>& directory() const { return directory_; }
  const std::string& name() const { return name_; }

  // The first message of an operation; and with a nexus.
  nlohmann::json Request(const char* op) const;
  nlohmann::json Request(const char* op, const Nexus& nexus) const;

  // Waits until the daemon takes connections. kIo, kBusy: it does not.
  Status Reach(Deadline deadline) const;
  // Connects, sends the request, and receives the first answer: anew if that fails, until there is
  // one. The connection is open then. kBusy: not in time, or cancelled, saying what failed;
  // kCorrupt: what comes is no message.
  Status Converse(const nlohmann::json& request, Deadline deadline, const Cancelled& cancelled,
                  Connection* connection, nlohmann::json* answer) const;
  // An operation with one answer: what that says, or the error of Converse().
  Status Ask(const nlohmann::json& request, Deadline deadline, const Cancelled& cancelled,
             nlohmann::json* result) const;
  // Sends it if that can be at once, and waits for nothing.
  void Hint(const nlohmann::json& request) const;

 private:
  const std::shared_ptr<const RuntimeDirectory> directory_;
  const std::string name_;
};

// kInvalid: no logical unit can be called that (names.h).
Status NoSuchName(const std::string& name);

// What a decoder of messages throws becomes kCorrupt.
Status Decoded(const std::function<void()>& decode);

}  // namespace scsi_pr::cluster
