// SPDX-License-Identifier: GPL-2.0-or-later
//
// One logical unit on one host: shuts who loses access by a change, wherever the change is
// made, acknowledges, and publishes what is committed, and acknowledges that to those who have
// made it. A state machine like Membership.
//
// Whom it has shut for a change it opens only when it has read, or made it so, that the change
// is over: anybody may take it away at any time, and then its commit fails. While it is there,
// whoever makes it may still commit it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine.h"
#include "agent/reading.h"
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
    // What is attached anywhere, by NexusKey(), when that is not what it was at the last call;
    // and before the first Publish().
    virtual void Attached(const std::map<std::string, NexusRecord>& nexuses) = 0;
    // In all gates of this logical unit here, at once: what this state allows, those of `shut`
    // not more than they keep; and nothing, where the last Attached() did not have the nexus at
    // this host (NexusRecord::IsAt). Those get to know what `told` has of versions that they
    // have not seen yet. No state: nobody has ever changed it. False: it cannot be done now,
    // and counts as not done; it comes again kRetry later.
    virtual bool Publish(const std::optional<StateRecord>& state,
                         const std::vector<Victim>& shut) = 0;
    // Whether a nexus here may more by this state than by the one that was published last, or is
    // told of it; also where that is not known.
    virtual bool IsConcerned(const StateRecord& next) const = 0;
    // At once: these are allowed no more than they keep, and what the preempted have in their
    // gates is to be aborted. The others stay as they are. False: as above.
    virtual bool Shut(const std::vector<Victim>& victims) = 0;
    // Drained() comes when nothing of these is in any gate here that entered before; of the
    // latest call only. By NexusKey().
    virtual void Drain(const std::vector<std::string>& nexuses) = 0;
    // The change of this host, begun by Fence(): the others may be waited for.
    virtual void Fenced(const std::string& id) = 0;
    // A change of this host is being committed: its answer says what comes of it.
    virtual bool IsCommitting() const = 0;
    // Whether this host is making it. Else its client or a predecessor of this process has left it
    // behind, or it was applied late, and it is taken away.
    virtual bool IsUnderWay(const std::string& id) const = 0;
    // Once: what is there cannot be used. Nothing is opened.
    virtual void Failed(const Status& why) = 0;
  };

  static constexpr Time kRetry = 10 * kMillisecond;

  Participant(std::string host, std::string lu, Keys keys, Outside& outside);

  void Tick(Time now);
  Time NextTick() const;
  void Answered(Time now, uint64_t request, const Answer& answer);
  void Drained(Time now);

  // Something may have changed. The number of the request whose answer is not older than this.
  uint64_t Look(Time now);
  // These may have, or without any anything. What they say is acted upon as far as that does no
  // harm if they are wrong.
  void Hear(Time now, const std::vector<News>& news);
  // The last request whose answer all gates here show.
  uint64_t seen() const { return seen_; }
  // Membership::Outside::Shut(): everybody is shut, and nobody is opened before Open(), by a
  // read that is sent after that. So it begins; the gates are as they were left.
  void Close();
  // Membership::Outside::Open().
  void Open(Time now);

  // A change of this host. Its victims are shut until it is released and seen to be over; the
  // engine may not know of it yet.
  void Fence(Time now, const ChangeRecord& change);
  // When it is committed, and when it is over; also if nobody was fenced.
  void Release(Time now, const std::string& id);
  // When it is committed, by an answer that says so: what was read then, but for the
  // acknowledgements. `epoch`: of when its request was sent; what has been read since then may have
  // more to say.
  void Committed(Time now, const std::string& id, uint64_t epoch, int64_t revision,
                 const Reading& there);
  uint64_t epoch() const { return epoch_; }

  // What all gates here show, as it was read, unless something is known to have changed since or to
  // be about to: nullptr then. Until the next call.
  const Reading* current() const;
  // The version that all gates here show, at least; 0: not known.
  uint64_t published_version() const { return version_; }

 private:
  struct Pending {
    uint64_t request;
    uint64_t epoch;
    bool writes;
    std::optional<AckRecord> ack;  // that it writes, and then reads nothing
  };

  void Send(const Transaction& transaction, std::optional<AckRecord> ack = std::nullopt);
  void Read();
  void TakeAwayChange();
  std::vector<Range> All() const { return {{keys_.Unit(lu_), true}}; }
  bool HearOfChange(Time now, const News& news);
  void HearOfIntent(Time now, const ChangeRecord& change, int64_t revision);
  void AcknowledgePresumed();
  void Found(Time now, const Answer& answer);
  void Found(Time now, int64_t revision, Reading there);
  void FoundNexuses(const Reading& there);
  void Act(Time now);
  void TryShut();
  void TryPublish();
  void UnderWay(Time now);
  void AcknowledgePublished();
  bool IsNews(const StateRecord& state, uint64_t since, uint64_t until) const;
  uint64_t NotAwaited() const;
  void Acknowledge(const Compare& condition, const std::string& id, uint64_t published);
  void ShutFor(const ChangeRecord& change);
  void NewEpoch();
  void Own(const std::string& id);
  bool IsAllShut() const { return shut_for_.id.empty() || is_shut_; }
  void Fail(const Status& why);
  std::string AckKey() const { return keys_.Ack(lu_, host_); }

  const std::string host_;
  const std::string lu_;
  const Keys keys_;
  Outside& outside_;

  bool closed_ = true;            // nothing may be opened before Open()
  bool wanted_ = true;            // a look
  std::string held_;              // the id of our own change under way
  ChangeRecord shut_for_;         // id empty: nobody is shut
  bool is_shut_ = false;          // the gates show that
  bool drained_ = false;          // as far as that change demands it
  int64_t presumed_ = 0;          // the revision of that change, by news: to be acknowledged
  Entry<AckRecord> ack_;          // of this host, as last read
  uint64_t epoch_ = 0;            // what was read in an earlier one does not count
  std::optional<Reading> there_;  // as last read, if that counts
  std::map<std::string, NexusRecord> nexuses_;
  bool is_attached_told_ = false;
  std::deque<std::string> own_;  // ids of changes of this host, the latest last
  int64_t published_ = -1;       // the revision of the state that is published; -1: unknown
  uint64_t version_ = 0;         // see published_version()
  uint64_t not_awaited_ = 0;     // nobody waits for this host to show this version, or one before
  int64_t found_at_ = 0;         // the revision of what was read last
  std::optional<Time> retry_;    // Shut() or Publish()
  int64_t borne_ = 0;            // the revision of the change that is being borne,
  Time borne_since_ = 0;         // and since when
  bool failed_ = false;
  std::optional<Pending> pending_;
  uint64_t requests_ = 0;
  uint64_t answered_ = 0;  // the request that found what there is
  uint64_t seen_ = 0;
  Time next_look_ = 0;
};

}  // namespace scsi_pr::agent
