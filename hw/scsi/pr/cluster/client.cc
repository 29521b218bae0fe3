// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/client.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "cluster/names.h"
#include "core/document.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;
using Code = Status::Code;

// Until the next attempt; a daemon that systemd starts anew is back within a second.
constexpr std::chrono::milliseconds kRetry{20};

}  // namespace

json Client::Request(const char* op) const {
  json request = {{"op", op}, {"protocol", kProtocol}};
  if (!name_.empty()) request["lu"] = name_;
  return request;
}

json Client::Request(const char* op, const Nexus& nexus) const {
  json request = Request(op);
  request.update(NexusToJson(nexus));
  return request;
}

Status Client::Reach(Deadline deadline) const {
  for (;;) {
    Status status = Connection().Connect(*directory_, deadline);
    if (status.ok() || Clock::now() + kRetry >= deadline) return status;
    std::this_thread::sleep_for(kRetry);
  }
}

Status Client::Converse(const json& request, Deadline deadline, const Cancelled& cancelled,
                        Connection* connection, json* answer) const {
  for (;;) {
    Status status = connection->Connect(*directory_, deadline);
    if (status.ok()) status = connection->Send(request, deadline, cancelled);
    if (status.ok()) status = connection->Receive(answer, deadline, cancelled);
    // Garbage comes again.
    const bool may_help = status.code() == Code::kIo || status.code() == Code::kBusy;
    if (status.ok() || !may_help) return status;
    if (cancelled() || Clock::now() + kRetry >= deadline) {
      return Status::Error(Code::kBusy, status.message(), status.hint());
    }
    std::this_thread::sleep_for(kRetry);
  }
}

Status Client::Ask(const json& request, Deadline deadline, const Cancelled& cancelled,
                   json* result) const {
  Connection connection;
  json answer;
  const Status status = Converse(request, deadline, cancelled, &connection, &answer);
  return status.ok() ? ResultOf(answer, result) : status;
}

void Client::Hint(const json& request) const {
  Connection connection;
  const auto now = Clock::now();
  if (!connection.Connect(*directory_, now).ok()) return;
  static_cast<void>(connection.Send(request, now).ok());
}

Status NoSuchName(const std::string& name) {
  return Status::Error(Code::kInvalid,
                       "\"cluster:" + name + "\" names no logical unit of a cluster",
                       "A name is 1 to " + std::to_string(kMaxClusterName) +
                           " letters, digits and . - _ , : and the same on every host.");
}

Status Decoded(const std::function<void()>& decode) {
  try {
    decode();
    return Status();
  } catch (const std::exception& error) {
    return Status::Error(Code::kCorrupt,
                         std::string("scsi-prd gives an answer that is none: ") + error.what(),
                         "Are QEMU, scsi-pr and scsi-prd of one version?");
  }
}

}  // namespace scsi_pr::cluster
