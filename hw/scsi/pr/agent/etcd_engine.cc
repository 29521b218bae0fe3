// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/etcd_engine.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <regex>
#include <thread>
#include <utility>

#include "spc/text.h"

namespace scsi_pr::agent {

namespace {

using Kind = Failure::Kind;
using Milliseconds = Http::Milliseconds;
using Clock = std::chrono::steady_clock;

// An endpoint that does not even take a connection leaves time for the next one.
constexpr Milliseconds kConnect{500};
// etcd hashes the password (bcrypt), which has taken 2.6 s of a busy processor.
constexpr Milliseconds kAuthenticate{3000};
constexpr Milliseconds kWatchAgain{1000};

Milliseconds LeftUntil(Clock::time_point end) {
  return std::chrono::duration_cast<Milliseconds>(end - Clock::now());
}

Status CheckEndpoint(const std::string& url, bool has_tls) {
  static const std::regex kForm(R"(https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})");
  if (!std::regex_match(url, kForm)) {
    return Status::Error(Status::Code::kInvalid, "endpoint '" + url + "' is no address of an etcd",
                         "Write it as https://etcd1.example.org:2379.");
  }
  if (url.starts_with("https:") && !has_tls) {
    return Status::Error(Status::Code::kInvalid,
                         "endpoint '" + url + "' needs TLS, and no directory with its files is set",
                         "The directory has ca-cert.pem, client-cert.pem and client-key.pem.");
  }
  return Status();
}

Status CheckReadable(const std::string& path) {
  if (access(path.c_str(), R_OK) == 0) return Status();
  return Status::Error(Status::Code::kIo, "cannot read " + path + ": " + strerror(errno));
}

TlsFiles FilesIn(const std::string& directory) {
  if (directory.empty()) return {};
  return {directory + "/ca-cert.pem", directory + "/client-cert.pem",
          directory + "/client-key.pem"};
}

Status CheckOptions(const EtcdOptions& options) {
  if (options.endpoints.empty()) {
    return Status::Error(Status::Code::kInvalid, "no endpoint of etcd is set");
  }
  for (const std::string& url : options.endpoints) {
    if (Status status = CheckEndpoint(url, !options.tls_directory.empty()); !status.ok()) {
      return status;
    }
  }
  if (!options.user.empty() && !options.token_file.empty()) {
    return Status::Error(Status::Code::kInvalid, "both a user and a token file are set",
                         "Set one of them.");
  }
  const TlsFiles tls = FilesIn(options.tls_directory);
  for (const std::string& path : {tls.ca, tls.certificate, tls.key, options.token_file}) {
    if (path.empty()) continue;
    if (Status status = CheckReadable(path); !status.ok()) return status;
  }
  return Status();
}

}  // namespace

Status EtcdEngine::Create(const EtcdOptions& options, std::unique_ptr<EtcdEngine>* engine) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  engine->reset(new EtcdEngine(options, FilesIn(options.tls_directory)));
  return Status();
}

EtcdEngine::EtcdEngine(EtcdOptions options, TlsFiles tls)
    : options_(std::move(options)), tls_(tls), http_(std::move(tls)) {
  for (const std::string& url : options_.endpoints) {
    endpoints_.push_back(std::make_unique<Endpoint>());
    endpoints_.back()->url = url;
  }
}

// ---------------------------------------------------------------- Who we are

Failure EtcdEngine::ReadToken(std::string* token) const {
  std::ifstream file(options_.token_file);
  if (file >> *token && IsToken(*token)) return {};
  return {Kind::kAuthentication, Printable("there is no token in " + options_.token_file),
          "The file holds one word, the token, and nothing else."};
}

std::optional<EtcdError> EtcdEngine::NewToken(Endpoint& endpoint) {
  endpoint.token.clear();
  Failure failure;
  if (options_.user.empty()) {
    failure = ReadToken(&endpoint.token);
  } else {
    Reply reply = Send(endpoint, "/v3/auth/authenticate",
                       EncodeAuthenticate(options_.user, options_.password), "", kAuthenticate);
    // What this was for has not been sent.
    if (reply.error) reply.error->is_final = true;
    if (reply.error) return reply.error;
    failure = DecodeAuthenticate(reply.body, &endpoint.token);
  }
  if (failure.kind == Kind::kNone) return std::nullopt;
  return EtcdError{failure, true, false, false};
}

std::optional<EtcdError> EtcdEngine::GetToken(Endpoint& endpoint, const std::string& refused,
                                              std::string* token) {
  const MutexLock lock(endpoint.mutex);
  if (endpoint.token.empty() || endpoint.token == refused) {
    if (auto error = NewToken(endpoint)) return error;
  }
  *token = endpoint.token;
  return std::nullopt;
}

// ---------------------------------------------------------------- Requests

EtcdEngine::Reply EtcdEngine::Send(const Endpoint& endpoint, const char* path,
                                   const std::string& body, const std::string& token,
                                   Milliseconds limit) {
  HttpRequest request{endpoint.url + path, body, {}};
  if (!token.empty()) request.headers.push_back("Authorization: " + token);
  HttpAnswer answer = http_.Post(request, std::min(kConnect, limit), limit);
  Reply reply;
  if (!answer.whole) {
    reply.error = EtcdError{{answer.sent ? Kind::kNoAnswer : Kind::kUnreachable, answer.error, ""},
                            !answer.sent,
                            false,
                            true};
  } else {
    reply.error = DecodeError(answer.body);
  }
  if (reply.error) {
    reply.error->failure.message = endpoint.url + ": " + reply.error->failure.message;
  } else {
    reply.body = std::move(answer.body);
  }
  return reply;
}

