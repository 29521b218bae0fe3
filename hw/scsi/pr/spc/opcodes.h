// SPDX-License-Identifier: GPL-2.0-or-later
//
// Operation codes and service actions (SPC-3 and SBC-3, their annexes of
// numeric order codes). Only those that the access table names.
#pragma once

#include <cstdint>

namespace scsi_pr::opcode {

inline constexpr uint8_t kTestUnitReady = 0x00;
inline constexpr uint8_t kRequestSense = 0x03;
inline constexpr uint8_t kRead6 = 0x08;
inline constexpr uint8_t kInquiry = 0x12;
inline constexpr uint8_t kReserve6 = 0x16;
inline constexpr uint8_t kRelease6 = 0x17;
inline constexpr uint8_t kModeSense6 = 0x1A;
inline constexpr uint8_t kStartStopUnit = 0x1B;
inline constexpr uint8_t kReceiveDiagnosticResults = 0x1C;
inline constexpr uint8_t kPreventAllowMediumRemoval = 0x1E;
inline constexpr uint8_t kReadCapacity10 = 0x25;
inline constexpr uint8_t kRead10 = 0x28;
inline constexpr uint8_t kVerify10 = 0x2F;
inline constexpr uint8_t kPreFetch10 = 0x34;
inline constexpr uint8_t kReadDefectData10 = 0x37;
inline constexpr uint8_t kWriteBuffer = 0x3B;
inline constexpr uint8_t kReadBuffer = 0x3C;
inline constexpr uint8_t kLogSense = 0x4D;
inline constexpr uint8_t kReserve10 = 0x56;
inline constexpr uint8_t kRelease10 = 0x57;
inline constexpr uint8_t kModeSense10 = 0x5A;
inline constexpr uint8_t kPersistentReserveIn = 0x5E;
inline constexpr uint8_t kPersistentReserveOut = 0x5F;
inline constexpr uint8_t kVariableLength = 0x7F;
inline constexpr uint8_t kRead16 = 0x88;
inline constexpr uint8_t kReadAttribute = 0x8C;
inline constexpr uint8_t kVerify16 = 0x8F;
inline constexpr uint8_t kPreFetch16 = 0x90;
inline constexpr uint8_t kServiceActionIn16 = 0x9E;
inline constexpr uint8_t kReportLuns = 0xA0;
inline constexpr uint8_t kSecurityProtocolIn = 0xA2;
inline constexpr uint8_t kMaintenanceIn = 0xA3;
inline constexpr uint8_t kRead12 = 0xA8;
inline constexpr uint8_t kVerify12 = 0xAF;
inline constexpr uint8_t kReadDefectData12 = 0xB7;

}  // namespace scsi_pr::opcode

namespace scsi_pr::service_action {

// MAINTENANCE IN (A3h), CDB byte 1 bits 4-0.
inline constexpr uint8_t kReportIdentifyingInformation = 0x05;
inline constexpr uint8_t kReportTargetPortGroups = 0x0A;
inline constexpr uint8_t kReportAliases = 0x0B;
inline constexpr uint8_t kReportSupportedOperationCodes = 0x0C;
inline constexpr uint8_t kReportSupportedTaskManagementFunctions = 0x0D;
inline constexpr uint8_t kReportPriority = 0x0E;
inline constexpr uint8_t kReportTimestamp = 0x0F;

// SERVICE ACTION IN(16) (9Eh), CDB byte 1 bits 4-0.
inline constexpr uint8_t kReadCapacity16 = 0x10;
inline constexpr uint8_t kGetLbaStatus = 0x12;

// Variable-length CDB (7Fh), CDB bytes 8-9.
inline constexpr uint16_t kRead32 = 0x0009;
inline constexpr uint16_t kVerify32 = 0x000A;

}  // namespace scsi_pr::service_action
