// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <glib.h>
#include <sys/random.h>

#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace scsi_pr {

// Of the kernel's random numbers: GLib's go on alike in a process and one that it forks,
// and two stores of one identity are taken for one.
inline void FillRandomly(void* bytes, size_t size) {
  if (getentropy(bytes, size) != 0) throw std::runtime_error("no random numbers");
}

// Not 0.
inline uint64_t RandomNumber() {
  uint64_t number = 0;
  while (number == 0) FillRandomly(&number, sizeof number);
  return number;
}

inline std::string RandomUuid() {
  uint8_t bytes[16];
  FillRandomly(bytes, sizeof bytes);
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0F) | 0x40);  // RFC 4122: version 4
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3F) | 0x80);
  std::string text;
  for (size_t i = 0; i < sizeof bytes; i++) {
    char digits[3];
    snprintf(digits, sizeof digits, "%02x", bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

inline bool IsUuid(const std::string& text) { return g_uuid_string_is_valid(text.c_str()) != 0; }

}  // namespace scsi_pr
