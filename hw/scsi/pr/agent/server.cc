// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/server.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/daemon.h"
#include "agent/requests.h"
#include "cluster/names.h"
#include "cluster/wire.h"
#include "core/guarded.h"

namespace scsi_pr::agent {

namespace {

// Who connects says what he wants at once.
constexpr Time kSilence = 5 * kSecond;

Status CannotListen(const std::string& path) {
  return Status::Error(Status::Code::kIo, "cannot listen at " + path + ": " + strerror(errno),
                       "The daemon must be able to write to the runtime directory.");
}

// By a path that is short enough whatever the directory's is.
sockaddr_un Address(const RuntimeDirectory& directory) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string path =
      "/proc/self/fd/" + std::to_string(directory.fd()) + "/" + cluster::kSocketName;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

bool IsAnswered(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  const bool answered =
      fd >= 0 && (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
                  errno == EAGAIN);
  if (fd >= 0) close(fd);
  return answered;
}

std::optional<Peer> PeerOf(int fd) {
  ucred credentials = {};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return std::nullopt;
  Peer peer;
  peer.user = credentials.uid;
  peer.groups = {credentials.gid};
  // Those that he has besides, where the kernel tells.
  gid_t groups[256];
  size = sizeof groups;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
    peer.groups.insert(peer.groups.end(), groups, groups + size / sizeof *groups);
  }
  return peer;
}

}  // namespace

// ---------------------------------------------------------------- A connection

class Server::Connection : public Client, public std::enable_shared_from_this<Connection> {
 public:
  Connection(Daemon& daemon, int fd, Peer peer)
      : daemon_(daemon), fd_(fd), peer_(std::move(peer)), silent_until_(Loop::Now() + kSilence) {}
  ~Connection() override { close(fd_); }

  void Start() {
    reading_ = daemon_.loop().Watch(fd_, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP | G_IO_ERR),
                                    [this] { return Read(); });
    Read();  // who connects has sent something already, most of the times
  }

  void Send(const nlohmann::json& frame) override {
    if (closed_) return;
    if (writer_.Add(frame).ok()) {
      Write();
    } else {
      Close();
    }
  }
  void End(const nlohmann::json& frame) override {
    ending_ = true;
    Send(frame);
  }

  // Nothing is to be done any more.
  bool IsOver(Time now) {
    if (!closed_ && !request_ && now >= silent_until_) Close();
    return closed_;
  }
  Time silent_until() const { return request_ || closed_ ? kNever : silent_until_; }
  void Leave() { Close(); }

 private:
  bool Read() {
    const auto self = shared_from_this();
    bool goes_on = true;
    while (goes_on && !closed_ && !ending_) {
      const Status status = Guarded("a client", [this, &goes_on] { return ReadOne(&goes_on); });
      if (status.ok()) continue;
      daemon_.house().log.Say(Message::kDetail, status);
      Close();
    }
    daemon_.Wake();
    return !closed_;
  }

  // False in `*goes_on` when there is no more now.
  Status ReadOne(bool* goes_on) {
    bool ended = false;
    bool found = false;
    nlohmann::json message;
    Status status = reader_.ReadFrom(fd_, &ended);
    if (status.ok()) status = reader_.Next(&message, &found);
    if (!status.ok()) return status;
    if (found) {
      Receive(message);
    } else {
      *goes_on = false;
      if (ended) Close();
    }
    return status;
  }

  void Receive(const nlohmann::json& frame) {
    const Time now = Loop::Now();
    if (request_) return request_->Receive(frame, now);
    request_ = StartRequest(daemon_, shared_from_this(), peer_, frame, now);
  }

  void Write() {
    if (!writer_.WriteTo(fd_).ok()) return Close();
    if (writer_.empty()) {
      writing_.reset();
      if (ending_) Close();
    } else if (!writing_) {
      writing_ = daemon_.loop().Watch(fd_, G_IO_OUT, [this] { return WriteMore(); });
    }
  }
  // As long as there is more.
  bool WriteMore() {
    const auto self = shared_from_this();
    const bool taken = writer_.WriteTo(fd_).ok();
    if (taken && !writer_.empty()) return true;
    if (!taken || ending_) Close();
    self->daemon_.loop().Post([self] { self->writing_.reset(); });
    return false;
  }

  void Close() {
    if (std::exchange(closed_, true)) return;
    if (request_) request_->ClientGone(Loop::Now());
    shutdown(fd_, SHUT_RDWR);
  }

  Daemon& daemon_;
  const int fd_;
  const Peer peer_;
  const Time silent_until_;
  cluster::FrameReader reader_;
  cluster::FrameWriter writer_;
  std::unique_ptr<Request> request_;
  std::unique_ptr<Loop::Source> reading_, writing_;
  bool ending_ = false;
  bool closed_ = false;
};

// ---------------------------------------------------------------- The socket

Status Server::Create(Daemon& daemon, std::shared_ptr<const RuntimeDirectory> directory,
                      gid_t group, std::unique_ptr<Server>* server) {
  const sockaddr_un address = Address(*directory);
  const std::string path = directory->path() + "/" + cluster::kSocketName;
  if (IsAnswered(address)) {
    return Status::Error(Status::Code::kBusy, "another scsi-prd answers at " + path,
                         "One daemon serves a runtime directory. Stop the other one.");
  }
  directory->Remove(cluster::kSocketName);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return CannotListen(path);
  server->reset(new Server(daemon, std::move(directory), fd));
  // Nobody but its owner, until the group may.
  const mode_t before = umask(0177);
  const bool bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  umask(before);
  if (!bound || chown(address.sun_path, static_cast<uid_t>(-1), group) != 0 ||
      chmod(address.sun_path, 0660) != 0 || listen(fd, SOMAXCONN) != 0) {
    const Status status = CannotListen(path);
    server->reset();
    return status;
  }
  (*server)->accepting_ =
      daemon.loop().Watch(fd, G_IO_IN, [server = server->get()] { return server->Accept(); });
  return Status();
}

Server::Server(Daemon& daemon, std::shared_ptr<const RuntimeDirectory> directory, int fd)
    : daemon_(daemon), directory_(std::move(directory)), fd_(fd) {}

Server::~Server() {
  accepting_.reset();
  for (const auto& connection : connections_) connection->Leave();
  connections_.clear();
  close(fd_);
}

bool Server::Accept() {
  for (;;) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) return true;
    const auto peer = PeerOf(fd);
    if (!peer || connections_.size() >= kMostConnections) {
      close(fd);
      continue;
    }
    connections_.push_back(std::make_shared<Connection>(daemon_, fd, *peer));
    connections_.back()->Start();
  }
}

void Server::Tick(Time now) {
  connections_.remove_if([now](const auto& connection) { return connection->IsOver(now); });
}

Time Server::NextTick() const {
  Time next = kNever;
  for (const auto& connection : connections_) next = std::min(next, connection->silent_until());
  return next;
}

}  // namespace scsi_pr::agent
