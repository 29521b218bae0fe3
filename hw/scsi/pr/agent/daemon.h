// SPDX-License-Identifier: GPL-2.0-or-later
//
// scsi-prd without its command line: the membership of this host, its logical units, and the
// clients on its socket, on one thread (Loop), with the engine's answers from others (Asker).
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>

#include "agent/asker.h"
#include "agent/config.h"
#include "agent/contacts.h"
#include "agent/engine.h"
#include "agent/log.h"
#include "agent/logical_unit.h"
#include "agent/membership.h"
#include "agent/memory_writer.h"
#include "agent/metrics.h"
#include "agent/operation.h"
#include "agent/storage_fence.h"
#include "agent/watchdog_keeper.h"

namespace scsi_pr::agent {

class Server;

class Daemon : private Membership::Outside {
 public:
  struct Options {
    Config config;
    std::string machine_id;
    std::string boot_id;
    ArmWatchdog arm_watchdog = ArmDevice;
    // For Config::paths; others in tests.
    OpenTransport open_path = SgTransport::Open;
    decltype(StorageFence::Options::expand) expand_path = {};
  };

  // Takes the socket, and over what a predecessor has left in the runtime directory. kBusy:
  // another daemon serves it. `log` and `metrics` outlive the daemon; so does `log` the loop.
  static Status Create(Options options, std::shared_ptr<Engine> engine, Log& log, Metrics& metrics,
                       std::unique_ptr<Daemon>* daemon);
  ~Daemon() override;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  void Run();  // until Stop()
  // Any thread; gates stay as they are, and end with their deadline. Takes some seconds where a
  // watchdog is to be disarmed first.
  void Stop();
  // Any thread. What of the configuration needs a restart stays as it was.
  void Reload(Config config, std::shared_ptr<Engine> engine);
  // Any thread, while Run() runs: `act` on its thread.
  void Post(std::function<void()> act) { loop_.Post(std::move(act)); }
  // When this host was renewed last, or has been answered that it must not join. On the loop.
  Time renewed() const { return renewed_; }

  // For the server; on the loop's thread.
  const Config& config() const { return options_.config; }
  House& house() { return house_; }
  Loop& loop() { return loop_; }
  Metrics& metrics() { return metrics_; }
  // Opened, if it is not there. Null, and why.
  LogicalUnit* Unit(const std::string& name, Status* why);
  const std::map<std::string, std::unique_ptr<LogicalUnit>>& units() const { return units_; }
  // Nothing if this host is a member that admits.
  Status WhyNoMember() const;
  const Status& refused() const { return refused_; }
  Contacts& contacts() { return contacts_; }
  const Membership::Memory& memory() const { return membership_.memory(); }
  // Somebody may have something to do now.
  void Wake() {
    loop_.Post([this] { Tick(); });
  }
  // Of the cluster, and not of one logical unit; until it is over.
  void Run(std::shared_ptr<Operation> operation);

 private:
  class HintSource;

  Daemon(Options options, std::shared_ptr<const RuntimeDirectory> directory,
         const Membership::Memory& memory, std::shared_ptr<Engine> engine, Log& log,
         Metrics& metrics);

  void Send(uint64_t request, const Transaction& transaction) override;
  void Shut() override;
  void Drain() override;
  void Open() override;
  void Admit(Time until) override;
  void Remember(const Membership::Memory& memory) override;
  void WasDead(const HostRecord& record) override;
  void Refused(const Status& why) override;

  Status TakeOver();
  WatchdogKeeper::House ForWatchdog();
  void NeedProof(const std::string& host);
  void Emptied();
  void Registered(const Status& status);
  void CheckStorage(Time now);
  void FindLeft();
  void FoundLeft(const Answer& answer);
  void Tick();
  void Step(Time now);
  Time NextTick(Time now) const;
  void Answered(uint64_t request, const Answer& answer);
  void Heard(bool writes, Time took, const Answer& answer);
  void LookAtAll();
  void LookAtHosts();
  void TakeHints();
  void CloseIdle(Time now);
  Status See(const std::string& lu, const std::optional<StateRecord>& state);
  void RememberUnits(Time now);
  void NotePhase();
  void NoteEngine(const Answer& answer);

  Options options_;
  const std::shared_ptr<const RuntimeDirectory> directory_;
  Log& log_;
  Metrics& metrics_;
  MemoryWriter memory_writer_;
  Loop loop_;
  Asker renewals_;  // nothing else waits before a renewal
  Asker asker_;
  House house_;
  const std::unique_ptr<StorageFence> storage_;  // null: no path groups
  Membership membership_;
  WatchdogKeeper watchdog_;
  std::map<std::string, std::weak_ptr<Operation>> proving_;  // by host
  std::list<std::shared_ptr<Operation>> operations_;
  std::map<std::string, std::unique_ptr<LogicalUnit>> units_;
  std::map<std::string, std::unique_ptr<HintSource>> hints_;
  std::unique_ptr<Engine::Hints> hosts_hints_;
  Contacts contacts_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Loop::Source> timer_;
  const std::shared_ptr<const bool> alive_ = std::make_shared<bool>(true);

  bool draining_ = false;
  uint64_t drained_ = 0;  // which draining a registering is of
  Time register_ = kNever;
  Time check_storage_ = kNever;
  Status storage_status_;
  Time admit_until_ = 0;
  Time renewed_ = 0;
  Time next_close_ = 0;
  Time find_left_ = kNever;
  std::vector<SeenVersion> remembered_;  // Membership::Memory::units, as last written
  bool seen_more_ = false;               // since then, maybe
  Time next_remember_ = 0;
  int64_t seen_ = 0;                                        // the engine's revision
  Membership::Phase phase_ = Membership::Phase::kStarting;  // as last noted
  Status refused_;
  std::string life_;                             // of the store that is shown
  Failure failure_;                              // of the last renewal
  Failure::Kind engine_ = Failure::Kind::kNone;  // how it was, as last noted
};

}  // namespace scsi_pr::agent
