// SPDX-License-Identifier: GPL-2.0-or-later
//
// Random reservation commands with few keys and few types, so that nexuses
// meet: they conflict, preempt each other and hand reservations over.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "core/state.h"
#include "core/transition.h"
#include "spc/bytes.h"

namespace scsi_pr::linear {

struct Command {
  ByteVector cdb;
  ByteVector data_out;
};

// An I_T nexus of the workload; `initiator` is below 10.
Nexus WorkloadNexus(int initiator, uint16_t target_port);

// The commands of one nexus.
class Workload {
 public:
  // `initiators`: how many there are, for commands that name another one.
  Workload(uint64_t seed, int initiators) : random_(seed), initiators_(initiators) {}

  Command Next();
  // How the last one ended. So the nexus mostly knows its key, and sometimes
  // notices that somebody has taken the registration away.
  void Learn(ScsiStatus status);

  // 0 ... limit - 1
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  // A key with which a nexus may be registered, and one that this one may be.
  uint64_t AnyKey();
  uint64_t OwnKey();
  uint8_t AnyType();
  Nexus AnyNexus();

 private:
  std::mt19937_64 random_;
  const int initiators_;
  uint64_t own_key_ = 0;
  uint64_t next_own_key_ = 0;  // after GOOD
};

// Changes the state whatever it is.
Command Barrier();
// What shows the whole state.
std::vector<Command> Witnesses();

}  // namespace scsi_pr::linear
