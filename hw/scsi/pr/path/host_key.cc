// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/host_key.h"

#include <glib.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>

#include "spc/bytes.h"

namespace scsi_pr {

uint64_t DeriveHostKey(const std::string& machine_id, const std::string& group) {
  const std::string text = "scsi-pr path\n" + machine_id + "\n" + group;
  const std::unique_ptr<GChecksum, decltype(&g_checksum_free)> sum(
      g_checksum_new(G_CHECKSUM_SHA256), g_checksum_free);
  g_checksum_update(sum.get(), reinterpret_cast<const guchar*>(text.data()),
                    static_cast<gssize>(text.size()));
  uint8_t digest[32] = {};
  gsize size = sizeof digest;
  g_checksum_get_digest(sum.get(), digest, &size);
  const auto key = LoadBE<uint64_t>(digest, 0);
  return key != 0 ? key : 1;
}

bool IsMachineId(std::string_view text) {
  constexpr size_t kDigits = 32;
  constexpr std::string_view kHexadecimal = "0123456789abcdef";
  return text.size() == kDigits && text.find_first_not_of(kHexadecimal) == std::string::npos;
}

Status ReadMachineId(std::string* machine_id, const std::string& file) {
  std::string line;
  std::ifstream stream(file);
  std::getline(stream, line);
  if (IsMachineId(line)) {
    *machine_id = line;
    return Status();
  }
  return Status::Error(Status::Code::kIo, file + " has no machine id, which the key is made of",
                       "Run systemd-machine-id-setup, or set a key of this host's own: --key.");
}

}  // namespace scsi_pr
