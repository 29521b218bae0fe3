// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <exception>
#include <string>

#include "core/status.h"

namespace scsi_pr {

// What `function` returns, a Status; where it throws, one of kIo. No exception may cross the
// C ABI, leave a thread, or keep somebody waiting: whoever stands there calls this.
template <typename Function>
Status Guarded(const std::string& uri, Function function) {
  const auto failed = [&uri](const char* why) {
    return Status::Error(Status::Code::kIo, "cannot use " + uri + ": " + why);
  };
  try {
    return function();
  } catch (const std::exception& e) {
    return failed(e.what());
  } catch (...) {
    return failed("an exception of an unknown type");
  }
}

}  // namespace scsi_pr
