// SPDX-License-Identifier: GPL-2.0-or-later
#include "workload.h"

#include <iterator>
#include <numeric>
#include <string>

#include "../unit/command_bytes.h"

namespace scsi_pr::linear {

using testing::InCdb;
using testing::MoveData;
using testing::OutCdb;
using testing::OutData;

namespace {

constexpr uint64_t kKeys = 4;
constexpr uint8_t kTypes[] = {1, 5, 8};  // one holder; registrants only; all registrants
constexpr uint16_t kAllocationLength = 4096;

Command In(InAction action) { return {InCdb(action, kAllocationLength), {}}; }

Command Out(const PersistentReserveOut& out) {
  ByteVector data = out.action == OutAction::kRegisterAndMove ? MoveData(out) : OutData(out);
  ByteVector cdb = OutCdb(out, static_cast<uint32_t>(data.size()));
  return {std::move(cdb), std::move(data)};
}

Command ReadKeys(Workload&) { return In(InAction::kReadKeys); }
Command ReadReservation(Workload&) { return In(InAction::kReadReservation); }
Command ReadFullStatus(Workload&) { return In(InAction::kReadFullStatus); }
Command ReportCapabilities(Workload&) { return In(InAction::kReportCapabilities); }

// A PERSISTENT RESERVE OUT that may well succeed.
PersistentReserveOut Likely(Workload& workload, OutAction action) {
  PersistentReserveOut out;
  out.action = action;
  out.type = workload.AnyType();
  out.reservation_key = workload.OwnKey();
  return out;
}

PersistentReserveOut LikelyRegister(Workload& workload, OutAction action) {
  PersistentReserveOut out = Likely(workload, action);
  // 0 unregisters.
  out.service_action_reservation_key = workload.Below(5) == 0 ? 0 : workload.AnyKey();
  out.aptpl = workload.Below(5) == 0;
  out.all_tg_pt = workload.Below(10) == 0;
  if (workload.Below(12) == 0) {
    out.spec_i_pt = true;
    out.transport_ids = {workload.AnyNexus().initiator};
  }
  return out;
}

Command Register(Workload& workload) { return Out(LikelyRegister(workload, OutAction::kRegister)); }
Command RegisterAndIgnore(Workload& workload) {
  return Out(LikelyRegister(workload, OutAction::kRegisterAndIgnoreExistingKey));
}
Command Reserve(Workload& workload) { return Out(Likely(workload, OutAction::kReserve)); }
Command Release(Workload& workload) { return Out(Likely(workload, OutAction::kRelease)); }
Command Clear(Workload& workload) { return Out(Likely(workload, OutAction::kClear)); }

Command PreemptBy(Workload& workload, OutAction action) {
  PersistentReserveOut out = Likely(workload, action);
  out.service_action_reservation_key = workload.Below(6) == 0 ? 0 : workload.AnyKey();
  return Out(out);
}
Command Preempt(Workload& workload) { return PreemptBy(workload, OutAction::kPreempt); }
Command PreemptAndAbort(Workload& workload) {
  return PreemptBy(workload, OutAction::kPreemptAndAbort);
}

Command RegisterAndMove(Workload& workload) {
  PersistentReserveOut out = Likely(workload, OutAction::kRegisterAndMove);
  const Nexus destination = workload.AnyNexus();
  out.service_action_reservation_key = workload.AnyKey();
  out.unreg = workload.Below(2) == 0;
  out.transport_ids = {destination.initiator};
  out.target_port = destination.target_port;
  return Out(out);
}

// RESERVE(6) and RELEASE(6) of SPC-2.
Command Legacy(Workload& workload) {
  const uint8_t code = workload.Below(2) == 0 ? opcode::kReserve6 : opcode::kRelease6;
  return {{code, 0, 0, 0, 0, 0}, {}};
}

// What the workload consists of; another command is another row.
struct Row {
  uint32_t share;
  Command (*make)(Workload&);
};

constexpr Row kMix[] = {
    {12, ReadKeys}, {12, ReadReservation},  {8, ReadFullStatus},  {3, ReportCapabilities},
    {16, Register}, {8, RegisterAndIgnore}, {12, Reserve},        {8, Release},
    {2, Clear},     {10, Preempt},          {3, PreemptAndAbort}, {4, RegisterAndMove},
    {2, Legacy},
};

constexpr uint32_t kShares =
    std::accumulate(std::begin(kMix), std::end(kMix), 0u,
                    [](uint32_t sum, const Row& row) { return sum + row.share; });

// The key after GOOD of a command that sets the sender's own.
uint64_t KeyAfter(const Command& command, uint64_t before) {
  if (command.cdb[0] != opcode::kPersistentReserveOut) return before;
  const auto action = static_cast<OutAction>(command.cdb[1]);
  const bool sets =
      action == OutAction::kRegister || action == OutAction::kRegisterAndIgnoreExistingKey;
  return sets ? LoadBE<uint64_t>(command.data_out, 8) : before;
}

}  // namespace

Nexus WorkloadNexus(int initiator, uint16_t target_port) {
  std::string error;
  const auto id = TransportId::FromText("naa.500000000000000" + std::to_string(initiator), &error);
  return {id.value(), target_port};
}

Command Workload::Next() {
  uint32_t ticket = Below(kShares);
  const Row* row = kMix;
  for (; ticket >= row->share; row++) ticket -= row->share;
  // Who is not registered cannot do much.
  const bool join = own_key_ == 0 && Below(2) == 0;
  Command command = join ? Register(*this) : row->make(*this);
  next_own_key_ = KeyAfter(command, own_key_);
  return command;
}

void Workload::Learn(ScsiStatus status) {
  if (status == ScsiStatus::kGood) own_key_ = next_own_key_;
  if (status == ScsiStatus::kReservationConflict && Below(3) == 0) own_key_ = 0;
}

uint64_t Workload::AnyKey() { return 1 + Below(kKeys); }
uint64_t Workload::OwnKey() { return Below(5) == 0 ? AnyKey() : own_key_; }
uint8_t Workload::AnyType() { return kTypes[Below(std::size(kTypes))]; }
Nexus Workload::AnyNexus() {
  return WorkloadNexus(static_cast<int>(Below(static_cast<uint32_t>(initiators_))),
                       static_cast<uint16_t>(1 + Below(2)));
}

Command Barrier() {
  PersistentReserveOut out;
  out.action = OutAction::kRegisterAndIgnoreExistingKey;
  out.service_action_reservation_key = 1;
  return Out(out);
}

std::vector<Command> Witnesses() {
  return {In(InAction::kReadFullStatus), In(InAction::kReadReservation),
          In(InAction::kReportCapabilities)};
}

}  // namespace scsi_pr::linear
