// SPDX-License-Identifier: GPL-2.0-or-later
//
// The reservation commands that a host sends by one path, and what their ends mean to it.
//
// Unit attention conditions are passed over: the command is sent again at once. So is one that
// ends in BUSY, TASK SET FULL or "becoming ready", after a pause, until Patience::busy is over.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "path/transport.h"
#include "spc/persistent_reserve.h"
#include "spc/persistent_reserve_data.h"
#include "spc/reserve.h"

namespace scsi_pr {

enum class Answer {
  kGood,
  kConflict,     // RESERVATION CONFLICT: nothing has changed
  kUnsupported,  // INVALID COMMAND OPERATION CODE: the storage does not have the command
  kRefused,      // another CHECK CONDITION, or data that make no sense: nothing has changed
  kBusy,         // it stays busy: nothing has changed
  kUnknown,      // ABORTED COMMAND: it may have been carried out, or may still be
  kDead,         // no answer: likewise, and this path is not to be used any more
};

struct Reply {
  Answer answer = Answer::kGood;
  std::string text = {};  // "GOOD", "RESERVATION CONFLICT", …: for people

  bool good() const { return answer == Answer::kGood; }
};

struct Patience {
  std::chrono::milliseconds command{30000};  // for one command
  std::chrono::milliseconds busy{10000};     // for all attempts while the storage is busy
  std::chrono::milliseconds pause{200};      // between two of these
};

// One line for people: what was sent by which path, and how it ended.
using Trace = std::function<void(const std::string& line)>;

class Initiator {
 public:
  // `device`: the path's name, for messages. `trace` may be empty.
  Initiator(std::string device, std::unique_ptr<Transport> transport, Patience patience,
            Trace trace);

  // PERSISTENT RESERVE OUT (SPC-3 5.6, 6.12). Keys: of the sender, then the service action's.
  Reply Register(uint64_t key, uint64_t new_key);
  // `aptpl`: what is registered and reserved is to survive a loss of power (5.6.5).
  Reply RegisterAndIgnoreExistingKey(uint64_t new_key, bool aptpl = false);
  Reply Reserve(uint64_t key, Type type);
  Reply Release(uint64_t key, Type type);
  Reply Preempt(uint64_t key, uint64_t victim, Type type);
  Reply PreemptAndAbort(uint64_t key, uint64_t victim, Type type);

  // PERSISTENT RESERVE IN (6.11).
  Reply ReadReservation(std::optional<HeldReservation>* held);
  Reply ReadKeys(std::vector<uint64_t>* keys);

  // RESERVE(6) and RELEASE(6) (SPC-2 7.21, 7.16), where that is all that the storage has.
  Reply Reserve6();
  Reply Release6();

  // What the logical unit calls itself (spc/device_identification.h).
  Reply Identify(std::vector<std::string>* names);

 private:
  Reply Out(OutAction action, uint64_t key, uint64_t action_key, Type type, const char* name,
            bool aptpl = false);
  Reply In(InAction action, uint16_t length, ByteVector* data, const char* name);
  Reply Send(const TransportCommand& command, const std::string& name, ByteVector* data = nullptr);

  const std::string device_;
  const std::unique_ptr<Transport> transport_;
  const Patience patience_;
  const Trace trace_;
};

}  // namespace scsi_pr
