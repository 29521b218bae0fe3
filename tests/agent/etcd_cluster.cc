// SPDX-License-Identifier: GPL-2.0-or-later
#include "etcd_cluster.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

namespace scsi_pr::agent {

namespace {

using namespace std::chrono_literals;

// Ports that nobody has, all different.
std::vector<int> FreePorts(size_t count) {
  std::vector<int> sockets, ports;
  for (size_t i = 0; i < count; i++) {
    sockets.push_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(sockets.back(), reinterpret_cast<sockaddr*>(&address), size), 0);
    getsockname(sockets.back(), reinterpret_cast<sockaddr*>(&address), &size);
    ports.push_back(ntohs(address.sin_port));
  }
  for (const int each : sockets) close(each);
  return ports;
}

pid_t Spawn(const std::vector<std::string>& command, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  const int out = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execvp(arguments[0], arguments.data());
  _exit(127);
}

std::string Memory() { return access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : ::testing::TempDir(); }

}  // namespace

std::string WhyNoEtcd() {
  for (const char* path : {"/usr/bin/etcd", "/usr/local/bin/etcd"}) {
    if (access(path, X_OK) == 0) return "";
  }
  return "there is no etcd; scripts/deps etcd installs it";
}

std::string PostTo(const std::string& url, const std::string& body, const std::string& token,
                   const TlsFiles& tls) {
  Http http(tls);
  HttpRequest request{url, body, {}};
  if (!token.empty()) request.headers.push_back("Authorization: " + token);
  return http.Post(request, 1s, 10s).body;
}

EtcdCluster::EtcdCluster(size_t members, std::vector<std::string> arguments)
    : directory_(Memory()), arguments_(std::move(arguments)) {
  const bool has_tls = std::ranges::find(arguments_, "--cert-file") != arguments_.end();
  const std::vector<int> ports = FreePorts(2 * members);
  for (size_t i = 0; i < members; i++) {
    members_.push_back(
        {(has_tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(ports[2 * i]),
         "http://127.0.0.1:" + std::to_string(ports[2 * i + 1])});
  }
  for (size_t i = 0; i < members; i++) Start(i);
  for (const Member& member : members_) {
    if (!has_tls) WaitFor(member);
  }
}

// Until it answers what needs all of it.
void EtcdCluster::WaitFor(const Member& member) const {
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  while (PostTo(member.client + "/v3/kv/range", R"({"key":"YQ=="})").find("\"header\"") ==
         std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << testing::ReadFile(directory_ / "log");
    std::this_thread::sleep_for(50ms);
  }
}

EtcdCluster::~EtcdCluster() {
  for (size_t i = 0; i < members_.size(); i++) Kill(i);
}

void EtcdCluster::Start(size_t index) {
  const auto name = [](size_t i) { return "m" + std::to_string(i); };
  std::string all;
  for (size_t i = 0; i < members_.size(); i++) {
    all += (i > 0 ? "," : "") + name(i) + "=" + members_[i].peer;
  }
  Member& member = members_[index];
  std::vector<std::string> command = {"etcd",
                                      "--name",
                                      name(index),
                                      "--data-dir",
                                      directory_ / name(index),
                                      "--listen-client-urls",
                                      member.client,
                                      "--advertise-client-urls",
                                      member.client,
                                      "--listen-peer-urls",
                                      member.peer,
                                      "--initial-advertise-peer-urls",
                                      member.peer,
                                      "--initial-cluster",
                                      all,
                                      "--logger",
                                      "zap"};
  command.insert(command.end(), arguments_.begin(), arguments_.end());
  member.process = Spawn(command, directory_ / "log");
}

std::vector<std::string> EtcdCluster::Endpoints(size_t first) const {
  std::vector<std::string> endpoints;
  for (size_t i = 0; i < members_.size(); i++) {
    endpoints.push_back(members_[(first + i) % members_.size()].client);
  }
  return endpoints;
}

size_t EtcdCluster::Leader() const {
  for (size_t i = 0; i < members_.size(); i++) {
    const auto status = nlohmann::json::parse(
        PostTo(members_[i].client + "/v3/maintenance/status", "{}"), nullptr, false);
    if (!status.is_discarded() && status.at("header").at("member_id") == status.value("leader", ""))
      return i;
  }
  ADD_FAILURE() << "no member leads";
  return 0;
}

void EtcdCluster::Signal(size_t member, int signal) const {
  ASSERT_EQ(kill(members_[member].process, signal), 0);
  // Stopped is who stands still, not who will.
  if (signal == SIGSTOP) waitpid(members_[member].process, nullptr, WUNTRACED);
}

void EtcdCluster::Kill(size_t index) {
  Member& member = members_[index];
  if (member.process <= 0) return;
  kill(member.process, SIGKILL);
  waitpid(member.process, nullptr, 0);
  member.process = -1;
}

}  // namespace scsi_pr::agent
