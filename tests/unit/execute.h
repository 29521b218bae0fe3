// SPDX-License-Identifier: GPL-2.0-or-later
//
// One command to a device server, and how it ended: as emulators send it, at once if that
// can be, or on the server's thread.
#pragma once

#include <future>

#include "server/device_server.h"

namespace scsi_pr::testing {

inline Response ExecuteOnItsThread(DeviceServer& server, ByteVector cdb, ByteVector data_out = {}) {
  std::promise<Response> promise;
  server.Execute(std::move(cdb), std::move(data_out),
                 [&](const Response& response) { promise.set_value(response); });
  return promise.get_future().get();
}

inline Response Execute(DeviceServer& server, ByteVector cdb, ByteVector data_out = {}) {
  Response response;
  if (server.TryExecute(cdb, data_out, &response)) return response;
  return ExecuteOnItsThread(server, std::move(cdb), std::move(data_out));
}

// Returns when the server is done with what was submitted.
inline void Settle(DeviceServer& server) {
  std::promise<void> done;
  server.Administer([&](Store&, const Store::Waiting&) { done.set_value(); });
  done.get_future().wait();
}

}  // namespace scsi_pr::testing
