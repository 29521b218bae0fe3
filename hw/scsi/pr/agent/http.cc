// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/http.h"

#include <curl/curl.h>

#include <atomic>
#include <new>

#include "agent/etcd_messages.h"
#include "spc/text.h"

namespace scsi_pr::agent {

namespace {

constexpr size_t kMaxError = 400;

// libcurl's handles are all void*.
template <auto kFree>
struct FreeBy {
  void operator()(auto* object) const { kFree(object); }
};
using Easy = std::unique_ptr<CURL, FreeBy<curl_easy_cleanup>>;
using Multi = std::unique_ptr<CURLM, FreeBy<curl_multi_cleanup>>;
using Headers = std::unique_ptr<curl_slist, FreeBy<curl_slist_free_all>>;

// libcurl's own state of the process; never given back, for other users may be left.
void InitializeOnce() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK) throw std::bad_alloc();
}

Headers MakeHeaders(const HttpRequest& request) {
  Headers list;
  const auto add = [&list](const char* line) {
    curl_slist* longer = curl_slist_append(list.get(), line);
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(list.release());
    list.reset(longer);
  };
  add("Content-Type: application/json");
  add("Expect:");  // never a round trip for the permission to send
  for (const std::string& header : request.headers) add(header.c_str());
  return list;
}

size_t AppendBody(const char* data, size_t, size_t size, void* body) {
  std::string& text = *static_cast<std::string*>(body);
  if (text.size() + size > kMaxAnswer) return 0;  // ends the request
  text.append(data, size);
  return size;
}

}  // namespace

// A handle keeps its connections to the endpoints open.
struct Http::Connection {
  Connection() : handle(curl_easy_init()) {
    if (handle == nullptr) throw std::bad_alloc();
  }

  void Prepare(const TlsFiles& tls, const HttpRequest& request, const Headers& headers,
               Milliseconds connect) {
    CURL* h = handle.get();
    curl_easy_reset(h);
    curl_easy_setopt(h, CURLOPT_URL, request.url.c_str());
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_PROXY, "");
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(h, CURLOPT_POSTFIELDS, request.body.data());
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect.count()));
    error[0] = '\0';
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, error);
    if (tls.ca.empty()) return;
    curl_easy_setopt(h, CURLOPT_CAINFO, tls.ca.c_str());
    curl_easy_setopt(h, CURLOPT_SSLCERT, tls.certificate.c_str());
    curl_easy_setopt(h, CURLOPT_SSLKEY, tls.key.c_str());
  }

  std::string Error(CURLcode result) const {
    return Printable(error[0] != '\0' ? error : curl_easy_strerror(result), kMaxError);
  }

  Easy handle;
  char error[CURL_ERROR_SIZE] = {};
};

struct Http::Following {
  Following() : multi(curl_multi_init()) {
    if (multi == nullptr) throw std::bad_alloc();
  }

  static size_t Receive(const char* data, size_t, size_t size, void* self) {
    auto& following = *static_cast<Following*>(self);
    following.text.append(data, size);
    size_t begin = 0;
    for (size_t end; (end = following.text.find('\n', begin)) != std::string::npos;) {
      const std::string_view line(following.text.data() + begin, end - begin);
      begin = end + 1;
      if (following.interrupted || !(*following.line)(line)) return 0;
    }
    following.text.erase(0, begin);
    return following.text.size() > kMaxAnswer ? 0 : size;
  }

  Multi multi;
  std::atomic<bool> interrupted = false;
  std::string text;  // of a line that has not ended
  const std::function<bool(std::string_view)>* line = nullptr;
};

Http::Http(TlsFiles tls)
    : tls_((InitializeOnce(), std::move(tls))), following_(std::make_unique<Following>()) {}

Http::~Http() = default;

std::unique_ptr<Http::Connection> Http::Take() {
  const MutexLock lock(mutex_);
  if (idle_.empty()) return std::make_unique<Connection>();
  std::unique_ptr<Connection> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void Http::PutBack(std::unique_ptr<Connection> connection) {
  const MutexLock lock(mutex_);
  idle_.push_back(std::move(connection));
}

HttpAnswer Http::Post(const HttpRequest& request, Milliseconds connect, Milliseconds all) {
  HttpAnswer answer;
  // To libcurl no time is time without a limit.
  if (connect.count() <= 0 || all.count() <= 0) {
    answer.error = "there is no time left";
    return answer;
  }
  const Headers headers = MakeHeaders(request);
  std::unique_ptr<Connection> connection = Take();
  CURL* handle = connection->handle.get();
  connection->Prepare(tls_, request, headers, connect);
  curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(all.count()));
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, AppendBody);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer.body);
  const CURLcode result = curl_easy_perform(handle);
  long bytes = 0;
  curl_easy_getinfo(handle, CURLINFO_REQUEST_SIZE, &bytes);
  answer.sent = bytes > 0;
  answer.whole = result == CURLE_OK;
  if (!answer.whole) answer.error = connection->Error(result);
  PutBack(std::move(connection));
  return answer;
}

void Http::Follow(const HttpRequest& request, Milliseconds connect,
                  const std::function<bool(std::string_view line)>& line) {
  const Headers headers = MakeHeaders(request);
  Connection connection;
  CURL* handle = connection.handle.get();
  connection.Prepare(tls_, request, headers, connect);
  curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, Following::Receive);
  curl_easy_setopt(handle, CURLOPT_WRITEDATA, following_.get());
  following_->text.clear();
  following_->line = &line;
  CURLM* multi = following_->multi.get();
  if (curl_multi_add_handle(multi, handle) != CURLM_OK) return;
  for (int running = 1; running > 0 && !following_->interrupted;) {
    constexpr int kMilliseconds = 1000;
    if (curl_multi_perform(multi, &running) != CURLM_OK) break;
    if (running > 0 && curl_multi_poll(multi, nullptr, 0, kMilliseconds, nullptr) != CURLM_OK)
      break;
  }
  curl_multi_remove_handle(multi, handle);
}

void Http::Interrupt() {
  following_->interrupted = true;
  curl_multi_wakeup(following_->multi.get());
}

}  // namespace scsi_pr::agent
