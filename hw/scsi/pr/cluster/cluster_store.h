// SPDX-License-Identifier: GPL-2.0-or-later
//
// `cluster:NAME` - the store that VMs of many hosts share, as a process of one host sees it.
//
// The state is in an engine that all hosts reach. On each host the daemon scsi-prd, and it alone,
// changes it, publishes it to the host's gate, and gives access to its slots. A process attaches,
// enters and leaves at that gate, as with a file: store; the rest it asks of the daemon (wire.h).
// Here is the one who asks: no network, no credentials, nothing but the runtime directory.
//
// Attach: a slot that is allowed nothing; then the daemon writes down whose nexus it is, and
// opens the slot. Change: the daemon keeps others away, this process applies the command to the
// state in force (Apply()), the daemon does the rest. Handing over: among the processes of a
// host the kernel's lock on the slot decides, as ever; between hosts the daemons' record does.
// Whoever takes over has the lock first, and is admitted only when the daemon says that the
// record is his.
//
// While the daemon is away, gates stay as they are until their deadline. Commands that need it
// wait for it, and end in BUSY.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>

#include "cluster/client.h"
#include "cluster/elsewhere.h"
#include "cluster/keeper.h"
#include "cluster/messages.h"
#include "store/gate_store.h"
#include "store/host_locks.h"

namespace scsi_pr::cluster {

class ClusterStore : public GateStore {
 public:
  // The one object of this process for that logical unit, in that runtime directory. kInvalid: no
  // such name; kIo: nobody answers; or what the daemon says.
  static Status Open(const std::string& name, const OpenOptions& options,
                     std::shared_ptr<Store>* store);

  // `use`, `host`: as the daemon has opened it; throws as Keeper().
  ClusterStore(Client client, std::shared_ptr<HostLocks> locks, Connection use, std::string host);

  Capabilities capabilities() const override {
    return {.persist_through_power_loss = true, .abort_tasks = true};
  }
  void Detach(GateSlot* slot) override;
  Status Identify(StoreIdentity* identity) override;
  // Neither this nor what follows waits for the daemon.
  Status HandOver(GateSlot* slot, bool is_owner, HandedOver* handed) override;
  Status Arrive(GateSlot* slot, HandedOver* handed) override;
  bool TakeOver(GateSlot* slot, Admission::Tenure* tenure) override;
  Status Look(Snapshot* snapshot) override;
  std::vector<Attachment> Attached() override;

  Status Read(std::shared_ptr<const Record>* record) override;
  Status Update(const Transition& transition, const Waiting& waiting, Outcome* outcome) override;
  // Who would not wait for the daemon cannot tell what other hosts have done.
  bool TryRead(std::shared_ptr<const Record>*) override { return false; }
  bool TryUpdate(const Transition&, Outcome*) override { return false; }

 private:
  // Of a slot of this process: what is known of the record of its nexus.
  struct Ownership {
    bool ours = false;
    bool asked = false;                                // by an errand that is under way
    std::chrono::steady_clock::time_point again = {};  // not before
    uint64_t turn = 0;  // another one each time that it changes hands: answers may be late
  };
  // A change under way, of which the daemon keeps others away.
  struct Turn {
    Connection connection;
    uint64_t version = 0;  // of the state in force
    std::string id;
    bool changes = false;  // by what was decided
    bool again = false;    // to be decided, by another state
  };
  class Drain;
  class Hurry;

  Status TryAttach(const Comer& comer, GateSlot** slot, bool* later) override;
  Status AllowedFor(const Nexus& nexus, AccessMask* access, uint64_t* version) override
      REQUIRES(kMembersLock);
  Status ReadOnHost(RecordPointer* record) override { return InForce(record); }
  // All hosts count the same versions.
  bool HasVersionsOf(const HandedOver&) const override { return true; }

  void HearOfUse(const Status& status);
  void AskToTakeOver(size_t index, const Nexus& nexus) REQUIRES(ownership_mutex_);
  void TakeOverEnded(size_t index, uint64_t turn, const Status& status);
  void AddElsewhere(std::vector<Attachment>* attached) const;

  Status NotPublished(uint64_t version) const;
  Status BeginTurn(const Waiting& waiting, Deadline deadline, Turn* turn);
  static Status TakeTurn(const nlohmann::json& message, Turn* turn);
  Status Decide(Turn& turn, const Outcome& outcome, const Waiting& waiting, Deadline deadline,
                Drain* drain);
  Status Result(Turn& turn, const Cancelled& cancelled, Deadline deadline, Drain* drain);
  Status AskOutcome(const std::string& id, const Cancelled& cancelled, Deadline deadline,
                    const Status& why) const;

  const Client client_;
  const std::shared_ptr<HostLocks> locks_;
  const std::string host_;
  std::atomic<bool> answers_{true};  // the daemon, when it was last asked by who is in a hurry
  Mutex ownership_mutex_;
  std::map<size_t, Ownership> ownerships_ GUARDED_BY(ownership_mutex_);
  Keeper keeper_;  // last: its thread uses all of the above
};

}  // namespace scsi_pr::cluster
