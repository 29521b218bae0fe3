// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <glib.h>

#include <string>

namespace scsi_pr {

inline std::string RandomUuid() {
  gchar* uuid = g_uuid_string_random();
  std::string text = uuid;
  g_free(uuid);
  return text;
}

inline bool IsUuid(const std::string& text) { return g_uuid_string_is_valid(text.c_str()) != 0; }

}  // namespace scsi_pr
