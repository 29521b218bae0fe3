// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/connection.h"

#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>

#include "cluster/names.h"
#include "store/quiet_thread.h"

namespace scsi_pr::cluster {

namespace {

using Clock = std::chrono::steady_clock;
using Code = Status::Code;

// How long a wish to cancel, or room in the daemon's queue, may go unnoticed.
constexpr std::chrono::milliseconds kPoll{10};

// 0 or an errno.
int ConnectTo(int fd, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  memcpy(address.sun_path, path.data(), path.size());
  const int result =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  return result;
}

// By the directory's descriptor. Where there is no /proc, a thread with a working directory
// of its own goes there.
int ConnectIn(const RuntimeDirectory& directory, int fd) {
  const std::string by_proc = "/proc/self/fd/" + std::to_string(directory.fd()) + "/" + kSocketName;
  const int error = ConnectTo(fd, by_proc);
  if (error != ENOENT || access("/proc/self/fd", F_OK) == 0) return error;
  int result = 0;
  StartQuietThread([&] {
    const bool there = unshare(CLONE_FS) == 0 && fchdir(directory.fd()) == 0;
    result = there ? ConnectTo(fd, kSocketName) : errno;
  }).join();
  return result;
}

Status NoAnswer(const RuntimeDirectory& directory, int error) {
  const std::string where = directory.path() + "/" + kSocketName;
  const std::string hint =
      error == EACCES || error == EPERM
          ? "The user that runs QEMU must be in the group that the configuration of scsi-prd names."
          : "The daemon of this host is needed for cluster: stores: systemctl start scsi-prd. It "
            "and QEMU need one runtime directory (pr-runtime-dir).";
  return Status::Error(error == EAGAIN ? Code::kBusy : Code::kIo,
                       "scsi-prd does not answer at " + where + ": " +
                           (error == EAGAIN ? "it takes no connection in time" : strerror(error)),
                       hint);
}

Status Ended() {
  return Status::Error(Code::kIo, "scsi-prd has ended the connection",
                       "Was it stopped? Its log says why.");
}

}  // namespace

Status NotInTime() {
  return Status::Error(Code::kBusy, "scsi-prd does not answer in time",
                       "Is it stopped, or etcd away? Its log says why.");
}

Connection::Connection(Connection&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), reader_(std::move(other.reader_)) {}

Connection& Connection::operator=(Connection&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(reader_, other.reader_);
  return *this;
}

void Connection::Close() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
  reader_ = {};
}

Status Connection::Failed(Status status) {
  Close();
  return status;
}

// A queue that is full does not make connect() wait, nor poll().
Status Connection::Connect(const RuntimeDirectory& directory, Deadline deadline) {
  Close();
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return NoAnswer(directory, errno);
  for (;;) {
    const int error = ConnectIn(directory, fd_);
    if (error == 0) return Status();
    if (error != EAGAIN || Clock::now() >= deadline) return Failed(NoAnswer(directory, error));
    std::this_thread::sleep_for(kPoll);
  }
}

bool Connection::WaitFor(short events, Deadline deadline, const Cancelled& cancelled) const {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0 || cancelled()) return false;
    pollfd ready = {fd_, events, 0};
    if (poll(&ready, 1, static_cast<int>(std::min(left, kPoll).count())) > 0) return true;
  }
}

Status Connection::Send(const nlohmann::json& message, Deadline deadline,
                        const Cancelled& cancelled) {
  if (!connected()) return Ended();
  FrameWriter writer;
  if (Status status = writer.Add(message); !status.ok()) return status;
  for (;;) {
    if (!writer.WriteTo(fd_).ok()) return Failed(Ended());
    if (writer.empty()) return Status();
    if (!WaitFor(POLLOUT, deadline, cancelled)) return Failed(NotInTime());
  }
}

Status Connection::Receive(nlohmann::json* message, Deadline deadline, const Cancelled& cancelled) {
  if (!connected()) return Ended();
  for (;;) {
    bool ended = false;
    bool found = false;
    if (!reader_.ReadFrom(fd_, &ended).ok()) return Failed(Ended());
    if (Status status = reader_.Next(message, &found); !status.ok()) return Failed(status);
    if (found) return Status();
    if (ended) return Failed(Ended());
    if (!WaitFor(POLLIN, deadline, cancelled)) return Failed(NotInTime());
  }
}

}  // namespace scsi_pr::cluster
