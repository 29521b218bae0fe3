// SPDX-License-Identifier: GPL-2.0-or-later
//
// The administrator's part of include/scsi-pr/scsi-pr.h.
#include <nlohmann/json.hpp>

#include "core/json_text.h"
#include "server/administration.h"
#include "server/c_abi_device.h"

namespace {

using scsi_pr::Status;
using scsi_pr::Store;

// Calls back with what `action` wrote, or with its error.
void Administer(ScsiPrDevice* device, ScsiPrReportCallback* callback, void* opaque,
                std::function<Status(Store&, const Store::Waiting&, std::string*)> action) {
  device->server->Administer([=](Store& store, const Store::Waiting& waiting) {
    std::string text;
    const Status status = device->Guarded([&] { return action(store, waiting, &text); });
    if (status.ok()) return callback(opaque, text.empty() ? nullptr : text.c_str(), nullptr);
    ScsiPrError error = {};
    scsi_pr::ReportError(status, &error);
    callback(opaque, nullptr, &error);
    scsi_pr_error_clear(&error);
  });
}

}  // namespace

extern "C" {

void scsi_pr_inspect(ScsiPrDevice* device, ScsiPrReportCallback* callback, void* opaque) {
  device->server->Inspect([callback, opaque](const nlohmann::json& info) {
    callback(opaque, scsi_pr::JsonText(info).c_str(), nullptr);
  });
}

void scsi_pr_save(ScsiPrDevice* device, ScsiPrReportCallback* callback, void* opaque) {
  Administer(device, callback, opaque, [](Store& store, const Store::Waiting&, std::string* text) {
    return scsi_pr::administration::Save(store, text);
  });
}

void scsi_pr_load(ScsiPrDevice* device, const char* document, bool force,
                  ScsiPrReportCallback* callback, void* opaque) {
  Administer(device, callback, opaque,
             [document = std::string(document), force](Store& store, const Store::Waiting& waiting,
                                                       std::string*) {
               return scsi_pr::administration::Load(store, document, force, waiting);
             });
}

void scsi_pr_preempt(ScsiPrDevice* device, uint64_t key, ScsiPrReportCallback* callback,
                     void* opaque) {
  Administer(device, callback, opaque,
             [key](Store& store, const Store::Waiting& waiting, std::string*) {
               return scsi_pr::administration::Preempt(store, key, waiting);
             });
}

void scsi_pr_clear(ScsiPrDevice* device, ScsiPrReportCallback* callback, void* opaque) {
  Administer(device, callback, opaque,
             [](Store& store, const Store::Waiting& waiting, std::string*) {
               return scsi_pr::administration::Clear(store, waiting);
             });
}

}  // extern "C"
