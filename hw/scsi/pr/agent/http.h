// SPDX-License-Identifier: GPL-2.0-or-later
//
// POST over HTTP/1.1 or TLS, by libcurl: connections that are kept, time limits, answers of
// bounded size. Never a proxy, a redirection, or another protocol.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store/mutex.h"

namespace scsi_pr::agent {

// Paths of PEM files; all empty without TLS.
struct TlsFiles {
  std::string ca, certificate, key;
};

struct HttpRequest {
  std::string url;
  std::string body;
  std::vector<std::string> headers;  // "Name: value"
};

struct HttpAnswer {
  bool sent = false;   // something of the request may have arrived
  bool whole = false;  // the answer is complete
  std::string body;
  std::string error;  // printable; of what is not whole
};

class Http {
 public:
  using Milliseconds = std::chrono::milliseconds;

  explicit Http(TlsFiles tls);
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;

  // Any threads. `connect` and `all` bound the time; if none is left, nothing is sent.
  HttpAnswer Post(const HttpRequest& request, Milliseconds connect, Milliseconds all);

  // An answer without an end: `line` gets each line of it, and says whether to go on. Ends
  // when it does not, when the connection does, or soon after Interrupt(). One thread.
  void Follow(const HttpRequest& request, Milliseconds connect,
              const std::function<bool(std::string_view line)>& line);
  // Any thread: Follow() ends, now and ever after.
  void Interrupt();

 private:
  struct Connection;
  struct Following;

  std::unique_ptr<Connection> Take();
  void PutBack(std::unique_ptr<Connection> connection);

  const TlsFiles tls_;
  Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_ GUARDED_BY(mutex_);
  const std::unique_ptr<Following> following_;
};

}  // namespace scsi_pr::agent
