// SPDX-License-Identifier: GPL-2.0-or-later
//
// The client's end of the socket of scsi-prd. For one thread at a time.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include "cluster/wire.h"
#include "core/status.h"
#include "store/runtime_directory.h"

namespace scsi_pr::cluster {

using Deadline = std::chrono::steady_clock::time_point;
// Asked by who waits, whether he is to give up.
using Cancelled = std::function<bool()>;
inline bool NeverCancelled() { return false; }

// kBusy: the daemon has not answered.
Status NotInTime();

class Connection {
 public:
  Connection() = default;
  ~Connection() { Close(); }
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&& other) noexcept;

  // In place of the one before. The socket is that of the directory, whatever has become of
  // its path, or of the process's root. kIo: nobody listens there, or may not be asked; kBusy:
  // not in time.
  Status Connect(const RuntimeDirectory& directory, Deadline deadline);
  bool connected() const { return fd_ >= 0; }
  // To wait for: readable when something has come, or the other side has ended it.
  int fd() const { return fd_; }
  void Close();

  // Both wait until `deadline`, and ask `cancelled` every few milliseconds. kBusy: not in time, or
  // cancelled; kIo: the connection has ended. After an error it is closed, but for kInvalid.
  //
  // kInvalid: too long, and nothing was sent; after another error some of it may have been.
  Status Send(const nlohmann::json& message, Deadline deadline,
              const Cancelled& cancelled = NeverCancelled);
  // The next message. kCorrupt: it was none.
  Status Receive(nlohmann::json* message, Deadline deadline,
                 const Cancelled& cancelled = NeverCancelled);

 private:
  bool WaitFor(short events, Deadline deadline, const Cancelled& cancelled) const;
  Status Failed(Status status);

  int fd_ = -1;
  FrameReader reader_;
};

}  // namespace scsi_pr::cluster
