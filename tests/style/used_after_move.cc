// SPDX-License-Identifier: GPL-2.0-or-later
// Refused: bugprone-use-after-move
#include <string>
#include <utility>

std::string TwiceTheSame(std::string text) {
  std::string first = std::move(text);
  return first + text;
}
