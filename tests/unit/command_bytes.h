// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reservation commands as the bytes that an initiator sends.
#pragma once

#include "spc/bytes.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"

namespace scsi_pr::testing {

// The CDB and the parameter list (tables 105 and 107).
inline ByteVector OutCdb(const PersistentReserveOut& command, uint32_t length = 24) {
  ByteVector cdb(10);
  cdb[0] = opcode::kPersistentReserveOut;
  cdb[1] = static_cast<uint8_t>(command.action);
  cdb[2] = static_cast<uint8_t>(command.scope << 4 | command.type);
  StoreBE(std::span<uint8_t>(cdb), 5, length);
  return cdb;
}
// With the TransportIDs (table 108) where SPEC_I_PT is one.
inline ByteVector OutData(const PersistentReserveOut& command) {
  ByteVector data(24);
  StoreBE(std::span<uint8_t>(data), 0, command.reservation_key);
  StoreBE(std::span<uint8_t>(data), 8, command.service_action_reservation_key);
  data[20] = static_cast<uint8_t>(command.spec_i_pt << 3 | command.all_tg_pt << 2 | command.aptpl);
  if (!command.spec_i_pt) return data;
  ByteVector ids;
  for (const TransportId& id : command.transport_ids) {
    const ByteVector bytes = id.Encode();
    ids.insert(ids.end(), bytes.begin(), bytes.end());
  }
  AppendBE(data, static_cast<uint32_t>(ids.size()));
  data.insert(data.end(), ids.begin(), ids.end());
  return data;
}
// REGISTER AND MOVE as published: SPC-3 r23, 6.12.4.
inline ByteVector MoveData(const PersistentReserveOut& command) {
  const ByteVector id = command.transport_ids.at(0).Encode();
  ByteVector data(24);
  StoreBE(std::span<uint8_t>(data), 0, command.reservation_key);
  StoreBE(std::span<uint8_t>(data), 8, command.service_action_reservation_key);
  data[17] = static_cast<uint8_t>(command.unreg << 1 | command.aptpl);
  StoreBE(std::span<uint8_t>(data), 18, command.target_port);
  StoreBE(std::span<uint8_t>(data), 20, static_cast<uint32_t>(id.size()));
  data.insert(data.end(), id.begin(), id.end());
  return data;
}
inline ByteVector InCdb(InAction action, uint16_t allocation_length) {
  ByteVector cdb(10);
  cdb[0] = opcode::kPersistentReserveIn;
  cdb[1] = static_cast<uint8_t>(action);
  StoreBE(std::span<uint8_t>(cdb), 7, allocation_length);
  return cdb;
}

}  // namespace scsi_pr::testing
