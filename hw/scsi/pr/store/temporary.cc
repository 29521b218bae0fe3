// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/temporary.h"

#include <fcntl.h>
#include <glib.h>

namespace scsi_pr {

int CreateTemporary(const std::string& path, std::string* name) {
  gchar* unique = g_uuid_string_random();
  *name = path + ".new-" + unique;
  g_free(unique);
  return open(name->c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);
}

}  // namespace scsi_pr
