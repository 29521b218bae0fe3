// SPDX-License-Identifier: GPL-2.0-or-later
#include "core/report.h"

namespace scsi_pr {

namespace {

// PRGENERATION, then ADDITIONAL LENGTH, which FinishList() fills in.
ByteVector StartList(const State& state) {
  ByteVector data;
  AppendBE(data, state.generation);
  AppendBE(data, uint32_t{0});
  return data;
}

ByteVector FinishList(ByteVector data) {
  constexpr size_t kHeader = 8;
  StoreBE(std::span<uint8_t>(data), 4, static_cast<uint32_t>(data.size() - kHeader));
  return data;
}

uint8_t ScopeAndType(const Reservation& reservation) {
  return static_cast<uint8_t>(kLogicalUnitScope << 4 | static_cast<uint8_t>(reservation.type));
}

// Table 105 of SPC-3 r23.
void AppendFullStatus(ByteVector& data, const State& state, const Registration& registration) {
  const bool all_ports = registration.nexus.target_port == Nexus::kAllTargetPorts;
  const bool holder = state.reservation && (!state.reservation->holder ||
                                            registration.nexus.Covers(*state.reservation->holder));
  const ByteVector transport_id = registration.nexus.initiator.Encode();
  AppendBE(data, registration.key);
  AppendBE(data, uint32_t{0});  // reserved
  data.push_back(static_cast<uint8_t>((all_ports ? 0x02 : 0) | (holder ? 0x01 : 0)));
  data.push_back(holder ? ScopeAndType(*state.reservation) : 0);
  AppendBE(data, uint32_t{0});  // reserved
  AppendBE(data, registration.nexus.target_port);
  AppendBE(data, static_cast<uint32_t>(transport_id.size()));
  data.insert(data.end(), transport_id.begin(), transport_id.end());
}

}  // namespace

ByteVector ReadKeys(const State& state) {
  ByteVector data = StartList(state);
  for (const Registration& registration : state.registrations) AppendBE(data, registration.key);
  return FinishList(std::move(data));
}

ByteVector ReadReservation(const State& state) {
  ByteVector data = StartList(state);
  if (state.reservation) {
    AppendBE(data, state.HolderKey());
    AppendBE(data, uint32_t{0});  // obsolete: SCOPE-SPECIFIC ADDRESS
    data.push_back(0);            // reserved
    data.push_back(ScopeAndType(*state.reservation));
    AppendBE(data, uint16_t{0});  // obsolete: EXTENT LENGTH
  }
  return FinishList(std::move(data));
}

ByteVector ReportCapabilities(const State& state, const Capabilities& capabilities) {
  constexpr uint8_t kReplaceLostReservationCapable = 0x80;  // SPC-4 table 207
  constexpr uint8_t kCompatibleReservationHandling = 0x10;
  // The seed's PRE_SIP_C and PRE_ATP_C take bits 6 and 5, which SPC-3 reserves.
  constexpr uint8_t kPreemptTakesSpecIPt = 0x40;
  constexpr uint8_t kPreemptTakesAllTgPt = 0x20;
  constexpr uint8_t kTakesSpecIPt = 0x08;
  constexpr uint8_t kTakesAllTgPt = 0x04;
  constexpr uint8_t kPersistThroughPowerLossCapable = 0x01;
  constexpr uint8_t kTypeMaskValid = 0x80;
  // TEST UNIT READY in any reservation, MODE SENSE and its like in Write
  // Exclusive (SPC-4 table 191).
  constexpr uint8_t kAllowCommands = 0x3 << 4;
  constexpr uint8_t kPersistThroughPowerLossActivated = 0x01;
  constexpr uint16_t kAllSixTypes = 0xEA01;

  ByteVector data;
  AppendBE(data, uint16_t{8});
  data.push_back(kReplaceLostReservationCapable | kCompatibleReservationHandling |
                 kPreemptTakesSpecIPt | kPreemptTakesAllTgPt | kTakesSpecIPt | kTakesAllTgPt |
                 (capabilities.persist_through_power_loss ? kPersistThroughPowerLossCapable : 0));
  data.push_back(kTypeMaskValid | kAllowCommands |
                 (state.aptpl ? kPersistThroughPowerLossActivated : 0));
  AppendBE(data, kAllSixTypes);
  AppendBE(data, uint16_t{0});
  return data;
}

ByteVector ReadFullStatus(const State& state) {
  ByteVector data = StartList(state);
  for (const Registration& registration : state.registrations) {
    AppendFullStatus(data, state, registration);
  }
  return FinishList(std::move(data));
}

ByteVector Report(InAction action, const State& state, const Capabilities& capabilities) {
  switch (action) {
    case InAction::kReadKeys: return ReadKeys(state);
    case InAction::kReadReservation: return ReadReservation(state);
    case InAction::kReportCapabilities: return ReportCapabilities(state, capabilities);
    case InAction::kReadFullStatus: break;
  }
  return ReadFullStatus(state);
}

}  // namespace scsi_pr
