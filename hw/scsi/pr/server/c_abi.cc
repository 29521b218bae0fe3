// SPDX-License-Identifier: GPL-2.0-or-later
//
// include/scsi-pr/scsi-pr.h over DeviceServer. No exception leaves this file (core/guarded.h).
// Running out of memory may end the process, as it does everywhere in QEMU.
#include "server/c_abi_device.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "server/reservation_commands.h"
#include "spc/text.h"

void scsi_pr::ReportError(const Status& status, ScsiPrError* error) {
  error->message = strdup(status.message().c_str());
  error->hint = status.hint().empty() ? nullptr : strdup(status.hint().c_str());
}

namespace {

using scsi_pr::AccessClass;
using scsi_pr::ByteSpan;
using scsi_pr::ByteVector;
using scsi_pr::Status;
using WhyNot = scsi_pr::Admission::WhyNot;

bool Succeeds(const Status& status, ScsiPrError* error) {
  if (!status.ok()) scsi_pr::ReportError(status, error);
  return status.ok();
}

// What `make` writes, for scsi_pr_text_free(); NULL if it fails.
template <typename Make>
char* Text(const ScsiPrDevice& device, Make make, ScsiPrError* error) {
  std::string text;
  const Status status = device.Guarded([&] { return make(&text); });
  return Succeeds(status, error) ? strdup(text.c_str()) : nullptr;
}

// Where nobody can be told of a failure; it shows again where somebody can.
void Ignore(const Status&) {}

ScsiPrAdmission Refuse(const ScsiPrDevice& device, WhyNot why) {
  Ignore(device.Guarded([&] { return device.server->Refused(why), Status(); }));
  switch (why) {
    case WhyNot::kNotOwner: return SCSI_PR_HANDED_OVER;
    case WhyNot::kInformationLost: return SCSI_PR_INFORMATION_LOST;
    case WhyNot::kHeld:
    case WhyNot::kFull:
    case WhyNot::kDeadline: return SCSI_PR_SUSPENDED;
    case WhyNot::kNoAccess: break;
  }
  return SCSI_PR_CONFLICT;
}

Status ParseNexus(const ScsiPrConfig& config, scsi_pr::Nexus* nexus) {
  std::string what;
  const auto initiator = scsi_pr::TransportId::FromText(config.initiator, &what);
  if (!initiator) {
    return Status::Error(Status::Code::kInvalid,
                         "\"" + std::string(config.initiator) + "\" " + what);
  }
  if (config.target_port == 0) {
    return Status::Error(Status::Code::kInvalid, "relative target port 0 does not exist",
                         "It is a number from 1 to 65535.");
  }
  *nexus = {*initiator, config.target_port};
  return Status();
}

// A text that others keep, compare and show.
Status CheckMedium(const std::string& medium) {
  const auto is_printable = [](unsigned char byte) { return byte > ' ' && byte <= '~'; };
  if (medium.size() <= SCSI_PR_MAX_MEDIUM && std::ranges::all_of(medium, is_printable)) {
    return Status();
  }
  return Status::Error(Status::Code::kInvalid, "what names the medium is no short printable text");
}

ByteSpan DataOut(const uint8_t* data, size_t length) {
  return length == 0 ? ByteSpan() : ByteSpan(data, length);
}

void Tell(const scsi_pr::Response& response, ScsiPrCallback* callback, void* opaque) {
  const ScsiPrResult result{static_cast<uint8_t>(response.status),
                            {response.sense.key, response.sense.asc, response.sense.ascq},
                            response.data.data(),
                            response.data.size()};
  callback(opaque, &result);
}

std::string OrEmpty(const char* text) { return text != nullptr ? text : ""; }

Status ParseOwner(const ScsiPrConfig& config, scsi_pr::Attacher* owner) {
  *owner = {scsi_pr::Printable(OrEmpty(config.owner)), OrEmpty(config.medium),
            scsi_pr::Printable(OrEmpty(config.medium_name))};
  owner->accept_medium = config.accept_medium;
  return CheckMedium(owner->medium);
}

std::vector<scsi_pr::SupportedCommand> Commands(const ScsiPrConfig& config) {
  std::vector<scsi_pr::SupportedCommand> commands(config.command_count);
  std::transform(config.commands, config.commands + config.command_count, commands.begin(),
                 [](const ScsiPrSupportedCommand& from) {
                   return scsi_pr::SupportedCommand{std::to_array(from.usage), from.cdb_length,
                                                    from.has_service_action};
                 });
  return commands;
}

Status Open(const ScsiPrConfig& config, ScsiPrDevice* device) {
  scsi_pr::Nexus nexus;
  scsi_pr::Attacher owner("");
  if (Status status = ParseNexus(config, &nexus); !status.ok()) return status;
  if (Status status = ParseOwner(config, &owner); !status.ok()) return status;
  std::shared_ptr<scsi_pr::Store> store;
  using scsi_pr::Store;
  const auto mode = config.incoming ? Store::OpenMode::kIncoming : Store::OpenMode::kCreate;
  Store::OpenOptions how(mode);
  how.runtime_directory = OrEmpty(config.runtime_dir);
  how.accept_file_system = config.accept_file_system;
  how.user = owner.name;
  if (config.patience_ms != 0) how.patience = std::chrono::milliseconds(config.patience_ms);
  Status status = Store::Open(config.store, how, &store);
  if (!status.ok()) return status;
  scsi_pr::DeviceServer::Options options;
  if (config.abort_timeout_ms != 0) {
    options.abort_timeout = std::chrono::milliseconds(config.abort_timeout_ms);
  }
  options.commands = Commands(config);
  options.listener = device;
  options.incoming = config.incoming;
  return scsi_pr::DeviceServer::Open(std::move(store), nexus, owner, std::move(options),
                                     &device->server);
}

}  // namespace

