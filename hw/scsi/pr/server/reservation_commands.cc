// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/reservation_commands.h"

#include <algorithm>

#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr {

namespace {

constexpr SupportedCommand In(InAction action) {
  return {{opcode::kPersistentReserveIn, static_cast<uint8_t>(action), 0, 0, 0, 0, 0, 0xFF, 0xFF},
          10,
          true};
}

constexpr SupportedCommand Out(const OutActionRow& row) {
  const uint8_t byte2 = row.scope_and_type ? 0xFF : 0;
  return {{opcode::kPersistentReserveOut, static_cast<uint8_t>(row.action), byte2, 0, 0, 0xFF, 0xFF,
           0xFF, 0xFF},
          10,
          true};
}

// Without EXTENT and third party, which are refused, all fields are ignored.
constexpr SupportedCommand Legacy(uint8_t operation_code, uint8_t cdb_length) {
  return {{operation_code}, cdb_length, false};
}

constexpr SupportedCommand kLegacyCommands[] = {
    Legacy(opcode::kReserve6, 6),
    Legacy(opcode::kRelease6, 6),
    Legacy(opcode::kReserve10, 10),
    Legacy(opcode::kRelease10, 10),
};

constexpr SupportedCommand kReport = {
    {opcode::kMaintenanceIn, service_action::kReportSupportedOperationCodes, 0x87, 0xFF, 0xFF, 0xFF,
     0xFF, 0xFF, 0xFF, 0xFF},
    12,
    true};

constexpr auto kCommands = [] {
  std::array<SupportedCommand,
             std::size(kLegacyCommands) + std::size(kInActions) + std::size(kOutActions) + 1>
      commands;
  auto next = std::ranges::copy(kLegacyCommands, commands.begin()).out;
  next = std::ranges::transform(kInActions, next, In).out;
  next = std::ranges::transform(kOutActions, next, Out).out;
  *next = kReport;
  return commands;
}();

}  // namespace

std::span<const SupportedCommand> ReservationCommands() { return kCommands; }

}  // namespace scsi_pr
