// SPDX-License-Identifier: GPL-2.0-or-later
//
// The physical disks on which cluster: disks are: to each, all paths of a host are one path group
// (path/path_group.h) with one key, and all hosts share one reservation of the type Write Exclusive
// - All Registrants. A host is fenced by PREEMPT AND ABORT of its key in each group: the storage
// ends what it has, and refuses what is on its way still.
//
// A host registers only while nothing of it is under way: it would let in again what somebody has
// fenced. All of this waits for the storage, so it has a thread of its own, on which one thing is
// done after the other; what is asked for, and told, is so on the loop's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/loop.h"
#include "core/status.h"
#include "path/sg_transport.h"
#include "store/runtime_directory.h"

namespace scsi_pr::agent {

class StorageFence {
 public:
  struct Options {
    // Groups, as all hosts call them, and the devices of each on this host.
    std::map<std::string, std::vector<std::string>> groups;
    std::string machine_id;  // of this host, from which its keys are derived
    std::shared_ptr<const RuntimeDirectory> directory;
    OpenTransport open = SgTransport::Open;
    // Devices::Expand().
    std::function<Status(const std::string& device, std::vector<std::string>* paths)> expand;
  };
  // Not called once this is gone; it may take away what it belongs to.
  using Done = std::function<void(const Status&)>;

  // Throws std::system_error if there are no more threads.
  StorageFence(Loop& loop, Options options);
  // Waits for nothing. A command that is under way ends by itself; until then its group is locked,
  // so that a successor of this process does not register beside it.
  ~StorageFence();
  StorageFence(const StorageFence&) = delete;
  StorageFence& operator=(const StorageFence&) = delete;

  std::vector<std::string> groups() const;  // sorted

  // Registers this host by all paths that work, one for each group at least.
  void Register(Done done);
  // kInUse: this host is registered no more, or what has kept others out is gone. Another error:
  // nobody can say.
  void Check(Done done);
  // Of the host with that machine id. ok: nothing of it reaches any of the disks any more.
  void Fence(const std::string& machine_id, Done done);

 private:
  class Thread;

  const std::shared_ptr<Thread> thread_;
};

}  // namespace scsi_pr::agent
