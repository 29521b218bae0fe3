// SPDX-License-Identifier: GPL-2.0-or-later
//
// One nexus comes to this host, goes, or is handed over between hosts: the compare-and-write of
// its record below LU/nexus/. A state machine like Change, for one operation.
//
//   attach    no record, or one of nobody who lives → ours and owned. The first one powers the
//             logical unit on, in the same step
//   incoming  another host's record → this host is its heir; else as attach
//   hand over ours and owned → not owned
//   take over not owned, and we are its host or its heir → ours and owned
//   detach    ours → gone, or left to the heir; the heir's → without heir
//
// Each write compares the record, so two of them do not both succeed, and one that is applied
// late fails when anything has been written since. That is why an attachment and a taking over
// write in any case, also where the record says already what they want: what a predecessor
// has sent, and not heard of, fails then.
//
// Attaching compares that no change is under way: the hosts that a change has to ask do
// not become more. The others do not: detaching makes them fewer, when the kernel has seen that
// nothing of the nexus is left here; and taking over moves it between two hosts that a
// change asks both. A host that was declared dead may lose a nexus to another one, which
// compares that it is dead still; what the nexus had on its way there stays in the record
// (NexusRecord::remains) until it is proved to be over.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/membership.h"
#include "agent/reading.h"
#include "agent/records.h"
#include "core/status.h"

namespace scsi_pr::agent {

class NexusChange {
 public:
  enum class What { kAttach, kAttachIncoming, kDetach, kHandOver, kTakeOver };

  enum class Result {
    kGood,
    kInUse,    // somebody else has the nexus
    kBusy,     // not now: a change is under way, or (taking over) its owner has not let it go
    kRefused,  // the engine, or what is in it, does not let it be
    kUnknown,  // sent, and no answer in time: it may be applied, or be later
  };

  struct Options {
    std::string host;
    std::string lu;
    What what = What::kAttach;
    Nexus nexus;
    std::string owner_text;  // of a new attachment, for people
    Time deadline = 0;       // then it is given up
    // Attaching: a process of this host has the nexus already. A record of this host is worth
    // nothing without.
    bool attached_here = false;
    std::shared_ptr<Declarations> declarations = std::make_shared<Declarations>();
  };

  // Called by its own functions; these must not be called from here.
  class Outside {
   public:
    virtual ~Outside() = default;
    // Answered() comes in any case. One request at a time.
    virtual void Send(uint64_t request, const Transaction& transaction) = 0;
    // Once, and the last call. `why`: OK with kGood. Whatever the result but kGood: what the
    // record says is seen by the next look at it, and a record of this host for a nexus that
    // nobody has here is to be detached.
    virtual void Ended(Result result, const Status& why) = 0;
  };

  NexusChange(Options options, Keys keys, Outside& outside, std::function<std::string()> nonce);

  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  // Something may have changed.
  void Look(Time now);

  bool is_over() const { return is_over_; }
  // After kGood. Of the state in that step, or a later one; StateRecord::kFirstVersion if
  // nobody has changed it yet. The gate must show this version before the nexus enters.
  uint64_t version() const { return VersionOf(there_.state); }
  const std::optional<StateRecord>& state() const { return there_.state; }
  // By this host.
  bool owned() const { return owned_; }

 private:
  struct Writing {
    std::vector<Compare> compares;
    std::vector<Write> writes;
  };

  void Send(Writing writing = {});
  void Failed(Time now, const Answer& answer);
  void Step(Time now);
  void Attach(Time now);
  void AttachIncoming(Time now);
  void Detach(Time now);
  void HandOver(Time now);
  void TakeOver(Time now);
  void Displace(Time now);
  void Wait(Time now, const Status& why);
  void WaitForChange(Time now);
  void AwaitDeath(Time now, const std::string& host, const Status& why);
  Writing ComparingTheDead(const std::vector<std::string>& hosts) const;
  void WriteRecord(NexusRecord record, Writing writing = {});
  void DeleteRecord(Writing writing = {});
  // What the unit's power on adds to the writing of the first one; else a compare that he
  // is not the first.
  Status PowerOnIfFirst(Writing* writing, bool* is_left) const;
  Status PowerOn(std::optional<StateRecord>* next) const;
  void Forget(Writing* writing) const;
  void CompareKeeper(const NexusRecord& record, Writing* writing) const;
  bool KeepsUnitOn(const NexusRecord& record) const;
  NexusRecord OurRecord() const;
  Status InUse(const std::string& host) const;
  Status IsAwaited() const;
  void Done();
  void End(Result result, const Status& why = Status());
  // nullptr: it has none, or one of nobody.
  const NexusRecord* record() const;
  bool IsFree(const std::string& heir) const;
  std::string Name() const;

  const Options options_;
  const std::string key_;  // NexusKey()
  const Keys keys_;
  Outside& outside_;
  const std::string nonce_;
  const std::function<std::string()> next_nonce_;

  Reading there_;  // as of the last answer
  // Hosts that stand in the way: each has to be dead, or shows that it lives.
  std::map<std::string, bool> was_suspect_;
  bool sent_ = false;  // a write of the record: it may be applied
  bool owned_ = false;
  bool is_over_ = false;
  bool look_again_ = false;
  std::optional<uint64_t> pending_;
  uint64_t requests_ = 0;
  Time next_ = 0;
};

}  // namespace scsi_pr::agent
