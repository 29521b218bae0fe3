// SPDX-License-Identifier: GPL-2.0-or-later
//
// One command to a device server, and how it ended.
#pragma once

#include <future>

#include "server/device_server.h"

namespace scsi_pr::testing {

inline Response Execute(DeviceServer& server, ByteVector cdb, ByteVector data_out = {}) {
  std::promise<Response> promise;
  server.Execute(std::move(cdb), std::move(data_out),
                 [&](const Response& response) { promise.set_value(response); });
  return promise.get_future().get();
}

}  // namespace scsi_pr::testing
