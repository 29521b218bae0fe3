// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/reserve.h"

#include "spc/control.h"
#include "spc/opcodes.h"

namespace scsi_pr {

std::variant<LegacyAction, Sense> ParseReserve(ByteSpan cdb) {
  // Byte 1. SPC-2 has no EXTENT any more; whoever sets it wants less than we do.
  constexpr uint8_t kThirdParty = 0x10;
  constexpr uint8_t kExtent = 0x01;

  if (cdb.empty()) return sense::kInvalidFieldInCdb;
  const bool long_form = cdb[0] == opcode::kReserve10 || cdb[0] == opcode::kRelease10;
  const size_t length = long_form ? 10 : 6;
  if (cdb.size() < length || AsksForAcaOrLink(cdb[length - 1]) ||
      (cdb[1] & (kThirdParty | kExtent)) != 0) {
    return sense::kInvalidFieldInCdb;
  }
  const bool reserve = cdb[0] == opcode::kReserve6 || cdb[0] == opcode::kReserve10;
  return reserve ? LegacyAction::kReserve : LegacyAction::kRelease;
}

ByteVector EncodeReserve6(LegacyAction action) {
  ByteVector cdb(6);
  cdb[0] = action == LegacyAction::kReserve ? opcode::kReserve6 : opcode::kRelease6;
  return cdb;
}

}  // namespace scsi_pr
