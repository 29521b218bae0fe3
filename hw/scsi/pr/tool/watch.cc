// SPDX-License-Identifier: GPL-2.0-or-later
//
// watch: a line for each change.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "care/observer.h"
#include "core/json_text.h"
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

int Watch(const StoreArgument& store, bool as_json) {
  Subject subject;
  if (Status status = SubjectOf(store, &subject); !status.ok()) return Fail(status);
  signal(SIGPIPE, SIG_IGN);
  CatchInterrupts();
  Observer observer(subject);
  View view;
  if (Status status = MakeView(observer.Look(), &view); !status.ok()) return Fail(status);
  JsonLines json_lines;
  PlainLines plain_lines;
  Audience& audience = as_json ? static_cast<Audience&>(json_lines) : plain_lines;
  audience.Begin(view);
  Follow(observer, audience, std::move(view));
  return kDone;
}

}  // namespace scsi_pr::tool
