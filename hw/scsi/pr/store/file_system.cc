// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/file_system.h"

#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>

namespace scsi_pr {

namespace {

constexpr uint32_t kTmpfs = 0x01021994;
constexpr uint32_t kRamfs = 0x858458F6;
constexpr uint32_t kOverlay = 0x794C7630;

// One kernel mounts them, and an open file keeps its number and its locks. (VFAT and
// exFAT: no links, by which stores are made. Many of them have no number in
// linux/magic.h.)
constexpr std::array kAllowed{
    uint32_t{0x0000EF53},  // ext2, ext3, ext4
    uint32_t{0x58465342},  // XFS
    uint32_t{0x9123683E},  // Btrfs
    uint32_t{0xF2F52010},  // F2FS
    uint32_t{0x2FC12FC1},  // ZFS
    uint32_t{0xCA451A4E},  // bcachefs
    uint32_t{0x3153464A},  // JFS
    uint32_t{0x52654973},  // ReiserFS
    uint32_t{0x00003434},  // NILFS2
    kTmpfs,
    kRamfs,
    kOverlay,  // and see SeesOneFile()
};

// For people; what is in neither table is refused, too.
struct Named {
  uint32_t type;
  const char* name;
};
constexpr std::array kNamed{
    Named{0x00006969, "NFS"},      Named{0xFF534D42, "SMB"},    Named{0xFE534D42, "SMB"},
    Named{0x0000517B, "SMB"},      Named{0x00C36400, "Ceph"},   Named{0x01021997, "9P"},
    Named{0x7461636F, "OCFS2"},    Named{0x01161970, "GFS2"},   Named{0x0BD00BD0, "Lustre"},
    Named{0x65735546, "FUSE"},     Named{0x5346414F, "AFS"},    Named{0x6B414653, "AFS"},
    Named{0x0000F15F, "eCryptfs"}, Named{0x73757245, "Coda"},   Named{0x47504653, "GPFS"},
    Named{0xAAD7AAEA, "PanFS"},    Named{0x013111A8, "IBRIX"},  Named{0x19830326, "BeeGFS"},
    Named{0x786F4256, "vboxsf"},   Named{0xBACBACBC, "vmhgfs"}, Named{0x00004D44, "FAT"},
    Named{0x2011BAB0, "exFAT"},    Named{0x5346544E, "NTFS"},   Named{0x7366746E, "NTFS"},
};

std::string NameOf(uint32_t type) {
  const auto* named = std::ranges::find(kNamed, type, &Named::type);
  std::array<char, sizeof "type 0x12345678"> number{};
  snprintf(number.data(), number.size(), "type 0x%08x", type);
  if (named == kNamed.end()) return number.data();
  return std::string(named->name) + " (" + number.data() + ")";
}

std::optional<uint32_t> TypeOf(int fd) {
  struct statfs info = {};
  if (fstatfs(fd, &info) != 0) return std::nullopt;
  return static_cast<uint32_t>(info.f_type);
}

Status CannotUse(const std::string& path) {
  return Status::Error(Status::Code::kIo, "cannot use " + path + ": " + strerror(errno));
}

// What is opened to be written to moves from a lower layer to the upper one: who
// opened it before, or looks at it through another overlay, has another file then.
bool SeesOneFile(int fd, const std::string& path) {
  struct stat opened = {};
  struct stat named = {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

Status Refuse(const std::string& message) {
  return Status::Error(Status::Code::kInvalid, message,
                       "A file: store serves the VMs of one host. Put it on a local file system "
                       "(ext4, XFS, Btrfs, ...). If all that use it are of this host, and see one "
                       "file, set pr-accept-file-system=on.");
}

}  // namespace

Status CheckFileSystem(int fd, const std::string& path, bool accept) {
  if (accept) return Status();
  const auto type = TypeOf(fd);
  if (!type) return CannotUse(path);
  if (std::ranges::find(kAllowed, *type) == kAllowed.end()) {
    return Refuse(path + " is on a file system, " + NameOf(*type) +
                  ", where others may see another file under this name, or be on other hosts");
  }
  if (*type == kOverlay && !SeesOneFile(fd, path)) {
    return Refuse(path + " on an overlay is another file than the one that was opened");
  }
  return Status();
}

Status CheckIsMemory(int fd, const std::string& path) {
  const auto type = TypeOf(fd);
  if (!type) return CannotUse(path);
  if (*type == kTmpfs || *type == kRamfs) return Status();
  return Status::Error(Status::Code::kInvalid, "the runtime directory " + path + " is not on tmpfs",
                       "A disk's file system may be full or frozen, which would stop every VM. "
                       "Name a directory on tmpfs, below /run for example.");
}

}  // namespace scsi_pr
