// SPDX-License-Identifier: GPL-2.0-or-later
//
// A program of the administrator's that cuts a host off the storage, or off its power: its exit
// code 0 says that no command of that host reaches a medium any more. Each call here: on the
// loop's thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/loop.h"
#include "core/status.h"

namespace scsi_pr::agent {

class FenceCommand {
 public:
  // Given up, and ended, after so long.
  static constexpr Time kLimit = 60 * kSecond;

  // Begins at once: `arguments`, of which the first is the program, without a shell, with what
  // it says going where the daemon's stderr goes. `done` comes later, and not once this is gone;
  // it may take this away.
  FenceCommand(Loop& loop, const std::vector<std::string>& arguments,
               std::function<void(const Status&)> done);
  // What still runs is killed, with all its children.
  ~FenceCommand();
  FenceCommand(const FenceCommand&) = delete;
  FenceCommand& operator=(const FenceCommand&) = delete;

 private:
  void Ended(int wait_status);
  void Tell(Status status);
  void GiveUp();
  void Kill() const;

  const std::string program_;
  const std::function<void(const Status&)> done_;
  GPid pid_ = 0;
  bool is_late_ = false;
  Status failed_;  // to begin
  std::unique_ptr<Loop::Source> child_;
  std::unique_ptr<Loop::Source> limit_;
};

}  // namespace scsi_pr::agent
