// SPDX-License-Identifier: GPL-2.0-or-later
//
// The thread on which all of the daemon's machines run: what happens elsewhere (answers of the
// engine, clients, time) becomes a call on it, one at a time. GLib's main loop with C++ around
// it. What a call throws is told and ends nothing.
#pragma once

#include <glib.h>

#include <functional>
#include <memory>
#include <thread>

#include "agent/records.h"

namespace scsi_pr::agent {

class Loop {
 public:
  // `thrown` hears what a call has thrown.
  explicit Loop(std::function<void(const Status&)> thrown);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // CLOCK_BOOTTIME: it goes on while the machine sleeps.
  static Time Now();

  // `act` on the loop's thread, soon. Any thread; in their order.
  void Post(std::function<void()> act);

  // What the loop waits for; ends with this object. On the loop's thread.
  class Source {
   public:
    ~Source();
    Source(const Source&) = delete;
    Source& operator=(const Source&) = delete;
    // Of a timer: when it is to act next; once.
    void SetTime(Time when);

   private:
    friend class Loop;
    explicit Source(GSource* source) : source_(source) {}
    GSource* const source_;
  };
  std::unique_ptr<Source> Timer(std::function<void()> act);
  // `act` whenever `fd` is as `condition` says, for as long as it returns true.
  std::unique_ptr<Source> Watch(int fd, GIOCondition condition, std::function<bool()> act);
  // `act` when that child of this process has ended, and is reaped, with its wait status.
  std::unique_ptr<Source> Child(GPid pid, std::function<void(int)> act);

  void Run();   // until Quit()
  void Quit();  // any thread

 private:
  template <typename Result>
  Result Call(const std::function<Result()>& act, Result otherwise);

  const std::function<void(const Status&)> thrown_;
  GMainContext* const context_;
  GMainLoop* const loop_;
};

}  // namespace scsi_pr::agent
