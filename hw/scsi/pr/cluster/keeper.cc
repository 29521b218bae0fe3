// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/keeper.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <memory>
#include <system_error>
#include <utility>

#include "core/guarded.h"
#include "gate/gate.h"
#include "store/quiet_thread.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

// How long one attempt may take, to carry out an errand, and to open the use.
constexpr std::chrono::milliseconds kAttempt{5000};
constexpr std::chrono::milliseconds kOpening{2000};

int MakeEventDescriptor() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
  return fd;
}

}  // namespace

Status Keeper::OpenUse(const Client& client, bool existing, Deadline deadline,
                       const Cancelled& cancelled, Connection* use, json* result) {
  json request = client.Request("open");
  request["boottime"] = BootTime();
  if (existing) request["existing"] = true;
  json answer;
  const Status status = client.Converse(request, deadline, cancelled, use, &answer);
  return status.ok() ? ResultOf(answer, result) : status;
}

Keeper::Keeper(const Client& client, Connection use, Hear hear)
    : client_(client), hear_(std::move(hear)), wake_fd_(MakeEventDescriptor()) {
  use_ = std::move(use);
  try {
    thread_ = StartQuietThread([this] {
      kThread.AssertHeld();
      Run();
    });
  } catch (...) {
    close(wake_fd_);
    throw;
  }
}

Keeper::~Keeper() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
  for (const Errand& errand : errands_) client_.Hint(errand.request);
  close(wake_fd_);
}

void Keeper::Wake() const {
  const uint64_t one = 1;
  // Full: it is awake anyway.
  static_cast<void>(!write(wake_fd_, &one, sizeof one));
}

bool Keeper::IsStopping() {
  const MutexLock lock(mutex_);
  return stopping_;
}

void Keeper::Submit(Errand errand) {
  {
    const MutexLock lock(mutex_);
    errands_.push_back(std::move(errand));
  }
  Wake();
}

Status Keeper::Ask(json request, Deadline deadline, json* result) {
  using Answer = std::pair<Status, json>;
  const auto answer = std::make_shared<std::promise<Answer>>();
  auto future = answer->get_future();
  Submit({.request = std::move(request), .done = [answer](const Status& status, const json& what) {
            answer->set_value({status, what});
          }});
  if (future.wait_until(deadline) != std::future_status::ready) return NotInTime();
  Answer answered = future.get();
  *result = std::move(answered.second);
  return answered.first;
}

std::optional<Keeper::Errand> Keeper::Next() {
  const MutexLock lock(mutex_);
  if (errands_.empty() || Clock::now() < again_) return std::nullopt;
  Errand errand = std::move(errands_.front());
  errands_.pop_front();
  return errand;
}

// Nothing is ever said on it: what comes is its end, or garbage.
void Keeper::LookAfterUse() {
  pollfd ready = {use_.fd(), POLLIN, 0};
  if (use_.connected() && poll(&ready, 1, 0) != 0) {
    use_.Close();
    away_since_ = Clock::now();
    tried_ = {};
  }
  if (!use_.connected() && Clock::now() - tried_ >= kRetry) Reopen();
}

void Keeper::Reopen() {
  tried_ = Clock::now();
  const auto stopping = [this] { return IsStopping(); };
  json result;
  const Status status = OpenUse(client_, true, tried_ + kOpening, stopping, &use_, &result);
  if (!status.ok()) use_.Close();
  if (!status.ok() && Clock::now() - away_since_ < kLate) return;
  static_cast<void>(Guarded("scsi-prd", [&] { return hear_(status), Status(); }).ok());
}

// One that is to be repeated stays the first: none may overtake it.
void Keeper::CarryOut(Errand errand) {
  const auto stopping = [this] { return IsStopping(); };
  json result;
  const Status status = client_.Ask(errand.request, Clock::now() + kAttempt, stopping, &result);
  const bool undecided = status.code() == Status::Code::kBusy ||
                         status.code() == Status::Code::kIo ||
                         status.code() == Status::Code::kUnknown;
  if (errand.repeat && undecided) {
    const MutexLock lock(mutex_);
    errands_.push_front(std::move(errand));
    again_ = Clock::now() + kRetry;
  } else if (errand.done) {
    static_cast<void>(
        Guarded("scsi-prd", [&] { return errand.done(status, result), Status(); }).ok());
  }
}

// Until there is something to do: at once for news, soon for what has failed.
void Keeper::Sleep() {
  pollfd ready[] = {{wake_fd_, POLLIN, 0}, {use_.fd(), POLLIN, 0}};
  const bool soon = !use_.connected() || HasErrands();
  poll(ready, 2, soon ? static_cast<int>(kRetry.count()) : -1);
  uint64_t count = 0;
  static_cast<void>(!read(wake_fd_, &count, sizeof count));
}

bool Keeper::HasErrands() {
  const MutexLock lock(mutex_);
  return !errands_.empty();
}

void Keeper::Run() {
  while (!IsStopping()) {
    LookAfterUse();
    if (auto errand = Next()) {
      CarryOut(std::move(*errand));
    } else {
      Sleep();
    }
  }
}

}  // namespace scsi_pr::cluster
