// SPDX-License-Identifier: GPL-2.0-or-later
//
// The CONTROL byte, the last one of a CDB (SAM-3 5.2).
#pragma once

#include <cstdint>

namespace scsi_pr {

// A device server without ACA and without linked commands (the standard
// INQUIRY data says NormACA=0) rejects a CONTROL byte that asks for either.
constexpr bool AsksForAcaOrLink(uint8_t control) {
  constexpr uint8_t kNaca = 0x04;
  constexpr uint8_t kLink = 0x01;
  return (control & (kNaca | kLink)) != 0;
}

}  // namespace scsi_pr
