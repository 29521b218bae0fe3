// SPDX-License-Identifier: GPL-2.0-or-later
//
// `file:/PATH` - the store that all processes of a host share.
//
//   PATH        SQLite database: the last committed record       (database.h)
//   PATH-wal,-shm                SQLite's own
//   PATH-gate   the gate that all processes map                  (gate_file.h)
//
// Locks on bytes of PATH (range_lock.h):
//   kChangeLock      whoever reads to change, commits and publishes
//   kSlotLocks + i   the process that attached gate slot i, while it lives
//
// A process may die between commit and publication. Whoever next reads or
// changes the state sees that `published` lags behind the committed version,
// and publishes first: no status is ever derived from a state that is not
// yet in force.
#pragma once

#include <memory>
#include <mutex>
#include <set>

#include "store/database.h"
#include "store/gate_file.h"
#include "store/range_lock.h"
#include "store/store.h"

namespace scsi_pr {

class FileStore : public Store {
 public:
  // The one object of this process for that file.
  static Status Open(const std::string& path, OpenMode mode, std::shared_ptr<Store>* store);
  ~FileStore() override;

  Capabilities capabilities() const override { return {.persist_through_power_loss = true}; }
  Status Attach(const Nexus& nexus, const std::string& owner, GateSlot** slot) override;
  void Detach(GateSlot* slot) override;
  Status Read(Snapshot* snapshot) override;
  Status Update(const Transition& transition, Outcome* outcome) override;

 private:
  class ChangeLock;

  FileStore(std::string path, std::unique_ptr<RangeLock> locks, std::unique_ptr<Database> database);

  Status OpenGate();
  Status CheckStillThere() const;
  Status CheckGate();
  bool IsLive(size_t index);
  bool TakeSlot(size_t* index);
  Status LoadPublished(Record* record);
  Status ReleaseForTheGone(Record* record);
  Status Commit(Record* record, State state, std::vector<UnitAttention> unit_attentions);

  const std::string path_;
  // In this order: SQLite closes the file before the locks do (range_lock.h).
  const std::unique_ptr<RangeLock> locks_;
  const std::unique_ptr<Database> database_;
  std::unique_ptr<GateFile> gate_file_;

  std::mutex mutex_;  // database_, and the change lock among threads
  std::mutex own_mutex_;
  std::set<size_t> own_slots_;  // attached by this process
};

}  // namespace scsi_pr