extern "C" {

void scsi_pr_error_clear(ScsiPrError* error) {
  free(error->message);
  free(error->hint);
  *error = {};
}

ScsiPrDevice* scsi_pr_device_new(const ScsiPrConfig* config, ScsiPrError* error) {
  auto device = std::make_unique<ScsiPrDevice>(*config);
  const Status status =
      scsi_pr::Guarded(config->store, [&] { return Open(*config, device.get()); });
  return Succeeds(status, error) ? device.release() : nullptr;
}

bool scsi_pr_set_medium(ScsiPrDevice* device, const char* medium, const char* name,
                        ScsiPrError* error) {
  const auto set = [&] {
    const Status status = CheckMedium(OrEmpty(medium));
    return status.ok()
               ? device->server->SetMedium(OrEmpty(medium), scsi_pr::Printable(OrEmpty(name)))
               : status;
  };
  return Succeeds(device->Guarded(set), error);
}

void scsi_pr_device_free(ScsiPrDevice* device) { delete device; }

ScsiPrAdmission scsi_pr_enter(ScsiPrDevice* device, const uint8_t* cdb, size_t cdb_length,
                              ScsiPrTask* task) {
  if (task->entered) return SCSI_PR_ADMITTED;
  const AccessClass access = scsi_pr::Classify(ByteSpan(cdb, cdb_length));
  if (access == AccessClass::kReservation) {
    const auto refusal = device->server->Refuses(access);
    return refusal ? Refuse(*device, *refusal) : SCSI_PR_EXECUTE;
  }
  WhyNot why;  // set where it is refused
  const auto epoch = device->server->Enter(access, &why);
  if (!epoch) return Refuse(*device, why);
  *task = {true, *epoch};
  return SCSI_PR_ADMITTED;
}

void scsi_pr_leave(ScsiPrDevice* device, ScsiPrTask* task) {
  if (!task->entered) return;
  task->entered = false;
  device->server->Leave(task->epoch);
}

bool scsi_pr_is_awaited(ScsiPrDevice* device, const ScsiPrTask* task) {
  return task->entered && device->server->IsAwaited(task->epoch);
}

bool scsi_pr_fenced_since(ScsiPrDevice* device, const ScsiPrTask* task) {
  return device->server->FencedSince(task->epoch);
}

bool scsi_pr_is_being_fenced(ScsiPrDevice* device) { return device->server->IsBeingFenced(); }

void scsi_pr_execute(ScsiPrDevice* device, const uint8_t* cdb, size_t cdb_length,
                     const uint8_t* data, size_t data_length, ScsiPrCallback* callback,
                     void* opaque) {
  const ByteSpan data_out = DataOut(data, data_length);
  const auto done = [callback, opaque](const scsi_pr::Response& response) {
    Tell(response, callback, opaque);
  };
  const Status status = device->Guarded([&] {
    device->server->Execute(ByteVector(cdb, cdb + cdb_length),
                            ByteVector(data_out.begin(), data_out.end()), done);
    return Status();
  });
  if (!status.ok()) done({scsi_pr::ScsiStatus::kBusy});
}

bool scsi_pr_execute_now(ScsiPrDevice* device, const uint8_t* cdb, size_t cdb_length,
                         const uint8_t* data, size_t data_length, ScsiPrCallback* callback,
                         void* opaque) {
  scsi_pr::Response response;
  if (!device->server->TryExecute(ByteSpan(cdb, cdb_length), DataOut(data, data_length),
                                  &response)) {
    return false;
  }
  Tell(response, callback, opaque);
  return true;
}

bool scsi_pr_reports(const uint8_t* cdb, size_t cdb_length) {
  const auto parsed = scsi_pr::ParseReportSupportedOperationCodes(ByteSpan(cdb, cdb_length));
  const auto* request = std::get_if<scsi_pr::ReportSupportedOperationCodes>(&parsed);
  return request != nullptr && Concerns(*request, scsi_pr::ReservationCommands());
}

uint8_t* scsi_pr_merge_reports(const uint8_t* data, size_t data_length, bool timeouts,
                               size_t* merged_length) {
  const ByteVector merged =
      scsi_pr::MergeReports(ByteSpan(data, data_length), timeouts, scsi_pr::ReservationCommands());
  auto* copy = static_cast<uint8_t*>(malloc(merged.size()));
  std::ranges::copy(merged, copy);
  *merged_length = merged.size();
  return copy;
}

void scsi_pr_data_free(uint8_t* data) { free(data); }

bool scsi_pr_take_unit_attention(ScsiPrDevice* device, ScsiPrSense* sense) {
  const auto taken = device->server->TakeUnitAttention();
  if (taken) *sense = {taken->key, taken->asc, taken->ascq};
  return taken.has_value();
}

void scsi_pr_reset(ScsiPrDevice* device, ScsiPrReset reset) {
  const auto which = reset == SCSI_PR_LOGICAL_UNIT_RESET ? scsi_pr::Reset::kLogicalUnit
                                                         : scsi_pr::Reset::kNexusLoss;
  Ignore(device->Guarded([&] { return device->server->ResetOccurred(which), Status(); }));
}

void scsi_pr_text_free(char* text) { free(text); }

char* scsi_pr_identify(ScsiPrDevice* device, ScsiPrError* error) {
  return Text(
      *device, [&](std::string* text) { return device->server->Identify(text); }, error);
}

bool scsi_pr_recognize(ScsiPrDevice* device, const char* identity, ScsiPrError* error) {
  return Succeeds(device->Guarded([&] { return device->server->Recognize(identity); }), error);
}

char* scsi_pr_hand_over(ScsiPrDevice* device, ScsiPrError* error) {
  return Text(
      *device, [&](std::string* text) { return device->server->HandOver(text); }, error);
}

bool scsi_pr_arrive(ScsiPrDevice* device, const char* text, ScsiPrError* error) {
  return Succeeds(device->Guarded([&] { return device->server->Arrive(text); }), error);
}

ScsiPrOwnership scsi_pr_take_over(ScsiPrDevice* device) {
  auto ownership = scsi_pr::Ownership::kNotTaken;
  Ignore(device->Guarded([&] { return ownership = device->server->TakeOver(), Status(); }));
  switch (ownership) {
    case scsi_pr::Ownership::kTaken: return SCSI_PR_TAKEN;
    case scsi_pr::Ownership::kTakenMaybeFenced: return SCSI_PR_TAKEN_ABORT;
    case scsi_pr::Ownership::kNotTaken: break;
  }
  return SCSI_PR_NOT_TAKEN;
}

}  // extern "C"
