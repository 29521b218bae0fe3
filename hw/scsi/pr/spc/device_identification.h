// SPDX-License-Identifier: GPL-2.0-or-later
//
// The Device Identification VPD page, 83h (SPC-3 7.6.3), as another device server returns it, for
// who is an initiator himself: what tells whether two paths lead to one logical unit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "spc/bytes.h"

namespace scsi_pr {

inline constexpr uint8_t kDeviceIdentificationPage = 0x83;

// INQUIRY with EVPD (SPC-3 6.4.1).
ByteVector EncodeInquiry(uint8_t page, uint16_t allocation_length);

// The names of the logical unit among the designators, as text, those that are worldwide unique
// first: naa.…, eui.…, name.… (a SCSI name string), t10.…; hexadecimal but for names. What has
// another association (target port, target device) or is vendor specific names no logical unit.
// Empty: there is none, or `page` is none.
std::vector<std::string> LogicalUnitNames(ByteSpan page);

}  // namespace scsi_pr
