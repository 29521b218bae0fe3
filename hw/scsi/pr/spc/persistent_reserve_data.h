// SPDX-License-Identifier: GPL-2.0-or-later
//
// What PERSISTENT RESERVE IN of another device server returns (SPC-3 6.11.2, 6.11.3), for who is
// an initiator himself: bytes to types. It may be anything. core/report.h makes such data.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spc/bytes.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr {

// READ RESERVATION (6.11.3).
struct HeldReservation {
  uint64_t key = 0;  // of the holder; 0 with an all registrants type
  Type type = Type::kWriteExclusive;

  friend bool operator==(const HeldReservation&, const HeldReservation&) = default;
};

// False where the data make no sense: too short for what they say of themselves, or a type or
// scope that SPC-3 does not have. `*held` is empty where nobody holds a reservation.
bool ParseReadReservation(ByteSpan data, std::optional<HeldReservation>* held);

// READ KEYS (6.11.2): one for each registration, as far as they are in `data`, which the
// allocation length may have cut. `*total`: of how many the device server speaks. False where the
// header is missing.
bool ParseReadKeys(ByteSpan data, std::vector<uint64_t>* keys, size_t* total);

}  // namespace scsi_pr
