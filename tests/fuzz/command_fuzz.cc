// SPDX-License-Identifier: GPL-2.0-or-later
//
// Commands from several I_T nexuses to one logical unit: CDBs and parameter
// lists as bytes, whatever they are, and after each of them everything that
// must hold. The input is, in a row of
//
//   setting   1 byte: bit 0 PTPL_C, bit 1 whoever executes aborts tasks
//   commands  1 byte: bits 1-0 initiator port, bit 2 target port, bit 7 form
//     form 0: a CDB (as long as its operation code says), 2 bytes length of the
//             data-out, little endian, the data-out
//     form 1: PERSISTENT RESERVE OUT from 6 bytes (BuildOut), or OUT and IN
//             would hardly ever agree about a key
#include <algorithm>
#include <variant>
#include <vector>

#include "core/access.h"
#include "core/legacy.h"
#include "core/report.h"
#include "core/transition.h"
#include "fuzz.h"
#include "invariants.h"
#include "spc/opcodes.h"
#include "spc/persistent_reserve.h"
#include "spc/reserve.h"

namespace scsi_pr {
namespace {

using fuzz::Require;

struct Command {
  Nexus nexus;
  ByteVector cdb;
  ByteVector data_out;
};

// The logical unit that the commands of one input reach.
struct LogicalUnit {
  State state;
  Capabilities capabilities;

  void Execute(const Command& command);
  void Become(const Command& command, Outcome outcome) {
    fuzz::CheckOutcome(state, command.nexus, outcome);
    const bool changed = !(outcome.state == state);
    state = std::move(outcome.state);
    if (changed) fuzz::CheckState(state);
  }
};

// Each family of commands that has code of its own: a command added to the
// core gets a function and a line in kFamilies.

void Out(LogicalUnit& lu, const Command& command) {
  const auto parsed = ParsePersistentReserveOut(command.cdb, command.data_out);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return fuzz::CheckRefusal(*sense);
  lu.Become(command, Apply(lu.state, lu.capabilities, command.nexus,
                           std::get<PersistentReserveOut>(parsed)));
}

void In(LogicalUnit& lu, const Command& command) {
  const auto parsed = ParsePersistentReserveIn(command.cdb);
  if (const Sense* sense = std::get_if<Sense>(&parsed)) return fuzz::CheckRefusal(*sense);
  const auto& in = std::get<PersistentReserveIn>(parsed);
  const ByteVector data = Report(in.action, lu.state, lu.capabilities);
  const size_t most = std::min<size_t>(in.allocation_length, data.size());
  for (size_t length = 0; length <= most; length++) {
    fuzz::CheckReport(in.action, lu.state, data, length);
  }
}

void Legacy(LogicalUnit& lu, const Command& command) {
  const auto parsed = ParseReserve(command.cdb);
  const auto* action = std::get_if<LegacyAction>(&parsed);
  if (action != nullptr) lu.Become(command, ApplyLegacy(lu.state, command.nexus, *action));
}

struct Family {
  uint8_t operation_code;
  void (*execute)(LogicalUnit&, const Command&);
};

constexpr Family kFamilies[] = {
    {opcode::kPersistentReserveOut, Out}, {opcode::kPersistentReserveIn, In},
    {opcode::kReserve6, Legacy},          {opcode::kReserve10, Legacy},
    {opcode::kRelease6, Legacy},          {opcode::kRelease10, Legacy},
};

void LogicalUnit::Execute(const Command& command) {
  // Other commands change nothing here: they are only admitted or not.
  const AccessClass access = Classify(command.cdb);
  fuzz::CheckAccess(state, command.nexus, access);
  if (command.cdb.empty()) return;
  for (const Family& family : kFamilies) {
    if (family.operation_code != command.cdb[0]) continue;
    Require(access == AccessClass::kReservation, "the gate leaves it to the transition");
    family.execute(*this, command);
  }
}

// Reading an input.

const TransportId& Initiator(unsigned number) {
  static const std::vector<TransportId> kPorts = [] {
    std::vector<TransportId> ports;
    std::string error;
    for (const char* text :
         {"naa.5000000000000001", "iqn.b", "iqn.b,i,0x00023d000001", "21:00:00:e0:8b:05:05:04"}) {
      ports.push_back(TransportId::FromText(text, &error).value());
    }
    return ports;
  }();
  return kPorts[number % kPorts.size()];
}

// SPC-3 4.3.4.1: the operation code's group.
size_t CdbLength(uint8_t operation_code) {
  constexpr size_t kLengths[] = {6, 10, 10, 32, 16, 12, 6, 10};
  return kLengths[operation_code >> 5];
}

// action, keys (two numbers below 16), scope and type, flags as in byte 20,
// initiator ports of the list (two bits each, count in bits 7-6), target port.
void BuildOut(fuzz::Reader& reader, Command& command) {
  const uint8_t action = reader.Byte();
  const uint8_t keys = reader.Byte();
  const uint8_t scope_and_type = reader.Byte();
  const uint8_t flags = reader.Byte();
  const uint8_t ids = reader.Byte();
  ByteVector list(20);
  list[7] = keys >> 4;
  list[15] = keys & 0xF;
  const bool move = (action & 0x1F) == static_cast<uint8_t>(OutAction::kRegisterAndMove);
  const bool published = move && (flags & 0x08) == 0;
  if (published) {
    list[17] = flags & 0x03;
    list[19] = reader.Byte();
  } else {
    list.resize(24);
    list[20] = flags;
  }
  ByteVector transport_ids;
  for (unsigned i = 0; i < ids >> 6; i++) {
    const ByteVector id = Initiator((ids >> (2 * i)) & 0x3).Encode();
    transport_ids.insert(transport_ids.end(), id.begin(), id.end());
  }
  if (published || (flags & 0x08) != 0) {
    AppendBE(list, static_cast<uint32_t>(transport_ids.size()));
    list.insert(list.end(), transport_ids.begin(), transport_ids.end());
  }
  command.cdb.assign(10, 0);
  command.cdb[0] = opcode::kPersistentReserveOut;
  command.cdb[1] = action;
  command.cdb[2] = scope_and_type;
  StoreBE(std::span<uint8_t>(command.cdb), 5, static_cast<uint32_t>(list.size()));
  command.data_out = std::move(list);
}

Command ReadCommand(fuzz::Reader& reader) {
  const uint8_t head = reader.Byte();
  Command command{{Initiator(head), static_cast<uint16_t>(1 + (head >> 2 & 1))}, {}, {}};
  if ((head & 0x80) != 0) {
    BuildOut(reader, command);
  } else {
    const uint8_t code = reader.Byte();
    command.cdb = {code};
    const ByteSpan rest = reader.Bytes(CdbLength(code) - 1);
    command.cdb.insert(command.cdb.end(), rest.begin(), rest.end());
    const size_t low = reader.Byte();
    command.data_out = fuzz::Copy(reader.Bytes(low | static_cast<size_t>(reader.Byte()) << 8));
  }
  command.cdb.shrink_to_fit();
  command.data_out.shrink_to_fit();
  return command;
}

}  // namespace
}  // namespace scsi_pr

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace scsi_pr;
  fuzz::Reader reader({data, size});
  const uint8_t setting = reader.Byte();
  LogicalUnit lu;
  lu.capabilities.persist_through_power_loss = (setting & 0x01) != 0;
  lu.capabilities.abort_tasks = (setting & 0x02) != 0;
  while (!reader.empty()) lu.Execute(ReadCommand(reader));
  return 0;
}