// With a new token, once, if etcd wants one. What was refused for want of a token was not
// carried out, so this is still one sending.
EtcdEngine::Reply EtcdEngine::CallEndpoint(Endpoint& endpoint, const char* path,
                                           const std::string& body, Milliseconds limit) {
  if (!has_credentials()) return Send(endpoint, path, body, "", limit);
  std::string token;
  for (bool is_first = true;; is_first = false) {
    if (auto error = GetToken(endpoint, is_first ? "" : token, &token)) return {"", error};
    Reply reply = Send(endpoint, path, body, token, limit);
    if (!reply.error || !reply.error->wants_token || !is_first) return reply;
  }
}

void EtcdEngine::PreferNext(size_t index) {
  preferred_.compare_exchange_strong(index, (index + 1) % endpoints_.size());
}

EtcdEngine::Reply EtcdEngine::Call(const char* path, const std::string& body) {
  const Clock::time_point end = Clock::now() + kTry;
  Milliseconds left = kTry;
  for (size_t tried = 1;; tried++) {
    const size_t index = preferred_;
    Reply reply = CallEndpoint(*endpoints_[index], path, body, left);
    if (!reply.error || !reply.error->try_next) return reply;
    PreferNext(index);
    left = LeftUntil(end);
    // Only what is certain not to have been carried out may go to another one.
    if (!reply.error->is_final || tried >= endpoints_.size() || left.count() <= 0) return reply;
  }
}

Answer EtcdEngine::Txn(const Transaction& transaction) {
  Answer answer;
  const Reply reply = Call("/v3/kv/txn", EncodeTransaction(transaction));
  answer.failure =
      reply.error ? reply.error->failure : DecodeTransaction(reply.body, transaction, &answer);
  if (answer.failure.kind == Kind::kNone) return answer;
  const bool is_final = transaction.writes.empty() || (reply.error && reply.error->is_final);
  answer.outcome = is_final ? Outcome::kFailed : Outcome::kUnknown;
  return answer;
}

Answer EtcdEngine::Read(const std::vector<Range>& ranges) {
  if (ranges.size() != 1) return Txn({{}, {}, ranges});
  Answer answer;
  const Reply reply = Call("/v3/kv/range", EncodeRange(ranges[0]));
  answer.failure = reply.error ? reply.error->failure : DecodeRange(reply.body, ranges[0], &answer);
  if (answer.failure.kind != Failure::Kind::kNone) answer.outcome = Outcome::kFailed;
  return answer;
}

Identity EtcdEngine::Identify() {
  const Reply reply = Call("/v3/maintenance/status", "{}");
  if (!reply.error) return DecodeStatus(reply.body);
  Identity identity;
  identity.failure = reply.error->failure;
  return identity;
}

// ---------------------------------------------------------------- Hints

// A thread that has a watch open, at one endpoint after the other.
class EtcdEngine::Watch : public Engine::Hints {
 public:
  Watch(EtcdEngine& engine, const std::string& prefix, Look look)
      : engine_(engine),
        body_(EncodeWatch(prefix)),
        look_(std::move(look)),
        http_(engine.tls_),
        thread_([this] { Run(); }) {}

  ~Watch() override {
    {
      const MutexLock lock(mutex_);
      over_ = true;
    }
    changed_.NotifyAll();
    http_.Interrupt();
    thread_.join();
  }

 private:
  void Run() {
    for (size_t i = engine_.preferred_; !Rest(); i++) {
      Endpoint& endpoint = *engine_.endpoints_[i % engine_.endpoints_.size()];
      // Without this header a watch lives on silently when there is no leader.
      HttpRequest request{endpoint.url + "/v3/watch", body_, {"Grpc-Metadata-hasleader: true"}};
      std::string token;
      if (engine_.has_credentials()) {
        if (engine_.GetToken(endpoint, refused_, &token)) continue;
        request.headers.push_back("Authorization: " + token);
      }
      bool was_good = false;
      http_.Follow(request, kConnect, [&](std::string_view line) {
        std::vector<News> news;
        const WatchLine means = DecodeWatchLine(line, &news);
        was_good = was_good || means != WatchLine::kOver;
        if (means == WatchLine::kLook) look_(std::move(news));
        return means != WatchLine::kOver;
      });
      refused_ = was_good ? "" : token;
    }
  }

  // Between two watches; true: it is over.
  bool Rest() {
    const MutexLock lock(mutex_);
    if (std::exchange(first_, false)) return over_;
    const Clock::time_point end = Clock::now() + kWatchAgain;
    while (!over_ && changed_.WaitUntil(mutex_, end)) {
    }
    return over_;
  }

  EtcdEngine& engine_;
  const std::string body_;
  const Look look_;
  Http http_;
  Mutex mutex_;
  Condition changed_;
  bool over_ GUARDED_BY(mutex_) = false;
  bool first_ = true;    // of the thread, as is
  std::string refused_;  // the token with which the last watch did not begin
  std::thread thread_;
};

std::unique_ptr<Engine::Hints> EtcdEngine::Hint(const std::string& prefix, Look look) {
  return std::make_unique<Watch>(*this, prefix, std::move(look));
}

}  // namespace scsi_pr::agent
