// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the sources of the C ABI share.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>

#include "cluster/messages.h"
#include "core/guarded.h"
#include "core/json_text.h"
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

  void FencingBegun() override {
    if (events.fencing_begun != nullptr) events.fencing_begun(opaque);
  }
  void DrainLate(const std::vector<scsi_pr::Attachment>& pending) override {
    if (events.drain_late == nullptr) return;
    events.drain_late(opaque,
                      scsi_pr::JsonText(scsi_pr::cluster::AttachmentsToJson(pending)).c_str());
  }
  void Proved(const std::vector<scsi_pr::HostProof>& proofs) override {
    if (events.proved == nullptr) return;
    events.proved(opaque, scsi_pr::JsonText(scsi_pr::cluster::ProofsToJson(proofs)).c_str());
  }
  void FencingEnded(std::chrono::milliseconds waited, const scsi_pr::Status& status) override {
    if (events.fencing_ended == nullptr) return;
    events.fencing_ended(opaque, static_cast<uint32_t>(waited.count()),
                         status.ok() ? nullptr : status.message().c_str());
  }

  // For a function of the C ABI: what it throws is an error of the store.
  template <typename Function>
  scsi_pr::Status Guarded(Function function) const {
    return scsi_pr::Guarded(server->store().uri(), function);
  }

  const ScsiPrEvents events;
  void* const opaque;
  std::unique_ptr<scsi_pr::DeviceServer> server;
};

namespace scsi_pr {

// To be freed with scsi_pr_error_clear().
void ReportError(const Status& status, ScsiPrError* error);

}  // namespace scsi_pr
