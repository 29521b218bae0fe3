// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "agent/nexus_change.h"

namespace scsi_pr::agent {

class SimulatedHost;

// What an owner leaves for the next one: what he was not told yet, and up to which version
// that is all.
struct SimulatedHandedOver {
  uint64_t version = 0;
  uint64_t heard = 0;
  std::deque<uint64_t> attentions;
};

// A QEMU process with one nexus, that does as the real one will with its slot and its daemon. It
// is killed at any time.
class SimulatedVm {
 public:
  using Done = std::function<void(bool ok, bool owned)>;

  SimulatedVm(SimulatedHost& host, uint64_t id, size_t nexus)
      : host_(host), id_(id), nexus_(nexus) {}

  uint64_t id() const { return id_; }
  size_t nexus() const { return nexus_; }
  SimulatedHost& host() const { return host_; }
  bool is_running() const { return state_ == State::kRunning; }
  bool is_dying() const { return state_ == State::kDying; }
  bool is_incoming() const { return state_ == State::kIncoming; }
  bool waits() const { return state_ == State::kIncoming || state_ == State::kPaused; }
  uint64_t heard = 0;  // the last version that has told it something

  // `done` is not called if the VM, or its machine, ends before.
  void Attach(bool incoming, Done done);
  // Runs no more, when its commands have ended, and hands the nexus over.
  void Pause(Done done);
  // Runs, with what another one has handed over, or as the one that it was.
  void Resume(const std::optional<SimulatedHandedOver>& handed, Done done);
  void Kill();

  // After Pause() was ok.
  SimulatedHandedOver handed_over() const;

 private:
  enum class State { kAttaching, kRunning, kIncoming, kPausing, kPaused, kResuming, kDying };

  // Asks the daemon, as often as it is busy.
  void Ask(NexusChange::What what, Done done);
  // `act` on this VM, if it is there then and in that state.
  void Later(int64_t delay, State state, std::function<void(SimulatedVm&)> act);
  void Run();
  void EndTenure(Done done);
  void Arrive(const SimulatedHandedOver& handed);
  void TakeOver(int tries, Done done);

  SimulatedHost& host_;
  const uint64_t id_;
  const size_t nexus_;
  State state_ = State::kAttaching;
};

}  // namespace scsi_pr::agent
