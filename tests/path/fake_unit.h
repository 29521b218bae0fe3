// SPDX-License-Identifier: GPL-2.0-or-later
//
// A logical unit with several paths, behind Transport: the project's own device servers on one
// store, one for each I_T nexus, so that reservations are real. And what storage, cables and
// hosts do to it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "path/transport.h"
#include "server/device_server.h"
#include "testing.h"

namespace scsi_pr::testing {

// The process of a host ends here, by kill -9.
struct Killed {};

class FakeUnit {
 public:
  // What was sent, in this order; without INQUIRY.
  struct Sent {
    std::string device;
    uint8_t operation_code;
    uint8_t service_action;  // of PERSISTENT RESERVE IN and OUT

    friend bool operator==(const Sent&, const Sent&) = default;
  };

  FakeUnit();
  ~FakeUnit();

  // Adds a path by this name; each is a nexus of its own.
  void AddPath(const std::string& device);
  OpenTransport Opener();

  // What others do.
  Response SendOut(const std::string& device, const PersistentReserveOut& command);
  Response SendLegacy(const std::string& device, LegacyAction action);

  // What is so.
  State state();
  Nexus NexusOf(const std::string& device) { return paths_.at(device).server->nexus(); }
  bool MayWrite(const std::string& device) {
    return paths_.at(device).server->Admits(AccessClass::kWrite);
  }
  bool Registered(const std::string& device) { return KeyAt(device) != 0; }
  uint64_t KeyAt(const std::string& device) { return KeyOf(state(), NexusOf(device)); }
  // The device whose nexus holds the reservation; empty: none.
  std::string Holder();

  // What goes wrong. A path that is cut answers nothing; with `carried_out` what it is sent is done
  // all the same, and only the answer is lost.
  void Cut(const std::string& device, bool carried_out = false);
  void Mend(const std::string& device);
  // Cuts the path with the next command of this kind: that is lost, or carried out, and its answer
  // is lost.
  void CutAt(const std::string& device, uint8_t operation_code, uint8_t service_action,
             bool carried_out);
  // PERSISTENT RESERVE IN and OUT end in INVALID COMMAND OPERATION CODE.
  void HasNoPersistentReservations() { persistent_ = false; }
  void HasNoReservations() { persistent_ = legacy_ = false; }
  void SetName(const std::string& device, uint64_t naa) { paths_.at(device).naa = naa; }
  // So many commands by any path end in this status first.
  void Answer(int count, ScsiStatus status, Sense sense = sense::kNone) {
    canned_ = {count, status, sense};
  }
  // Called before each reservation command that a path is sent.
  std::function<void(const Sent&)> before = {};

  // Throws Killed with the n-th command from now, counted from 0: before it is carried out, or
  // after.
  void KillAt(int n, bool carried_out) {
    kill_at_ = n;
    kill_after_ = carried_out;
  }
  void KillNobody() { kill_at_ = -1; }

  std::vector<Sent> sent;
  std::multiset<std::string> open;  // the paths that a host has open

 private:
  struct Path {
    std::unique_ptr<DeviceServer> server;
    uint64_t naa = 0x6001405000000001;
    bool cut = false;
    bool carried_out = false;
    std::optional<Sent> cut_at = {};
  };
  struct Canned {
    int count = 0;
    ScsiStatus status = ScsiStatus::kGood;
    Sense sense = sense::kNone;
  };
  class PathTransport;

  TransportResult Execute(const std::string& device, const TransportCommand& command);
  TransportResult CarryOut(Path& path, const TransportCommand& command);

  std::shared_ptr<Store> store_;
  std::map<std::string, Path> paths_;
  bool persistent_ = true;
  bool legacy_ = true;
  Canned canned_;
  int kill_at_ = -1;
  bool kill_after_ = false;
};

}  // namespace scsi_pr::testing
