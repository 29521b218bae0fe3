// SPDX-License-Identifier: GPL-2.0-or-later
//
// watch: in a terminal a view that is always up to date, with the last changes
// below it; else a line for each change.
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/json_text.h"
#include "store/observer.h"
#include "tool/changes.h"
#include "tool/commands.h"
#include "tool/common.h"

namespace scsi_pr::tool {

namespace {

using nlohmann::json;

// Who is told of the store.
class Audience {
 public:
  virtual ~Audience() = default;
  virtual void Begin(const View& view) = 0;
  virtual void Tell(const View& view, const std::vector<Change>& changes) = 0;
  // The store cannot be read (any more); told once, until it can be.
  virtual void Fail(const Status& status) = 0;
  // From time to time.
  virtual void Tick() {}
};

class JsonLines : public Audience {
 public:
  void Begin(const View& view) override { Print("state", ViewToJson(view)); }
  void Tell(const View& view, const std::vector<Change>& changes) override {
    json line = ViewToJson(view);
    line["changes"] = ChangesToJson(changes);
    Print("changed", std::move(line));
  }
  void Fail(const Status& status) override { Print("error", {{"message", status.message()}}); }

 private:
  static void Print(const char* event, json line) {
    line["event"] = event;
    line["time"] = TimeText();
    std::cout << JsonText(line) << std::endl;
  }
};

class PlainLines : public Audience {
 public:
  void Begin(const View& view) override {
    // As if all of it had just come into being.
    View nothing;
    Print("watching " + view.uri + ", PRgeneration " + std::to_string(view.state.generation));
    for (const Change& change : Compare(nothing, view)) Print(change.text);
  }
  void Tell(const View&, const std::vector<Change>& changes) override {
    for (const Change& change : changes) Print(change.text);
  }
  void Fail(const Status& status) override { Print("cannot read it: " + status.message()); }

 private:
  static void Print(const std::string& text) {
    std::cout << TimeText() << "  " << text << std::endl;
  }
};

volatile std::sig_atomic_t resized = 0;

class Screen : public Audience {
 public:
  Screen() {
    struct sigaction action = {};
    action.sa_handler = [](int) { resized = 1; };
    sigaction(SIGWINCH, &action, nullptr);
    // The alternate screen, without a cursor; what was there comes back.
    std::cout << "\x1b[?1049h\x1b[?25l" << std::flush;
  }
  ~Screen() override { std::cout << "\x1b[?25h\x1b[?1049l" << std::flush; }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void Begin(const View& view) override { Show(ViewText(view)); }
  void Tell(const View& view, const std::vector<Change>& changes) override {
    for (const Change& change : changes) Remember(change.text);
    Show(ViewText(view));
  }
  void Fail(const Status& status) override {
    Remember("cannot read it: " + status.message());
    Show(text_);
  }
  void Tick() override {
    if (resized == 0) return;
    resized = 0;
    Show(text_);
  }

 private:
  static constexpr size_t kRemembered = 200;

  void Remember(const std::string& text) {
    history_.push_back(TimeText() + "  " + text);
    if (history_.size() > kRemembered) history_.pop_front();
  }

  void Show(const std::string& text) {
    text_ = text;
    winsize size = {};
    const bool known =
        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 2;
    const size_t rows = known ? size.ws_row : 24;
    const size_t columns = known ? size.ws_col : 80;
    std::vector<std::string> lines;
    std::istringstream in(text + "\nChanges (Ctrl-C ends)\n");
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    // Half of the screen at least is for the state, the rest for the newest.
    if (lines.size() > rows - 1 && lines.size() > rows / 2) {
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(rows / 2), lines.end() - 2);
    }
    const size_t room = rows > lines.size() ? rows - lines.size() : 0;
    const size_t skipped = history_.size() > room ? history_.size() - room : 0;
    lines.insert(lines.end(), history_.begin() + static_cast<std::ptrdiff_t>(skipped),
                 history_.end());
    std::cout << "\x1b[H";
    for (size_t i = 0; i < lines.size() && i < rows; i++) {
      std::cout << (i == 0 ? "" : "\r\n") << lines[i].substr(0, columns) << "\x1b[K";
    }
    std::cout << "\x1b[J" << std::flush;
  }

  std::string text_;
  std::deque<std::string> history_;
};

std::unique_ptr<Audience> MakeAudience(bool as_json) {
  if (as_json) return std::make_unique<JsonLines>();
  if (isatty(STDOUT_FILENO) != 0) return std::make_unique<Screen>();
  return std::make_unique<PlainLines>();
}

bool ReaderIsGone() {
  pollfd out = {STDOUT_FILENO, 0, 0};
  return !std::cout ||
         (poll(&out, 1, 0) > 0 && (out.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0);
}

// Tells of each change until it is interrupted, or nobody listens.
void Follow(Observer& observer, Audience& audience, View view) {
  std::string failure;
  while (!Interrupted() && !ReaderIsGone()) {
    observer.Wait();
    audience.Tick();
    if (!observer.Changed()) continue;
    View now;
    const Status status = MakeView(observer.Look(), &now);
    if (!status.ok()) {
      if (status.message() != failure) audience.Fail(status);
      failure = status.message();
      continue;
    }
    const std::vector<Change> changes = Compare(view, now);
    if (!changes.empty() || !failure.empty()) audience.Tell(now, changes);
    failure.clear();
    view = std::move(now);
  }
}

}  // namespace

int Watch(const std::string& uri, bool as_json) {
  std::string path;
  if (Status status = FilePath(uri, &path); !status.ok()) return Fail(status);
  signal(SIGPIPE, SIG_IGN);
  CatchInterrupts();
  Observer observer(path);
  View view;
  if (Status status = MakeView(observer.Look(), &view); !status.ok()) return Fail(status);
  const std::unique_ptr<Audience> audience = MakeAudience(as_json);
  audience->Begin(view);
  Follow(observer, *audience, std::move(view));
  return kDone;
}

}  // namespace scsi_pr::tool
