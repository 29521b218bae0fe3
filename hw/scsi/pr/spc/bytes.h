// SPDX-License-Identifier: GPL-2.0-or-later
//
// Big-endian fields of CDBs and parameter data. SCSI is big-endian
// throughout; nothing else in this project swaps bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace scsi_pr {

using ByteSpan = std::span<const uint8_t>;
using ByteVector = std::vector<uint8_t>;

// Loads the `Int`-sized big-endian field at `offset`. The caller has checked
// that the field lies inside `bytes`.
template <typename Int>
Int LoadBE(ByteSpan bytes, size_t offset) {
  Int value = 0;
  for (size_t i = 0; i < sizeof(Int); i++) {
    value = static_cast<Int>((static_cast<uint64_t>(value) << 8) | bytes[offset + i]);
  }
  return value;
}

template <typename Int>
void StoreBE(std::span<uint8_t> bytes, size_t offset, Int value) {
  for (size_t i = 0; i < sizeof(Int); i++) {
    bytes[offset + i] =
        static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * (sizeof(Int) - 1 - i)));
  }
}

template <typename Int>
void AppendBE(ByteVector& bytes, Int value) {
  bytes.resize(bytes.size() + sizeof(Int));
  StoreBE(std::span<uint8_t>(bytes), bytes.size() - sizeof(Int), value);
}

}  // namespace scsi_pr
