// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the sources of the C ABI share.
#pragma once

#include <memory>

#include "scsi-pr/scsi-pr.h"
#include "server/device_server.h"

struct ScsiPrDevice : scsi_pr::NexusListener {
  explicit ScsiPrDevice(const ScsiPrConfig& config)
      : events(config.events != nullptr ? *config.events : ScsiPrEvents{}), opaque(config.opaque) {}

  void AbortTasks() override {
    if (events.abort_tasks != nullptr) events.abort_tasks(opaque);
  }
  void Fenced() override {
    if (events.fenced != nullptr) events.fenced(opaque);
  }
  void Preempted() override {
    if (events.preempted != nullptr) events.preempted(opaque);
  }
  void Changed(uint64_t version, uint32_t generation, uint64_t count) override {
    if (events.changed != nullptr) events.changed(opaque, version, generation, count);
  }
  void StoreFailed(const scsi_pr::Status& status) override {
    if (events.store_failed != nullptr) events.store_failed(opaque, status.message().c_str());
  }

  const ScsiPrEvents events;
  void* const opaque;
  std::unique_ptr<scsi_pr::DeviceServer> server;
};

namespace scsi_pr {

// To be freed with scsi_pr_error_clear().
void ReportError(const Status& status, ScsiPrError* error);

}  // namespace scsi_pr
