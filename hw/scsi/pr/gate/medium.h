// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a nexus shows as its logical unit, as far as the host can tell two apart.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace scsi_pr {

// A regular file: its file system (st_dev) and its number there. Inode 0: not known,
// or no regular file.
struct Medium {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint64_t inode = 0;
};

// Whether the two are different for sure. Under several names, in several mount
// namespaces, a file has one inode. File systems without a block device (major 0) may
// be one under two numbers: a network file system that is mounted twice, say.
inline bool AreDifferent(const Medium& a, const Medium& b) {
  if (a.inode == 0 || b.inode == 0) return false;
  if (a.major == b.major && a.minor == b.minor) return a.inode != b.inode;
  return a.major != 0 && b.major != 0;
}

// Who attaches a nexus: for people ("VM a, device disk0"), and with what, if others
// that attach shall be refused with something else.
struct Attacher {
  Attacher(std::string text, Medium file = {}) : name(std::move(text)), medium(file) {}
  Attacher(const char* text) : name(text) {}

  std::string name;
  Medium medium;
};

}  // namespace scsi_pr
