// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/sense_data.h"

#include <cstdio>
#include <iterator>

namespace scsi_pr {

namespace {

constexpr const char* kSenseKeys[] = {
    "NO SENSE",       "RECOVERED ERROR", "NOT READY",      "MEDIUM ERROR",
    "HARDWARE ERROR", "ILLEGAL REQUEST", "UNIT ATTENTION", "DATA PROTECT",
    "BLANK CHECK",    "VENDOR SPECIFIC", "COPY ABORTED",   "ABORTED COMMAND",
    "RESERVED",       "VOLUME OVERFLOW", "MISCOMPARE",     "COMPLETED",
};
static_assert(std::size(kSenseKeys) == 16);

}  // namespace

std::optional<Sense> ParseSenseData(ByteSpan bytes) {
  constexpr uint8_t kFixed = 0x70;
  constexpr uint8_t kDescriptor = 0x72;
  const auto byte = [&](size_t i) { return i < bytes.size() ? bytes[i] : uint8_t{0}; };
  const auto code = static_cast<uint8_t>(byte(0) & 0x7F);
  // Tables 13 and 26.
  if (code == kDescriptor && bytes.size() >= 2) {
    return Sense{static_cast<uint8_t>(byte(1) & 0xF), byte(2), byte(3)};
  }
  if (code == kFixed && bytes.size() >= 3) {
    return Sense{static_cast<uint8_t>(byte(2) & 0xF), byte(12), byte(13)};
  }
  return std::nullopt;
}

std::string SenseText(Sense sense) {
  char codes[32];
  std::snprintf(codes, sizeof codes, " (%xh/%02xh/%02xh)", sense.key & 0xF, sense.asc, sense.ascq);
  return std::string(kSenseKeys[sense.key & 0xF]) + codes;
}

}  // namespace scsi_pr
