// SPDX-License-Identifier: GPL-2.0-or-later
//
// etcd as the engine, by its JSON gateway over HTTP/1.1: what Debian packages, 3.4 and 3.5.
// docs/many-hosts.md says what is relied upon.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/engine.h"
#include "agent/etcd_messages.h"
#include "agent/http.h"
#include "core/status.h"
#include "store/mutex.h"

namespace scsi_pr::agent {

struct EtcdOptions {
  // "http://host:port" or "https://host:port"; the first is tried first.
  std::vector<std::string> endpoints{};
  // Where ca-cert.pem, client-cert.pem and client-key.pem are; needed for https.
  std::string tls_directory{};
  // Who we are, if etcd wants to know: a user and his password, or a file with a token, which
  // is read again when etcd no longer takes the token.
  std::string user{}, password{};
  std::string token_file{};
};

class EtcdEngine : public Engine {
 public:
  // Looks at the options and at the files, not at the network. kInvalid or kIo.
  static Status Create(const EtcdOptions& options, std::unique_ptr<EtcdEngine>* engine);

  Answer Read(const std::vector<Range>& ranges) override;
  Answer Txn(const Transaction& transaction) override;
  std::unique_ptr<Hints> Hint(const std::string& prefix, Look look) override;
  Identity Identify() override;

 private:
  class Watch;

  // A simple token is known to the member that gave it, so each endpoint has its own.
  struct Endpoint {
    std::string url;
    Mutex mutex;  // one thread at a time proves who we are
    std::string token GUARDED_BY(mutex);
  };
  // What came of one request.
  struct Reply {
    std::string body;  // unless there is an error
    std::optional<EtcdError> error;
  };

  EtcdEngine(EtcdOptions options, TlsFiles tls);

  bool has_credentials() const { return !options_.user.empty() || !options_.token_file.empty(); }
  // One sending, to the first endpoint that takes it.
  Reply Call(const char* path, const std::string& body);
  Reply CallEndpoint(Endpoint& endpoint, const char* path, const std::string& body,
                     Http::Milliseconds limit);
  Reply Send(const Endpoint& endpoint, const char* path, const std::string& body,
             const std::string& token, Http::Milliseconds limit);
  // A token that is not `refused`.
  std::optional<EtcdError> GetToken(Endpoint& endpoint, const std::string& refused,
                                    std::string* token);
  std::optional<EtcdError> NewToken(Endpoint& endpoint) REQUIRES(endpoint.mutex);
  Failure ReadToken(std::string* token) const;
  void PreferNext(size_t index);

  const EtcdOptions options_;
  const TlsFiles tls_;
  Http http_;
  std::vector<std::unique_ptr<Endpoint>> endpoints_;
  std::atomic<size_t> preferred_ = 0;
};

}  // namespace scsi_pr::agent
