// SPDX-License-Identifier: GPL-2.0-or-later
//
// REPORT SUPPORTED OPERATION CODES (SPC-4 6.35; SPC-3 6.23 without the command
// timeouts): bytes to types, and the parameter data made from a list of commands.
// What is in the list is the business of those who carry the commands out.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <variant>

#include "spc/bytes.h"
#include "spc/sense.h"

namespace scsi_pr {

// A command that a device server carries out.
struct SupportedCommand {
  // The CDB USAGE DATA field: the operation code; the service action, if there
  // is one, in bits 4-0 of byte 1; else one bits where the device server looks
  // at the CDB. Bytes beyond the CDB are zero.
  std::array<uint8_t, 16> usage{};
  uint8_t cdb_length = 0;  // bytes: 6, 10, 12 or 16
  bool has_service_action = false;

  uint8_t operation_code() const { return usage[0]; }
  uint8_t service_action() const { return has_service_action ? usage[1] & 0x1F : 0; }
};

// The REPORTING OPTIONS field. Other values are reserved.
enum class ReportingOptions : uint8_t {
  kAll = 0,
  kWithoutServiceAction = 1,
  kWithServiceAction = 2,
  kEither = 3,
};

struct ReportSupportedOperationCodes {
  ReportingOptions options = ReportingOptions::kAll;
  bool timeouts = false;  // RCTD: return command timeouts descriptors
  uint8_t operation_code = 0;
  uint16_t service_action = 0;
  uint32_t allocation_length = 0;  // bytes
};

std::variant<ReportSupportedOperationCodes, Sense> ParseReportSupportedOperationCodes(ByteSpan cdb);

// The parameter data, not cut to the allocation length, or INVALID FIELD IN CDB
// when the command asked for has service actions and the options say that it
// has none, or the other way around. `commands` are reported in their order;
// those of one operation code either all have a service action or none has.
std::variant<ByteVector, Sense> ReportOperationCodes(const ReportSupportedOperationCodes& request,
                                                     std::span<const SupportedCommand> commands);

// For a device server that stands between initiators and another one, and
// carries out `commands` in its place: all service actions of their operation
// codes, but of MAINTENANCE IN only those that it names.

// Whether the request asks for one command, and that is one of ours.
bool Concerns(const ReportSupportedOperationCodes& request,
              std::span<const SupportedCommand> commands);

// The parameter data of kAll: what the other one's `report` says, and `commands`
// in place of what it says about ours, sorted by operation code. `report` may be
// anything: what is no whole descriptor is dropped.
ByteVector MergeReports(ByteSpan report, bool timeouts, std::span<const SupportedCommand> commands);

}  // namespace scsi_pr
