// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/access.h"

#include <array>

#include "spc/opcodes.h"

namespace scsi_pr {

namespace {

// A code whose class depends on more of the CDB than byte 0.
constexpr uint8_t kByServiceAction = 0xFF;
static_assert(kByServiceAction >= kAccessClasses);

consteval std::array<uint8_t, 256> MakeTable() {
  constexpr auto kUnknown = static_cast<uint8_t>(AccessClass::kWrite);
  std::array<uint8_t, 256> table{};
  const auto put_value = [&](uint8_t value, std::initializer_list<uint8_t> codes) {
    for (uint8_t code : codes) {
      // Not a constant: a code in two rows does not compile.
      if (table[code] != kUnknown) throw code;
      table[code] = value;
    }
  };
  const auto put = [&](AccessClass access, std::initializer_list<uint8_t> codes) {
    put_value(static_cast<uint8_t>(access), codes);
  };
  // An operation code in no row may change the medium.
  table.fill(kUnknown);
  put(AccessClass::kUnrestricted,
      {opcode::kInquiry, opcode::kReportLuns, opcode::kRequestSense, opcode::kLogSense});
  put(AccessClass::kTestUnitReady, {opcode::kTestUnitReady, opcode::kReadCapacity10});
  put(AccessClass::kRead,
      {opcode::kRead6, opcode::kRead10, opcode::kRead12, opcode::kRead16, opcode::kPreFetch10,
       opcode::kPreFetch16, opcode::kVerify10, opcode::kVerify12, opcode::kVerify16,
       opcode::kReadDefectData10, opcode::kReadDefectData12, opcode::kModeSense6,
       opcode::kModeSense10, opcode::kReceiveDiagnosticResults, opcode::kReadAttribute,
       opcode::kSecurityProtocolIn});
  put(AccessClass::kReadBuffer, {opcode::kReadBuffer});
  put(AccessClass::kWriteBuffer, {opcode::kWriteBuffer});
  put(AccessClass::kReservation,
      {opcode::kPersistentReserveIn, opcode::kPersistentReserveOut, opcode::kReserve6,
       opcode::kReserve10, opcode::kRelease6, opcode::kRelease10});
  put_value(kByServiceAction,
            {opcode::kStartStopUnit, opcode::kPreventAllowMediumRemoval, opcode::kServiceActionIn16,
             opcode::kMaintenanceIn, opcode::kVariableLength});
  return table;
}

constexpr std::array<uint8_t, 256> kTable = MakeTable();

AccessClass ClassifyMaintenanceIn(uint8_t action) {
  switch (action) {
    case service_action::kReportTargetPortGroups: return AccessClass::kStartUnit;
    case service_action::kReportIdentifyingInformation:
    case service_action::kReportPriority:
    case service_action::kReportTimestamp:
    case service_action::kReportAliases: return AccessClass::kTestUnitReady;
    case service_action::kReportSupportedOperationCodes:
    case service_action::kReportSupportedTaskManagementFunctions: return AccessClass::kRead;
    default: return AccessClass::kWrite;
  }
}

AccessClass ClassifyServiceActionIn16(uint8_t action) {
  switch (action) {
    case service_action::kReadCapacity16: return AccessClass::kTestUnitReady;
    case service_action::kGetLbaStatus: return AccessClass::kRead;
    default: return AccessClass::kWrite;
  }
}

AccessClass ClassifyVariableLength(ByteSpan cdb) {
  if (cdb.size() < 10) return AccessClass::kWrite;
  switch (LoadBE<uint16_t>(cdb, 8)) {
    case service_action::kRead32:
    case service_action::kVerify32: return AccessClass::kRead;
    default: return AccessClass::kWrite;
  }
}

AccessClass ClassifyByServiceAction(ByteSpan cdb) {
  const AccessClass conflicts = AccessClass::kWrite;
  if (cdb[0] == opcode::kVariableLength) return ClassifyVariableLength(cdb);
  if (cdb.size() < 6) return conflicts;
  switch (cdb[0]) {
    case opcode::kMaintenanceIn: return ClassifyMaintenanceIn(cdb[1] & 0x1F);
    case opcode::kServiceActionIn16: return ClassifyServiceActionIn16(cdb[1] & 0x1F);
    case opcode::kStartStopUnit: {
      // START=1 and POWER CONDITION=0 only starts what is stopped.
      const bool only_starts = (cdb[4] & 0xF1) == 0x01;
      return only_starts ? AccessClass::kStartUnit : conflicts;
    }
    case opcode::kPreventAllowMediumRemoval:
      return (cdb[4] & 0x03) == 0 ? AccessClass::kAllowMediumRemoval : conflicts;
    default: return conflicts;
  }
}

}  // namespace

AccessClass Classify(ByteSpan cdb) {
  if (cdb.empty()) return AccessClass::kWrite;
  const uint8_t entry = kTable[cdb[0]];
  return entry == kByServiceAction ? ClassifyByServiceAction(cdb) : static_cast<AccessClass>(entry);
}

AccessMask AllowedAccess(const State& state, const Nexus& nexus) {
  constexpr AccessMask kAlways = Bit(AccessClass::kUnrestricted) | Bit(AccessClass::kReservation);
  constexpr AccessMask kUnderLegacy = kAlways | Bit(AccessClass::kAllowMediumRemoval);
  constexpr AccessMask kUnderExclusiveAccess =
      kUnderLegacy | Bit(AccessClass::kStartUnit) | Bit(AccessClass::kTestUnitReady);
  constexpr AccessMask kUnderWriteExclusive =
      kUnderExclusiveAccess | Bit(AccessClass::kRead) | Bit(AccessClass::kReadBuffer);
  constexpr AccessMask kWhileLost = kAlways | Bit(AccessClass::kStartUnit) |
                                    Bit(AccessClass::kReadBuffer) | Bit(AccessClass::kWriteBuffer) |
                                    kInformationLost;

  if (state.information_lost) return kWhileLost;
  if (state.legacy_holder) return state.legacy_holder == nexus ? kFullAccess : kUnderLegacy;
  if (!state.reservation || state.IsHolder(nexus)) return kFullAccess;
  const Type type = state.reservation->type;
  if (RegistrantsHaveAccess(type) && state.Find(nexus) != nullptr) return kFullAccess;
  return IsExclusiveAccess(type) ? kUnderExclusiveAccess : kUnderWriteExclusive;
}

}  // namespace scsi_pr
