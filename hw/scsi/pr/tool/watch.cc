// SPDX-License-Identifier: GPL-2.0-or-later
//
// watch: a line for each change.
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>

#include "care/memory_view.h"
#include "care/observer.h"
#include "cluster/names.h"
#include "core/json_text.h"
#include "tool/changes.h"
#include "tool/cluster.h"
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

// Where the news come from.
class Source {
 public:
  virtual ~Source() = default;
  virtual Status Look(View* view) = 0;
  // Whether there may be any since.
  virtual bool Changed() = 0;
};

class FileSource : public Source {
 public:
  explicit FileSource(Subject subject) : observer_(std::move(subject)) {}
  Status Look(View* view) override { return MakeView(observer_.Look(), view); }
  bool Changed() override { return observer_.Changed(); }

 private:
  Observer observer_;
};

// Where the logical unit is in use on this host its gate says when it is time to look; and once
// a second it is looked at, for what it does not say.
class ClusterSource : public Source {
 public:
  explicit ClusterSource(std::unique_ptr<cluster::Client> client) : client_(std::move(client)) {}
  Status Look(View* view) override {
    mark_ = Take();
    looked_ = Clock::now();
    return ReadClusterView(*client_, view);
  }
  bool Changed() override { return Take() != mark_ || Clock::now() - looked_ >= kInterval; }

 private:
  using Clock = std::chrono::steady_clock;
  using Mark = std::pair<uint64_t, std::vector<size_t>>;  // what is published, who is attached
  static constexpr std::chrono::milliseconds kInterval{1000};

  Mark Take() const {
    const auto memory = MemoryView::Find(cluster::MemoryIdentity(client_->name()),
                                         client_->directory()->path(), geteuid());
    if (!memory || !memory->in_use()) return {};
    return {memory->gate().published.load(), memory->LiveSlots()};
  }

  const std::unique_ptr<cluster::Client> client_;
  Mark mark_;
  Clock::time_point looked_;
};

// Tells of each change until it is interrupted, or nobody listens.
void Follow(Source& source, Audience& audience, View view) {
  std::string failure;
  while (!Interrupted() && !ReaderIsGone()) {
    Observer::Wait();
    if (!source.Changed()) continue;
    View now;
    const Status status = source.Look(&now);
    if (!status.ok()) {
      if (Interrupted()) return;
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

Status FindSource(const StoreArgument& store, std::unique_ptr<Source>* source) {
  if (IsCluster(store)) {
    std::unique_ptr<cluster::Client> client;
    const Status status = FindDaemon(store, &client);
    if (status.ok()) *source = std::make_unique<ClusterSource>(std::move(client));
    return status;
  }
  Subject subject;
  const Status status = SubjectOf(store, &subject);
  if (status.ok()) *source = std::make_unique<FileSource>(subject);
  return status;
}

}  // namespace

int Watch(const StoreArgument& store, bool as_json) {
  std::unique_ptr<Source> source;
  if (Status status = FindSource(store, &source); !status.ok()) return Fail(status);
  signal(SIGPIPE, SIG_IGN);
  CatchInterrupts();
  View view;
  if (Status status = source->Look(&view); !status.ok()) return Fail(status);
  JsonLines json_lines;
  PlainLines plain_lines;
  Audience& audience = as_json ? static_cast<Audience&>(json_lines) : plain_lines;
  audience.Begin(view);
  Follow(*source, audience, std::move(view));
  return kDone;
}

}  // namespace scsi_pr::tool
