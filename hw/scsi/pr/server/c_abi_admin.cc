// SPDX-License-Identifier: GPL-2.0-or-later
//
// The administrator's part of include/scsi-pr/scsi-pr.h.
#include <cstring>

#include "core/document.h"
#include "server/administration.h"
#include "server/c_abi_device.h"

namespace {

using scsi_pr::Status;
using scsi_pr::Store;

bool Succeeds(const Status& status, ScsiPrError* error) {
  if (!status.ok()) scsi_pr::ReportError(status, error);
  return status.ok();
}

// Calls back with the error of `action`, if any.
void Administer(ScsiPrDevice* device, ScsiPrDoneCallback* callback, void* opaque,
                std::function<Status(Store&, const Store::Waiting&)> action) {
  const auto done = [callback, opaque](const Status& status) {
    ScsiPrError error = {};
    callback(opaque, Succeeds(status, &error) ? nullptr : &error);
    scsi_pr_error_clear(&error);
  };
  const Status submitted = device->Guarded([&] {
    device->server->Administer([=](Store& store, const Store::Waiting& waiting) {
      done(device->Guarded([&] { return action(store, waiting); }));
    });
    return Status();
  });
  if (!submitted.ok()) done(submitted);
}

}  // namespace

extern "C" {

char* scsi_pr_inspect(ScsiPrDevice* device) {
  char* text = nullptr;
  const Status status = device->Guarded([&] {
    text = strdup(scsi_pr::JsonText(device->server->Inspect()).c_str());
    return Status();
  });
  return status.ok() ? text : nullptr;
}

char* scsi_pr_save(ScsiPrDevice* device, ScsiPrError* error) {
  std::string document;
  const Status status = device->Guarded([&] {
    scsi_pr::Snapshot snapshot;
    if (Status looked = device->server->Look(&snapshot); !looked.ok()) return looked;
    document = EncodeDocument(snapshot.state);
    return Status();
  });
  return Succeeds(status, error) ? strdup(document.c_str()) : nullptr;
}

bool scsi_pr_load(ScsiPrDevice* device, const char* document, bool force,
                  ScsiPrDoneCallback* callback, void* opaque, ScsiPrError* error) {
  scsi_pr::State state;
  const Status status = device->Guarded([&] {
    return scsi_pr::administration::ReadDocument(device->server->store(), document, &state);
  });
  if (!Succeeds(status, error)) return false;
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
