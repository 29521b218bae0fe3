// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sense data as another device server returns it (SPC-3 4.5), for who is an initiator
// himself: bytes to types. It may be anything.
#pragma once

#include <optional>
#include <string>

#include "spc/bytes.h"
#include "spc/sense.h"

namespace scsi_pr {

// SPC-3 table 27. Only those that somebody asks for.
namespace sense_key {

inline constexpr uint8_t kNotReady = 0x2;
inline constexpr uint8_t kUnitAttention = 0x6;
inline constexpr uint8_t kAbortedCommand = 0xB;

}  // namespace sense_key

// Fixed and descriptor format, of the current command (response codes 70h and 72h). Nothing
// where `bytes` are neither, or too short for a sense key; missing codes count as 0.
std::optional<Sense> ParseSenseData(ByteSpan bytes);

// "ILLEGAL REQUEST (5h/20h/00h)": for people.
std::string SenseText(Sense sense);

}  // namespace scsi_pr
