// SPDX-License-Identifier: GPL-2.0-or-later
//
// Text from outside: names, paths, what an operating system or a neighbour says. It
// becomes text that terminals and JSON readers take where it enters.
#pragma once

#include <limits>
#include <string>
#include <string_view>

namespace scsi_pr {

// 66 code points that are no characters; JSON readers, QEMU's among them, refuse them.
constexpr bool IsNoncharacter(char32_t c) {
  return (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

// `text` as UTF-8 that can be printed on one line, cut at a character to at most
// `max_bytes` bytes. REPLACEMENT CHARACTER (U+FFFD) takes the place of what is not UTF-8, of
// controls (C0, DEL, C1), line separators and noncharacters, and of format characters, which are
// invisible or change the order of what follows.
std::string Printable(std::string_view text, size_t max_bytes = std::numeric_limits<size_t>::max());

// `text`, which is UTF-8, with U+FFFD in place of noncharacters alone.
std::string WithoutNoncharacters(std::string text);

}  // namespace scsi_pr
