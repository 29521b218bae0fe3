// SPDX-License-Identifier: GPL-2.0-or-later
//
// All paths of one host to one logical unit, as one registrant of its persistent reservation: all
// of them are registered with one key, one of them makes the reservation, and so the host goes on
// when a path fails, and another host can take the logical unit over.
//
// What it does, and in which order, is that of flow charts which docs/paths.md lists box by box;
// their numbers are in the code (figure 5: boxes 5xx, …, figure 12: boxes 12xx). The standard's
// part is SPC-3 5.6.
//
// Threads: none of its own, and not to be called by two at once. Every method waits for the
// storage: some commands by each path, each for up to Patience::command and, while the storage is
// busy, Patience::busy. A daemon calls it on a thread that may wait so long.
//
// Nobody else works on the same group meanwhile: path/group_file.h has a lock for that.
//
// Dying at any point loses nothing: `save` is called before and after each step that changes what
// the logical unit knows, and whoever goes on with what was saved last finds by itself what has
// come of a step that was under way (GroupState::pending).
//
// Errors: Status::Code says what kind,
//   kInUse    another host has the reservation; nothing was taken from it
//   kInvalid  what was asked for does not fit the group: it is open, or that is none of its
//             paths, or a path leads to another logical unit
//   kIo       no path works, or `save` has failed
//   kBusy     the storage stays busy, or the reservation changes hands all the while; what the
//             logical unit knows is as before, and trying again may help
//   kUnknown  a change was sent by the only path that worked, and no answer came. The next call
//             finds out.
//
// A fence for a daemon: a group with Type::kWriteExclusiveAllRegistrants, Register() and
// Open(OpenMode::kDefault) at its start, PreemptAndAbort() with the key of the host that must not
// write any more; when that has returned ok, nothing of it reaches the medium.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "path/group_state.h"
#include "path/initiator.h"
#include "path/transport.h"

namespace scsi_pr {

class PathGroup {
 public:
  struct Options {
    OpenTransport open;  // path/sg_transport.h
    // Keeps the state; what it returns ends the operation. May be empty: for who needs no memory.
    std::function<Status(const GroupState&)> save = {};
    Trace trace = {};  // may be empty
    Patience patience = {};
    // Whether the storage is to keep what Register() and Open() register when it loses its power;
    // where it cannot, it need not.
    bool aptpl = false;
  };

  // What the logical unit says at one time.
  struct View {
    std::optional<HeldReservation> held;
    std::vector<uint64_t> keys;  // one for each registration, also of other hosts
    bool ours = false;           // the reservation is this host's
    bool persistent = true;      // else the storage has none, and says nothing
  };

  // `state` is a new one (name, key, type), or what was saved last.
  PathGroup(GroupState state, Options options);
  PathGroup(const PathGroup&) = delete;
  PathGroup& operator=(const PathGroup&) = delete;

  const GroupState& state() const { return state_; }

  // When a path is registered: as figure 5 has it, or for who must not have access before it opens.
  enum class Registering { kNow, kAtOpen };

  // Figure 5, at configuration: adds a path, or configures a known one again, and registers it.
  // That it cannot be registered is no error. kIo: `device` cannot be opened, or the logical unit
  // has never told its name; kInvalid: it leads to another logical unit.
  Status Add(const std::string& device, Registering when = Registering::kNow);

  // Figure 6: releases what a close has left, unregisters the path and forgets it. kInvalid: it is
  // none of the group's; or the group is open and would be left without the path that holds the
  // reservation. For a dead path another one unregisters; if there is none, or the group is open,
  // its registration stays, and TakeNotes() says so.
  Status Remove(const std::string& device);

  // Box 520: registers every path, whatever was registered. ok if at least one is; kInUse if
  // another host keeps all of them out with RESERVE of SPC-2. Who is registered has access: also a
  // host that was fenced before.
  Status Register();

