// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/supported_commands.h"

#include <algorithm>

#include "spc/control.h"

namespace scsi_pr {

namespace {

// SPC-4 table "SUPPORT values"; vendor specific and unknown ones do not occur.
constexpr uint8_t kNotSupported = 0x01;
constexpr uint8_t kAsInStandard = 0x03;

// The command timeouts descriptor, with its length and without any times: how
// long a command takes is the host's business.
void AppendTimeouts(ByteVector& data) {
  constexpr uint16_t kLength = 12;
  AppendBE<uint16_t>(data, kLength - 2);
  data.resize(data.size() + kLength - 2);
}

ByteVector ReportAll(std::span<const SupportedCommand> commands, bool timeouts) {
  constexpr uint8_t kCtdp = 0x02;
  constexpr uint8_t kServactv = 0x01;
  ByteVector data(4);
  for (const SupportedCommand& command : commands) {
    data.push_back(command.operation_code());
    data.push_back(0);
    AppendBE<uint16_t>(data, command.service_action());
    data.push_back(0);
    data.push_back(static_cast<uint8_t>((timeouts ? kCtdp : 0) |
                                        (command.has_service_action ? kServactv : 0)));
    AppendBE<uint16_t>(data, command.cdb_length);
    if (timeouts) AppendTimeouts(data);
  }
  StoreBE<uint32_t>(data, 0, static_cast<uint32_t>(data.size() - 4));
  return data;
}

ByteVector ReportOne(const SupportedCommand* command, bool timeouts) {
  constexpr uint8_t kCtdp = 0x80;
  if (command == nullptr) return {0, kNotSupported, 0, 0};
  ByteVector data = {0, static_cast<uint8_t>(kAsInStandard | (timeouts ? kCtdp : 0))};
  AppendBE<uint16_t>(data, command->cdb_length);
  data.insert(data.end(), command->usage.begin(), command->usage.begin() + command->cdb_length);
  if (timeouts) AppendTimeouts(data);
  return data;
}

}  // namespace

std::variant<ReportSupportedOperationCodes, Sense> ParseReportSupportedOperationCodes(
    ByteSpan cdb) {
  constexpr size_t kCdbLength = 12;
  constexpr uint8_t kRctd = 0x80;
  if (cdb.size() < kCdbLength || AsksForAcaOrLink(cdb[kCdbLength - 1])) {
    return sense::kInvalidFieldInCdb;
  }
  const uint8_t options = cdb[2] & 0x07;
  if (options > static_cast<uint8_t>(ReportingOptions::kEither)) return sense::kInvalidFieldInCdb;
  return ReportSupportedOperationCodes{static_cast<ReportingOptions>(options),
                                       (cdb[2] & kRctd) != 0, cdb[3], LoadBE<uint16_t>(cdb, 4),
                                       LoadBE<uint32_t>(cdb, 6)};
}

std::variant<ByteVector, Sense> Report(const ReportSupportedOperationCodes& request,
                                       std::span<const SupportedCommand> commands) {
  if (request.options == ReportingOptions::kAll) return ReportAll(commands, request.timeouts);

  const auto with_code = std::ranges::find(commands, request.operation_code,
                                           &SupportedCommand::operation_code);
  // Of a code that is not supported nobody can say whether it has service actions.
  if (with_code == commands.end()) return ReportOne(nullptr, request.timeouts);
  const bool has_service_actions = with_code->has_service_action;
  if ((request.options == ReportingOptions::kWithoutServiceAction && has_service_actions) ||
      (request.options == ReportingOptions::kWithServiceAction && !has_service_actions)) {
    return sense::kInvalidFieldInCdb;
  }
  if (request.options == ReportingOptions::kWithoutServiceAction) {
    return ReportOne(&*with_code, request.timeouts);
  }
  const auto found = std::ranges::find_if(commands, [&](const SupportedCommand& command) {
    return command.operation_code() == request.operation_code &&
           command.service_action() == request.service_action;
  });
  return ReportOne(found == commands.end() ? nullptr : &*found, request.timeouts);
}

}  // namespace scsi_pr
