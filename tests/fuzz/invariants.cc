// SPDX-License-Identifier: GPL-2.0-or-later
#include "invariants.h"

#include "core/document.h"
#include "core/report.h"
#include "fuzz.h"

namespace scsi_pr::fuzz {

namespace {

constexpr size_t kHeader = 8;  // of each report
constexpr size_t kFullStatusHeader = 24;

void CheckKeys(const State& state, ByteSpan data) {
  Require(data.size() <= kHeader + 8 * state.registrations.size(), "READ KEYS: its length");
  for (size_t i = 0; kHeader + 8 * (i + 1) <= data.size(); i++) {
    Require(LoadBE<uint64_t>(data, kHeader + 8 * i) == state.registrations[i].key,
            "READ KEYS: each registration's key");
  }
}

void CheckReservation(const State& state, ByteSpan data) {
  if (data.size() < kHeader + 16) return;
  Require(state.reservation.has_value(), "READ RESERVATION: a descriptor only of a reservation");
  Require(LoadBE<uint64_t>(data, kHeader) == state.HolderKey(), "READ RESERVATION: the key");
  Require(data[kHeader + 13] == static_cast<uint8_t>(state.reservation->type),
          "READ RESERVATION: scope and type");
}

// As an initiator reads it: descriptor by descriptor, as many as are whole.
void CheckFullStatus(const State& state, ByteSpan data) {
  ByteSpan rest = data.subspan(std::min(kHeader, data.size()));
  for (const Registration& registration : state.registrations) {
    if (rest.size() < kFullStatusHeader) return;
    const size_t length = LoadBE<uint32_t>(rest, 20);
    if (rest.size() < kFullStatusHeader + length) return;
    Require(LoadBE<uint64_t>(rest, 0) == registration.key, "READ FULL STATUS: the key");
    const bool all_ports = registration.nexus.target_port == Nexus::kAllTargetPorts;
    Require((rest[12] & 0x02) == (all_ports ? 0x02 : 0), "READ FULL STATUS: ALL_TG_PT");
    Require(LoadBE<uint16_t>(rest, 18) == registration.nexus.target_port,
            "READ FULL STATUS: the relative target port");
    size_t consumed = 0;
    const auto id = TransportId::Decode(rest.subspan(kFullStatusHeader, length), &consumed);
    Require(id == registration.nexus.initiator && consumed == length,
            "READ FULL STATUS: the TransportID");
    const bool holds =
        all_ports ? state.reservation && (!state.reservation->holder ||
                                          registration.nexus.Covers(*state.reservation->holder))
                  : state.IsHolder(registration.nexus);
    Require((rest[12] & 0x01) == (holds ? 1 : 0), "READ FULL STATUS: R_HOLDER");
    rest = rest.subspan(kFullStatusHeader + length);
  }
  Require(rest.empty(), "READ FULL STATUS: nothing behind the last descriptor");
}

}  // namespace

void CheckRefusal(Sense sense) {
  Require(sense.key == 0x5, "a command that is refused for its bytes: ILLEGAL REQUEST");
}

void CheckOutcome(const State& before, const Nexus& sender, const Outcome& outcome) {
  const bool good = outcome.status == ScsiStatus::kGood;
  const bool check = outcome.status == ScsiStatus::kCheckCondition;
  Require(good || check || outcome.status == ScsiStatus::kReservationConflict, "the status");
  Require(check == (outcome.sense != sense::kNone), "sense data if and only if CHECK CONDITION");
  if (!good) {
    Require(outcome.state == before, "a command that is not GOOD changes nothing");
    Require(outcome.unit_attentions.empty(), "a command that is not GOOD tells nobody");
    Require(outcome.preempted.empty(), "a command that is not GOOD aborts nothing");
  }
  const uint32_t step = outcome.state.generation - before.generation;
  Require(step <= 1, "PRgeneration is counted by ones");
  Require(step == 1 || outcome.state.registrations == before.registrations,
          "PRgeneration counts whatever changes a registration");
  for (const UnitAttention& attention : outcome.unit_attentions) {
    Require(attention.sense.key == 0x6, "a unit attention condition");
    Require(!attention.Reaches(sender), "whoever sent the command is not told");
  }
}

void CheckState(const State& state) {
  Require(!FindViolation(state), "no violation");
  const std::string document = EncodeDocument(state);
  State decoded;
  Require(DecodeDocument(document, &decoded).ok(), "the document is valid");
  Require(decoded == state, "the document keeps the state");
  for (InAction action : {InAction::kReadKeys, InAction::kReadReservation,
                          InAction::kReportCapabilities, InAction::kReadFullStatus}) {
    const ByteVector data = Report(action, state, Capabilities{});
    CheckReport(action, state, data, data.size());
  }
  Require(!FindViolation(AfterPowerOn(state)), "no violation after power on");
}

void CheckReport(InAction action, const State& state, const ByteVector& data,
                 size_t allocation_length) {
  const bool capabilities = action == InAction::kReportCapabilities;
  Require(data.size() >= kHeader, "the header");
  if (capabilities) {
    Require(data.size() == 8 && LoadBE<uint16_t>(data, 0) == 8, "REPORT CAPABILITIES: LENGTH");
    return;
  }
  Require(LoadBE<uint32_t>(data, 0) == state.generation, "PRGENERATION");
  // 6.11.3: whatever the allocation length is.
  Require(LoadBE<uint32_t>(data, 4) == data.size() - kHeader, "ADDITIONAL LENGTH");
  const ByteVector shown = Copy(ByteSpan(data).first(std::min(allocation_length, data.size())));
  if (action == InAction::kReadKeys) CheckKeys(state, shown);
  if (action == InAction::kReadReservation) CheckReservation(state, shown);
  if (action == InAction::kReadFullStatus) CheckFullStatus(state, shown);
}

void CheckAccess(const State& state, const Nexus& nexus, AccessClass access) {
  const AccessMask allowed = AllowedAccess(state, nexus);
  const auto allows = [&](AccessClass c) { return (allowed & Bit(c)) != 0; };
  Require((Bit(access) & kFullAccess) != 0, "a class that exists");
  Require(allows(AccessClass::kUnrestricted) && allows(AccessClass::kReservation),
          "some commands never conflict");
  Require(allows(AccessClass::kRead) || !allows(AccessClass::kWrite), "who writes may read");
  if (state.legacy_holder && state.legacy_holder != nexus) {
    Require(!allows(AccessClass::kTestUnitReady) && !allows(AccessClass::kRead) &&
                !allows(AccessClass::kWrite),
            "another's RESERVE excludes");
  } else if (!state.reservation || state.IsHolder(nexus)) {
    Require(allowed == kFullAccess, "a holder's access is unlimited");
  } else if (state.Find(nexus) == nullptr) {
    Require(!allows(AccessClass::kWrite), "who is not registered does not write");
    Require(allows(AccessClass::kRead) == !IsExclusiveAccess(state.reservation->type),
            "who is not registered reads only under Write Exclusive");
  }
}

}  // namespace scsi_pr::fuzz
