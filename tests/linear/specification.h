// SPDX-License-Identifier: GPL-2.0-or-later
//
// The sequential specification: what one operation does to a logical unit
// when nothing else happens at the same time. It is Apply() and Report() of
// the core, and the power-on rule of 5.6.3, around an operation's bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/state.h"
#include "core/transition.h"
#include "server/device_server.h"
#include "spc/bytes.h"

namespace scsi_pr::linear {

// Something that a nexus did, or that happened to it, in an interval of time.
struct Operation {
  enum class Kind : uint8_t {
    kCommand,  // `cdb` and `data_out`
    kAttach,   // the nexus came; if no other was there, with a power on
    kGone,     // it left, or its process was killed
  };

  Kind kind = Kind::kCommand;
  Nexus nexus = {};
  // Counts the processes that the nexus lived in. One that is gone cannot attach.
  uint32_t life = 0;
  ByteVector cdb = {};
  ByteVector data_out = {};
  // CLOCK_MONOTONIC, nanoseconds: the same clock in all processes of a host.
  int64_t call = 0;
  // None: the process was killed before it could tell. The operation took
  // effect at some time after `call`, or never.
  std::optional<int64_t> end = std::nullopt;
  Response response = {};  // only with `end`

  // The store could not carry it out, and promises that nothing has changed.
  bool Failed() const;
  // It has ended, and nobody can say whether it took effect, or will some time.
  bool IsUnknown() const;
};

// All that later operations can depend on.
struct LogicalUnit {
  State state;
  std::vector<Nexus> attached;
  struct Life {
    Nexus nexus;
    uint32_t life = 0;
  };
  std::vector<Life> gone;  // the last life of each nexus that has been left

  // Equal for equal ones, different for different ones.
  std::string Fingerprint() const;
};

// How a command ends, and the state after it.
struct Effect {
  Response response;
  State state;
};
Effect Carry(const State& state, const Capabilities& capabilities, const Nexus& nexus,
             const ByteVector& cdb, const ByteVector& data_out);

// Carries `operation` out on `*unit`. False, with `*unit` in whatever state,
// if it could not have ended in its response there.
bool Step(const Capabilities& capabilities, const Operation& operation, LogicalUnit* unit);

}  // namespace scsi_pr::linear
