// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: performance-for-range-copy
#include <string>
#include <vector>

size_t Length(const std::vector<std::string>& texts) {
  size_t length = 0;
  for (const std::string text : texts) length += text.size();
  return length;
}
