// SPDX-License-Identifier: GPL-2.0-or-later
//
// An HTTP server that says what a test wants, on a port of its own.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace scsi_pr::agent {

struct FakeRequest {
  std::string path;
  std::string head;  // all of it, with the request line
  std::string body;
};

// What goes over the connection, as it is; then it is closed. HttpText() makes an HTTP answer.
using FakeHandler = std::function<std::string(const FakeRequest& request)>;

inline std::string HttpText(const std::string& body, int code = 200) {
  return "HTTP/1.1 " + std::to_string(code) +
         " X\r\nContent-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" +
         body;
}

class FakeHttp {
 public:
  // An empty answer: nothing is said, and the connection stays open.
  explicit FakeHttp(FakeHandler handler)
      : handler_(std::move(handler)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Accept(); });
  }
  ~FakeHttp() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    for (const int connection : connections_) shutdown(connection, SHUT_RDWR);
    for (std::thread& thread : threads_) thread.join();
    for (const int connection : connections_) close(connection);
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<FakeRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Accept() {
    for (int connection; (connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      connections_.push_back(connection);
      threads_.emplace_back([this, connection] { Serve(connection); });
    }
  }

  static bool ReadRequest(int connection, FakeRequest* request) {
    std::string text;
    size_t end = std::string::npos, length = 0;
    char buffer[65536];
    while (end == std::string::npos || text.size() < end + 4 + length) {
      const ssize_t n = read(connection, buffer, sizeof(buffer));
      if (n <= 0) return false;
      text.append(buffer, static_cast<size_t>(n));
      if (end != std::string::npos || (end = text.find("\r\n\r\n")) == std::string::npos) continue;
      const size_t at = text.find("Content-Length: ");
      length = at < end ? std::stoul(text.substr(at + 16)) : 0;
    }
    request->head = text.substr(0, end);
    request->body = text.substr(end + 4);
    request->path = text.substr(5, text.find(' ', 5) - 5);  // behind "POST "
    return true;
  }

  void Serve(int connection) {
    FakeRequest request;
    if (!ReadRequest(connection, &request)) return;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    const std::string answer = handler_(request);
    if (answer.empty()) return;
    for (size_t sent = 0; sent < answer.size();) {
      const ssize_t n = send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<size_t>(n);
    }
    shutdown(connection, SHUT_RDWR);
  }

  const FakeHandler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<FakeRequest> requests_;
  std::vector<int> connections_;      // of the accepting thread, until that has ended
  std::vector<std::thread> threads_;  // likewise
  std::thread thread_;
};

}  // namespace scsi_pr::agent
