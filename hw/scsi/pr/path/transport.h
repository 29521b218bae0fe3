// SPDX-License-Identifier: GPL-2.0-or-later
//
// One path to a logical unit: a way to send it a command. What a host has is SG_IO
// (path/sg_transport.h); tests have a logical unit of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "core/status.h"
#include "spc/bytes.h"
#include "spc/sense.h"

namespace scsi_pr {

// A command as it goes out.
struct TransportCommand {
  ByteVector cdb;
  ByteVector data_out = {};        // at most one of the two
  uint32_t allocation_length = 0;  // bytes of data in, at most
  std::chrono::milliseconds timeout{30000};
};

// How it ended.
struct TransportResult {
  // Whether a status came. Else the path has failed, and it is not known whether the logical unit
  // has carried the command out; `why` says what happened, for people.
  bool answered = false;
  std::string why = {};
  // As the device server said it: it may be one that ScsiStatus does not name.
  ScsiStatus status = ScsiStatus::kGood;
  Sense sense = sense::kNone;  // with kCheckCondition; kNone if there was no sense data
  ByteVector data = {};        // data in
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends one command and waits for its end, at most for about its time-out. Retries nothing. Not
  // to be called by two threads at once.
  virtual TransportResult Execute(const TransportCommand& command) = 0;
};

// Opens the path that `device` names; the caller owns what is opened, and closes it by destroying
// it. kIo: it cannot be used.
using OpenTransport =
    std::function<Status(const std::string& device, std::unique_ptr<Transport>* transport)>;

}  // namespace scsi_pr
