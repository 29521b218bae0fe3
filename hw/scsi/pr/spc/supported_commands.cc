// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/supported_commands.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "spc/control.h"
#include "spc/opcodes.h"

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

// The command descriptor: 8 bytes, or with CTDP the timeouts behind them.
constexpr size_t kHeader = 4;
constexpr size_t kDescriptor = 8;
constexpr uint8_t kDescriptorCtdp = 0x02;
constexpr uint8_t kServactv = 0x01;

ByteVector Descriptor(const SupportedCommand& command, bool timeouts) {
  ByteVector data = {command.operation_code(), 0};
  AppendBE<uint16_t>(data, command.service_action());
  data.push_back(0);
  data.push_back(static_cast<uint8_t>((timeouts ? kDescriptorCtdp : 0) |
                                      (command.has_service_action ? kServactv : 0)));
  AppendBE<uint16_t>(data, command.cdb_length);
  if (timeouts) AppendTimeouts(data);
  return data;
}

ByteVector Joined(const std::vector<ByteVector>& descriptors) {
  ByteVector data(kHeader);
  for (const ByteVector& each : descriptors) data.insert(data.end(), each.begin(), each.end());
  StoreBE<uint32_t>(data, 0, static_cast<uint32_t>(data.size() - kHeader));
  return data;
}

std::vector<ByteVector> Descriptors(std::span<const SupportedCommand> commands, bool timeouts) {
  std::vector<ByteVector> descriptors;
  for (const SupportedCommand& command : commands) {
    descriptors.push_back(Descriptor(command, timeouts));
  }
  return descriptors;
}

// The whole ones in a report that somebody else has made.
std::vector<ByteVector> Split(ByteSpan report) {
  std::vector<ByteVector> descriptors;
  if (report.size() < kHeader) return descriptors;
  ByteSpan rest = report.subspan(kHeader);
  rest = rest.first(std::min<size_t>(rest.size(), LoadBE<uint32_t>(report, 0)));
  while (rest.size() >= kDescriptor) {
    size_t length = kDescriptor;
    if ((rest[5] & kDescriptorCtdp) != 0) {
      if (rest.size() < kDescriptor + 2) break;
      length += 2 + LoadBE<uint16_t>(rest, kDescriptor);
    }
    if (rest.size() < length) break;
    descriptors.emplace_back(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(length));
    rest = rest.subspan(length);
  }
  return descriptors;
}

// Whether a command is the business of who carries `commands` out: so are all
// service actions of their operation codes. Only MAINTENANCE IN is shared.
bool AreOurs(std::span<const SupportedCommand> commands, uint8_t operation_code,
             uint16_t service_action) {
  return std::ranges::any_of(commands, [&](const SupportedCommand& command) {
    return command.operation_code() == operation_code &&
           (operation_code != opcode::kMaintenanceIn || command.service_action() == service_action);
  });
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

std::variant<ByteVector, Sense> ReportOperationCodes(const ReportSupportedOperationCodes& request,
                                                     std::span<const SupportedCommand> commands) {
  if (request.options == ReportingOptions::kAll) {
    return Joined(Descriptors(commands, request.timeouts));
  }

  const auto with_code =
      std::ranges::find(commands, request.operation_code, &SupportedCommand::operation_code);
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

bool Concerns(const ReportSupportedOperationCodes& request,
              std::span<const SupportedCommand> commands) {
  switch (request.options) {
    case ReportingOptions::kAll: return false;
    case ReportingOptions::kWithoutServiceAction:
      return std::ranges::find(commands, request.operation_code,
                               &SupportedCommand::operation_code) != commands.end();
    default: return AreOurs(commands, request.operation_code, request.service_action);
  }
}

ByteVector MergeReports(ByteSpan report, bool timeouts,
                        std::span<const SupportedCommand> commands) {
  std::vector<ByteVector> merged = Split(report);
  std::erase_if(merged, [&](const ByteVector& descriptor) {
    return AreOurs(commands, descriptor[0], LoadBE<uint16_t>(descriptor, 2));
  });
  std::ranges::move(Descriptors(commands, timeouts), std::back_inserter(merged));
  std::ranges::stable_sort(merged, {}, [](const ByteVector& descriptor) { return descriptor[0]; });
  return Joined(merged);
}

}  // namespace scsi_pr
