// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/initiator.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "core/document.h"
#include "spc/device_identification.h"
#include "spc/sense_data.h"

namespace scsi_pr {

namespace {

// Bytes of data in: a reservation; 4,096 keys, the most that a logical unit of this project has.
constexpr uint16_t kReservationData = 64;
constexpr uint16_t kKeysData = 8 + 8 * 4096;

// What an end of a command means, and whether it is worth another attempt.
struct Meaning {
  Reply reply;
  enum class Again { kNo, kAtOnce, kLater } again = Again::kNo;
};

Meaning OfCheckCondition(Sense sense) {
  constexpr Sense kBecomingReady{sense_key::kNotReady, 0x04, 0x01};
  constexpr uint8_t kTargetPortInTransition = 0x0A;  // ASC 04h
  using Again = Meaning::Again;
  const std::string text = "CHECK CONDITION, " + SenseText(sense);
  if (sense.key == sense_key::kUnitAttention) return {{Answer::kRefused, text}, Again::kAtOnce};
  const bool in_transition = sense.key == sense_key::kNotReady && sense.asc == 0x04 &&
                             sense.ascq == kTargetPortInTransition;
  if (sense == kBecomingReady || in_transition) return {{Answer::kBusy, text}, Again::kLater};
  if (sense.key == sense_key::kAbortedCommand) return {{Answer::kUnknown, text}};
  const bool unsupported = sense == sense::kInvalidCommandOperationCode;
  return {{unsupported ? Answer::kUnsupported : Answer::kRefused, text}};
}

Meaning MeaningOf(const TransportResult& result) {
  constexpr unsigned kTaskSetFull = 0x28;
  using Again = Meaning::Again;
  if (!result.answered) return {{Answer::kDead, result.why}};
  switch (static_cast<unsigned>(result.status)) {
    case static_cast<unsigned>(ScsiStatus::kGood): return {{Answer::kGood, "GOOD"}};
    case static_cast<unsigned>(ScsiStatus::kReservationConflict):
      return {{Answer::kConflict, "RESERVATION CONFLICT"}};
    case static_cast<unsigned>(ScsiStatus::kBusy): return {{Answer::kBusy, "BUSY"}, Again::kLater};
    case kTaskSetFull: return {{Answer::kBusy, "TASK SET FULL"}, Again::kLater};
    case static_cast<unsigned>(ScsiStatus::kCheckCondition): return OfCheckCondition(result.sense);
    default: break;
  }
  return {{Answer::kUnknown, "status " + std::to_string(static_cast<unsigned>(result.status))}};
}

}  // namespace

Initiator::Initiator(std::string device, std::unique_ptr<Transport> transport, Patience patience,
                     Trace trace)
    : device_(std::move(device)),
      transport_(std::move(transport)),
      patience_(patience),
      trace_(std::move(trace)) {}

Reply Initiator::Register(uint64_t key, uint64_t new_key) {
  return Out(OutAction::kRegister, key, new_key, Type{}, "REGISTER");
}

Reply Initiator::RegisterAndIgnoreExistingKey(uint64_t new_key, bool aptpl) {
  return Out(OutAction::kRegisterAndIgnoreExistingKey, 0, new_key, Type{},
             aptpl ? "REGISTER AND IGNORE EXISTING KEY, APTPL" : "REGISTER AND IGNORE EXISTING KEY",
             aptpl);
}

Reply Initiator::Reserve(uint64_t key, Type type) {
  return Out(OutAction::kReserve, key, 0, type, "RESERVE");
}

Reply Initiator::Release(uint64_t key, Type type) {
  return Out(OutAction::kRelease, key, 0, type, "RELEASE");
}

Reply Initiator::Preempt(uint64_t key, uint64_t victim, Type type) {
  return Out(OutAction::kPreempt, key, victim, type, "PREEMPT");
}

Reply Initiator::PreemptAndAbort(uint64_t key, uint64_t victim, Type type) {
  return Out(OutAction::kPreemptAndAbort, key, victim, type, "PREEMPT AND ABORT");
}

Reply Initiator::ReadReservation(std::optional<HeldReservation>* held) {
  ByteVector data;
  Reply reply = In(InAction::kReadReservation, kReservationData, &data, "READ RESERVATION");
  if (!reply.good() || ParseReadReservation(data, held)) return reply;
  return {Answer::kRefused, "data of READ RESERVATION that make no sense"};
}

Reply Initiator::ReadKeys(std::vector<uint64_t>* keys) {
  ByteVector data;
  size_t total = 0;
  Reply reply = In(InAction::kReadKeys, kKeysData, &data, "READ KEYS");
  if (!reply.good() || ParseReadKeys(data, keys, &total)) return reply;
  return {Answer::kRefused, "data of READ KEYS that make no sense"};
}

Reply Initiator::Reserve6() {
  return Send({EncodeReserve6(LegacyAction::kReserve), {}, 0, patience_.command}, "RESERVE(6)");
}

Reply Initiator::Release6() {
  return Send({EncodeReserve6(LegacyAction::kRelease), {}, 0, patience_.command}, "RELEASE(6)");
}

Reply Initiator::Identify(std::vector<std::string>* names) {
  constexpr uint16_t kLength = 1024;
  ByteVector page;
  Reply reply =
      Send({EncodeInquiry(kDeviceIdentificationPage, kLength), {}, kLength, patience_.command},
           "INQUIRY, page 83h", &page);
  if (reply.good()) *names = LogicalUnitNames(page);
  return reply;
}

Reply Initiator::Out(OutAction action, uint64_t key, uint64_t action_key, Type type,
                     const char* name, bool aptpl) {
  PersistentReserveOut command;
  command.aptpl = aptpl;
  command.action = action;
  command.reservation_key = key;
  command.service_action_reservation_key = action_key;
  if (FindOutAction(static_cast<uint8_t>(action))->scope_and_type) {
    command.type = static_cast<uint8_t>(type);
  }
  std::string text = name;
  if (key != 0) text += ", key " + KeyToText(key);
  if (action_key != 0) text += ", service action key " + KeyToText(action_key);
  return Send({EncodeCdb(command), EncodeParameterList(command), 0, patience_.command}, text);
}

Reply Initiator::In(InAction action, uint16_t length, ByteVector* data, const char* name) {
  return Send({EncodeCdb(PersistentReserveIn{action, length}), {}, length, patience_.command}, name,
              data);
}

Reply Initiator::Send(const TransportCommand& command, const std::string& name, ByteVector* data) {
  // Each condition is reported once; storage that has more of them than this is ill.
  constexpr int kMostAttentions = 16;
  const auto until = std::chrono::steady_clock::now() + patience_.busy;
  int attentions = 0;
  for (;;) {
    TransportResult result = transport_->Execute(command);
    const Meaning meaning = MeaningOf(result);
    if (trace_) trace_(device_ + ": " + name + ": " + meaning.reply.text);
    const bool again = meaning.again == Meaning::Again::kAtOnce
                           ? ++attentions <= kMostAttentions
                           : meaning.again == Meaning::Again::kLater &&
                                 std::chrono::steady_clock::now() + patience_.pause < until;
    if (!again) {
      if (data != nullptr) *data = std::move(result.data);
      return meaning.reply;
    }
    if (meaning.again == Meaning::Again::kLater) std::this_thread::sleep_for(patience_.pause);
  }
}

}  // namespace scsi_pr