  // Figures 7 to 11. An error leaves the group as open as it was. kInUse: and nothing is registered
  // by it, so that a host that was fenced stays out.
  Status Open(OpenMode mode);

  // Figure 12. ok also if the group is not open, and if the reservation is another's by now. With
  // an all registrants type this host unregisters: who stays keeps the reservation.
  Status Close();

  // Has the logical unit forget all registrations with the key of another host, abort its commands,
  // and release its reservation (SPC-3 5.6.10.5). ok also if nobody is registered with the key
  // any more. kInUse: this host is not registered itself, it was fenced. kInvalid: `key` is 0 or
  // this host's own, or the storage has no persistent reservations; or none keeps out who is not
  // registered, so that nobody is fenced.
  Status PreemptAndAbort(uint64_t key);

  // Asks the first path that answers; changes nothing, and saves nothing.
  Status Look(View* view);

  // For people: what went on without being an error. Since the last call.
  std::vector<std::string> TakeNotes();

 private:
  // How often an operation looks again because somebody else has changed the reservation.
  static constexpr int kMostRounds = 8;

  // Of the reservation; kShared: of an all registrants type, ours and other hosts'.
  enum class Owner { kNobody, kUs, kShared, kOther };
  using Send = std::function<Reply(Initiator&)>;

  // Paths.
  Initiator* Use(size_t path);
  Status OpenPath(const std::string& device, std::unique_ptr<Initiator>* initiator) const;
  Status CheckUnit(const std::string& device, Initiator& initiator, Reply* reply);
  std::optional<size_t> FindPath(const std::string& device) const;
  std::vector<size_t> Order() const;
  std::optional<size_t> LivePath();
  void MarkDead(size_t path, const std::string& why);
  void CloseAll();
  void Revive();

  // Steps.
  Status Save() const { return options_.save ? options_.save(state_) : Status(); }
  Status Change(Step step, size_t path, const Send& send, const std::function<void()>& if_good,
                Reply* reply);
  void Settle();
  Reply FindOwner(size_t path, std::optional<HeldReservation>* held, Owner* owner);
  void Note(Owner owner, size_t path);
  Status Failed(size_t path, const char* what, const Reply& reply) const;
  Status NoPath() const;
  Status ReservedByAnother(const HeldReservation& held) const;

  // Figures 5 and 6.
  Status Configure(size_t path);
  Status RegisterPath(size_t path, uint64_t known_as, Reply* reply);
  Status RegisterAll();
  Status RegisterAgain(size_t but_not);
  Status Unregister(size_t path);
  Status UnregisterDead(size_t path);
  void Forget(size_t path);

  // Figures 7 to 11.
  Status CheckMayOpen(OpenMode mode) const;
  Status CheckIsFree(OpenMode mode);
  Status OpenPersistent(OpenMode mode);
  Status Refuse(const HeldReservation& held);
  Status Opened(OpenMode mode);
  std::optional<Status> Act(OpenMode mode, Owner owner, size_t path,
                            const std::optional<HeldReservation>& held);
  std::optional<Status> Reserve(OpenMode mode, size_t path);
  std::optional<Status> Take(OpenMode mode, size_t path, const HeldReservation& held);
  std::optional<Status> Keep(OpenMode mode, const HeldReservation& held);
  Type TypeOf(OpenMode mode) const;

  // Figure 12.
  Status ReleaseReservation();
  Status ReleaseBy(size_t path, bool* released);
  Status TakeOverAndRelease(size_t path, Type type, bool* released);
  Status Leave(bool* released);
  std::optional<Status> IsFenced(size_t path, uint64_t key);

  // The single path function.
  Status OpenSinglePath(OpenMode mode);
  Status ReleaseSinglePath();

  GroupState state_;
  const Options options_;
  std::vector<std::unique_ptr<Initiator>> initiators_;  // one for each path; null: not open
  std::vector<std::string> troubles_;                   // why a path is dead, likewise
  std::vector<std::string> notes_;
};

}  // namespace scsi_pr
