// SPDX-License-Identifier: GPL-2.0-or-later
#include "server/reservation_commands.h"

#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr {

namespace {

constexpr SupportedCommand In(InAction action) {
  return {{opcode::kPersistentReserveIn, static_cast<uint8_t>(action), 0, 0, 0, 0, 0, 0xFF, 0xFF},
          10,
          true};
}

// SCOPE and TYPE are looked at by those actions that make or change a
// reservation, or must know which one is meant.
constexpr SupportedCommand Out(OutAction action, bool scope_and_type) {
  const uint8_t byte2 = scope_and_type ? 0xFF : 0;
  return {{opcode::kPersistentReserveOut, static_cast<uint8_t>(action), byte2, 0, 0, 0xFF, 0xFF,
           0xFF, 0xFF},
          10,
          true};
}

// Without EXTENT and third party, which are refused, all fields are ignored.
constexpr SupportedCommand Legacy(uint8_t operation_code, uint8_t cdb_length) {
  return {{operation_code}, cdb_length, false};
}

constexpr SupportedCommand kCommands[] = {
    Legacy(opcode::kReserve6, 6),
    Legacy(opcode::kRelease6, 6),
    Legacy(opcode::kReserve10, 10),
    Legacy(opcode::kRelease10, 10),
    In(InAction::kReadKeys),
    In(InAction::kReadReservation),
    In(InAction::kReportCapabilities),
    In(InAction::kReadFullStatus),
    Out(OutAction::kRegister, false),
    Out(OutAction::kReserve, true),
    Out(OutAction::kRelease, true),
    Out(OutAction::kClear, false),
    Out(OutAction::kPreempt, true),
    Out(OutAction::kPreemptAndAbort, true),
    Out(OutAction::kRegisterAndIgnoreExistingKey, false),
    Out(OutAction::kRegisterAndMove, false),
    Out(OutAction::kReplaceLostReservation, true),
    {{opcode::kMaintenanceIn, service_action::kReportSupportedOperationCodes, 0x87, 0xFF, 0xFF,
      0xFF, 0xFF, 0xFF, 0xFF, 0xFF},
     12,
     true},
};

}  // namespace

std::span<const SupportedCommand> ReservationCommands() { return kCommands; }

}  // namespace scsi_pr
