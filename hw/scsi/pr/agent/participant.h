// SPDX-License-Identifier: GPL-2.0-or-later
//
// One logical unit on one host: shuts who loses access by a change, wherever the change is
// made, acknowledges, and publishes what is committed. A state machine like Membership.
//
// Whom it has shut for a change it opens only when it has read, or made it so, that the change
// is over: anybody may take it away at any time, and then its commit fails. While it is there,
// whoever makes it may still commit it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/records.h"

namespace scsi_pr::agent {

class Participant {
 public:
  // Called by its own functions; these must not be called from here.
  class Outside {
   public:
    virtual ~Outside() = default;
    // Answered() comes in any case. One request at a time.
    virtual void Send(uint64_t request, const Transaction& transaction) = 0;
    // In all gates of this logical unit here, at once: what this state allows, less what it
    // would allow those of `shut`. None: nobody has ever changed it.
    virtual void Publish(const std::optional<StateRecord>& state,
                         const std::vector<std::string>& shut) = 0;
    // At once: these are allowed nothing. The others stay as they are.
    virtual void Shut(const std::vector<std::string>& nexuses) = 0;
    // Drained() comes when nothing of these is in any gate here that entered before; of the
    // latest call only.
    virtual void Drain(const std::vector<std::string>& nexuses) = 0;
    // The change of this host, begun by Fence(): the others may be waited for.
    virtual void Fenced(const std::string& id) = 0;
    // Once: what is there cannot be used. Nothing is opened.
    virtual void Failed(const Status& why) = 0;
  };

  Participant(std::string host, std::string lu, Keys keys, Outside& outside);

  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  void Drained(Time now);

  // Something may have changed.
  void Look(Time now);
  // Membership::Outside::Shut(): everybody is shut, and nobody is opened before Open(), by a
  // read that is sent after that. So it begins; the gates are as they were left.
  void Close();
  // Membership::Outside::Open().
  void Open(Time now);

  // A change of this host. Its victims are shut until it is released and seen to be over; the
  // engine may not know of it yet.
  void Fence(const ChangeRecord& change);
  void Release(Time now, const std::string& id);

 private:
  struct Pending {
    uint64_t request;
    uint64_t epoch;
  };

  // What there is.
  struct Read {
    std::optional<StateRecord> state;
    int64_t state_revision = 0;
    ChangeRecord change;  // id empty: none
    int64_t change_revision = 0;
    std::string acknowledged;  // the id that this host has acknowledged last
  };

  void Send(std::vector<Compare> compares = {}, std::vector<Write> writes = {});
  void Found(Time now, const Answer& answer);
  Status DecodeFound(const Answer& answer, Read* there) const;
  void UnderWay(Time now, const Read& there);
  void ShutFor(const ChangeRecord& change);
  void Fail(const Status& why);
  std::string AckKey() const { return keys_.Acks(lu_) + host_; }

  const std::string host_;
  const std::string lu_;
  const Keys keys_;
  Outside& outside_;

  bool closed_ = true;      // nothing may be opened before Open()
  bool wanted_ = true;      // a look
  std::string held_;        // the id of our own change under way
  ChangeRecord shut_for_;   // id empty: nobody is shut
  bool drained_ = false;    // as far as that change demands it
  uint64_t epoch_ = 0;      // what was read in an earlier one does not count
  int64_t published_ = -1;  // the revision of the state that is published; -1: unknown
  int64_t borne_ = 0;       // the revision of the change that is being borne,
  Time borne_since_ = 0;    // and since when
  bool failed_ = false;
  std::optional<Pending> pending_;
  uint64_t requests_ = 0;
  Time next_look_ = 0;
};

}  // namespace scsi_pr::agent
