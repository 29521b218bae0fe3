// SPDX-License-Identifier: GPL-2.0-or-later
//
// The file of a file: store, taken apart and put together by what record_format.h says.
#pragma once

#include <zlib.h>

#include <cstdio>
#include <string>

#include "store/record_format.h"

namespace scsi_pr::testing {

inline size_t SectorOffset(unsigned place, size_t sector) {
  constexpr size_t kSectorsOfABlock = kBlockBytes / kSectorBytes;
  return (2 * (sector / kSectorsOfABlock) + place) * kBlockBytes +
         sector % kSectorsOfABlock * kSectorBytes;
}

// The blocks of one place.
inline std::string BytesOfPlace(const std::string& file, unsigned place) {
  std::string bytes;
  for (size_t at = place * kBlockBytes; at < file.size(); at += 2 * kBlockBytes) {
    bytes += file.substr(at, kBlockBytes);
  }
  return bytes;
}
inline void PutBytesOfPlace(std::string* file, unsigned place, const std::string& bytes) {
  for (size_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const size_t to = 2 * at + place * kBlockBytes;
    if (file->size() < to + kBlockBytes) file->resize(to + kBlockBytes);
    file->replace(to, kBlockBytes, bytes, at, kBlockBytes);
  }
}

inline DiskParts DecodeParts(const std::string& file) {
  DiskParts parts;
  for (unsigned place = 0; place < 2; place++) {
    parts.part[place] = DecodeDiskPart(BytesOfPlace(file, place));
  }
  return parts;
}
inline unsigned NewestPlace(const DiskParts& parts) {
  return parts.part[0].version > parts.part[1].version ? 0 : 1;
}

// Gives each of these sectors the checksum that fits.
inline std::string Sealed(std::string sectors) {
  constexpr size_t kChecksumAt = 43;
  for (size_t at = 0; at + kSectorBytes <= sectors.size(); at += kSectorBytes) {
    std::string line = sectors.substr(at, kSectorBytes);
    line.erase(kChecksumAt, 8);
    char digits[9];
    snprintf(digits, sizeof digits, "%08lx",
             crc32(0, reinterpret_cast<const Bytef*>(line.data()), static_cast<uInt>(line.size())));
    sectors.replace(at + kChecksumAt, 8, digits);
  }
  return sectors;
}

}  // namespace scsi_pr::testing
