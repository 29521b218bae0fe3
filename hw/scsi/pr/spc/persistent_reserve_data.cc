// SPDX-License-Identifier: GPL-2.0-or-later
#include "spc/persistent_reserve_data.h"

namespace scsi_pr {

namespace {

constexpr size_t kHeader = 8;  // PRGENERATION, ADDITIONAL LENGTH

}  // namespace

bool ParseReadReservation(ByteSpan data, std::optional<HeldReservation>* held) {
  constexpr size_t kDescriptor = 16;
  held->reset();
  if (data.size() < kHeader) return false;
  const auto length = LoadBE<uint32_t>(data, 4);
  if (length == 0) return true;
  if (length < kDescriptor || data.size() < kHeader + kDescriptor) return false;
  const uint8_t scope_and_type = data[21];
  const auto type = static_cast<uint8_t>(scope_and_type & 0xF);
  if (scope_and_type >> 4 != kLogicalUnitScope || !IsKnownType(type)) return false;
  *held = HeldReservation{LoadBE<uint64_t>(data, kHeader), static_cast<Type>(type)};
  return true;
}

bool ParseReadKeys(ByteSpan data, std::vector<uint64_t>* keys, size_t* total) {
  constexpr size_t kKey = 8;
  keys->clear();
  if (data.size() < kHeader) return false;
  *total = LoadBE<uint32_t>(data, 4) / kKey;
  for (size_t i = 0; i < *total && kHeader + (i + 1) * kKey <= data.size(); i++) {
    keys->push_back(LoadBE<uint64_t>(data, kHeader + i * kKey));
  }
  return true;
}

}  // namespace scsi_pr
