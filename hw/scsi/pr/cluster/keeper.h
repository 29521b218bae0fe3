// SPDX-License-Identifier: GPL-2.0-or-later
//
// The thread of a store that talks to the daemon where nobody may wait for that. It keeps the
// connection that says that this process uses the logical unit, and opens it anew when the
// daemon was started anew: I/O goes on meanwhile, as long as the gate says. And it carries
// errands out, one after the other.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <optional>
#include <thread>

#include <nlohmann/json.hpp>

#include "cluster/client.h"
#include "store/mutex.h"

namespace scsi_pr::cluster {

class Keeper {
 public:
  // How soon it tries again, and how long it tries in vain before somebody is told.
  static constexpr std::chrono::milliseconds kRetry{200};
  static constexpr std::chrono::milliseconds kLate{3000};

  struct Errand {
    nlohmann::json request;
    // Until the daemon has done or refused it; else once.
    bool repeat = false;
    // On the thread; may be null. Must not wait for it.
    std::function<void(const Status&, const nlohmann::json& result)> done = nullptr;
  };

  // Told on the thread how the use is: kOk when it was opened anew, and errors when there has
  // been none for kLate. `client` outlives it.
  using Hear = std::function<void(const Status&)>;
  // `use`: has been opened. Throws std::system_error if there are no more threads, or
  // descriptors.
  Keeper(const Client& client, Connection use, Hear hear);
  // Errands that wait are sent, and nobody hears how they went.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // What opens the logical unit; `*use` stays open, `*result` is what the daemon says.
  static Status OpenUse(const Client& client, bool existing, Deadline deadline,
                        const Cancelled& cancelled, Connection* use, nlohmann::json* result);

  // Behind those before it. Any thread, never waits.
  void Submit(Errand errand);
  // Submits it and waits for the answer. kBusy: not in time; it may be carried out later.
  Status Ask(nlohmann::json request, Deadline deadline, nlohmann::json* result);

 private:
  static constexpr Role kThread{};

  void Run() REQUIRES(kThread);
  void LookAfterUse() REQUIRES(kThread);
  void Reopen() REQUIRES(kThread);
  std::optional<Errand> Next();
  void CarryOut(Errand errand) REQUIRES(kThread);
  void Sleep() REQUIRES(kThread);
  bool HasErrands();
  bool IsStopping();
  void Wake() const;

  const Client& client_;
  const Hear hear_;
  const int wake_fd_;
  Connection use_ GUARDED_BY(kThread);
  // Since when there is none, and when it was last tried to open one.
  std::chrono::steady_clock::time_point away_since_ GUARDED_BY(kThread);
  std::chrono::steady_clock::time_point tried_ GUARDED_BY(kThread);

  Mutex mutex_;
  std::deque<Errand> errands_ GUARDED_BY(mutex_);
  std::chrono::steady_clock::time_point again_ GUARDED_BY(mutex_);  // not before
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace scsi_pr::cluster
