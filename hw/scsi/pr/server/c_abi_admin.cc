// SPDX-License-Identifier: GPL-2.0-or-later
//
// The administrator's part of include/scsi-pr/scsi-pr.h.
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/document.h"
#include "server/administration.h"
#include "server/c_abi_device.h"

namespace {

using scsi_pr::Status;
using scsi_pr::Store;

Status Unexpected(const std::exception& e) {
  return Status::Error(Status::Code::kIo, std::string("cannot be carried out: ") + e.what());
}

// Calls back with the error of `action`, if any.
void Administer(ScsiPrDevice* device, ScsiPrDoneCallback* callback, void* opaque,
                std::function<Status(Store&, const Store::Waiting&)> action) {
  device->server->Administer([=](Store& store, const Store::Waiting& waiting) {
    Status status;
    try {
      status = action(store, waiting);
    } catch (const std::exception& e) {
      status = Unexpected(e);
    }
    if (status.ok()) return callback(opaque, nullptr);
    ScsiPrError error = {};
    scsi_pr::ReportError(status, &error);
    callback(opaque, &error);
    scsi_pr_error_clear(&error);
  });
}

Status Save(scsi_pr::DeviceServer& server, std::string* document) try {
  scsi_pr::Snapshot snapshot;
  if (Status status = server.Look(&snapshot); !status.ok()) return status;
  *document = EncodeDocument(snapshot.state);
  return Status();
} catch (const std::exception& e) {
  return Unexpected(e);
}

Status ReadDocument(const Store& store, const char* document, scsi_pr::State* state) try {
  return scsi_pr::administration::ReadDocument(store, document, state);
} catch (const std::exception& e) {
  return Unexpected(e);
}

}  // namespace

extern "C" {

char* scsi_pr_inspect(ScsiPrDevice* device) try {
  return strdup(device->server->Inspect().dump().c_str());
} catch (const std::exception&) {
  return nullptr;
}

char* scsi_pr_save(ScsiPrDevice* device, ScsiPrError* error) {
  std::string document;
  if (Status status = Save(*device->server, &document); !status.ok()) {
    scsi_pr::ReportError(status, error);
    return nullptr;
  }
  return strdup(document.c_str());
}

bool scsi_pr_load(ScsiPrDevice* device, const char* document, bool force,
                  ScsiPrDoneCallback* callback, void* opaque, ScsiPrError* error) {
  scsi_pr::State state;
  if (Status status = ReadDocument(device->server->store(), document, &state); !status.ok()) {
    scsi_pr::ReportError(status, error);
    return false;
  }
  Administer(device, callback, opaque,
             [state = std::move(state), force](Store& store, const Store::Waiting& waiting) {
               return scsi_pr::administration::Load(store, state, force, waiting);
             });
  return true;
}

void scsi_pr_preempt(ScsiPrDevice* device, uint64_t key, ScsiPrDoneCallback* callback,
                     void* opaque) {
  Administer(device, callback, opaque, [key](Store& store, const Store::Waiting& waiting) {
    return scsi_pr::administration::Preempt(store, key, waiting);
  });
}

void scsi_pr_clear(ScsiPrDevice* device, ScsiPrDoneCallback* callback, void* opaque) {
  Administer(device, callback, opaque, scsi_pr::administration::Clear);
}

}  // extern "C"
