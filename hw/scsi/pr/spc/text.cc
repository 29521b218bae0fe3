// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/text.h"

#include <glib.h>

#include <algorithm>

namespace scsi_pr {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

bool IsPrintable(gunichar c) {
  switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_FORMAT:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR: return false;
    default: return !IsNoncharacter(c);
  }
}

// Takes the first character off `*text`; a byte, if that begins none.
std::string_view TakeCharacter(std::string_view* text, gunichar* c) {
  constexpr auto kInvalid = static_cast<gunichar>(-2);  // or -1
  *c = g_utf8_get_char_validated(text->data(), static_cast<gssize>(text->size()));
  // Of a null some versions of GLib say that it is incomplete.
  const bool valid = *c < kInvalid && text->front() != '\0';
  const size_t length = valid ? g_utf8_skip[static_cast<guchar>(text->front())] : 1;
  if (!valid) *c = 0xFFFF;  // no character
  const std::string_view taken = text->substr(0, length);
  text->remove_prefix(taken.size());
  return taken;
}

template <typename IsAllowed>
std::string Replaced(std::string_view text, size_t max_bytes, IsAllowed is_allowed) {
  std::string result;
  while (!text.empty()) {
    gunichar c = 0;
    const std::string_view taken = TakeCharacter(&text, &c);
    const std::string_view next = is_allowed(c) ? taken : kReplacement;
    if (next.size() > max_bytes - result.size()) break;
    result += next;
  }
  return result;
}

}  // namespace

std::string Printable(std::string_view text, size_t max_bytes) {
  return Replaced(text, max_bytes, IsPrintable);
}

std::string WithoutNoncharacters(std::string text) {
  // Nearly every text has none: those of UTF-8 begin with such a byte.
  const auto may_begin_one = [](unsigned char c) { return c >= 0xEF; };
  if (std::ranges::none_of(text, may_begin_one)) return text;
  return Replaced(text, std::numeric_limits<size_t>::max(),
                  [](gunichar c) { return !IsNoncharacter(c); });
}

}  // namespace scsi_pr
