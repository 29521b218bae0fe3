// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/loop.h"

#include <glib-unix.h>

#include <ctime>
#include <utility>

#include "core/guarded.h"

namespace scsi_pr::agent {

namespace {

// A source that is ready at a time, and then no more.
gboolean Dispatch(GSource* source, GSourceFunc act, gpointer data) {
  g_source_set_ready_time(source, -1);
  return act(data);
}

GSourceFuncs kTimer = {nullptr, nullptr, Dispatch, nullptr, nullptr, nullptr};

}  // namespace

Loop::Loop(std::function<void(const Status&)> thrown)
    : thrown_(std::move(thrown)),
      context_(g_main_context_new()),
      loop_(g_main_loop_new(context_, FALSE)) {}

Loop::~Loop() {
  g_main_loop_unref(loop_);
  g_main_context_unref(context_);
}

Time Loop::Now() {
  timespec now = {};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<Time>(now.tv_sec) * kSecond + static_cast<Time>(now.tv_nsec);
}

template <typename Result>
Result Loop::Call(const std::function<Result()>& act, Result otherwise) {
  const Status status = Guarded("the loop", [&] { return otherwise = act(), Status(); });
  if (!status.ok()) thrown_(status);
  return otherwise;
}

void Loop::Post(std::function<void()> act) {
  struct Posted {
    Loop& loop;
    std::function<void()> act;
  };
  GSource* source = g_idle_source_new();
  g_source_set_priority(source, G_PRIORITY_DEFAULT);
  g_source_set_callback(
      source,
      [](gpointer data) -> gboolean {
        const auto* posted = static_cast<Posted*>(data);
        posted->loop.Call<bool>([posted] { return posted->act(), true; }, false);
        return G_SOURCE_REMOVE;
      },
      new Posted{*this, std::move(act)}, [](gpointer data) { delete static_cast<Posted*>(data); });
  g_source_attach(source, context_);
  g_source_unref(source);
}

Loop::Source::~Source() {
  g_source_destroy(source_);
  g_source_unref(source_);
}

void Loop::Source::SetTime(Time when) {
  const Time now = Now();
  const Time wait = when > now ? (when - now) / 1000 + 1 : 0;  // µs
  g_source_set_ready_time(source_,
                          when == kNever ? -1 : g_get_monotonic_time() + static_cast<gint64>(wait));
}

namespace {

struct Watched {
  std::function<bool()> call;
};

}  // namespace

std::unique_ptr<Loop::Source> Loop::Timer(std::function<void()> act) {
  GSource* source = g_source_new(&kTimer, sizeof(GSource));
  auto* watched = new Watched{
      [this, act = std::move(act)] { return Call<bool>([&act] { return act(), true; }, true); }};
  g_source_set_callback(
      source, [](gpointer data) -> gboolean { return static_cast<Watched*>(data)->call(); },
      watched, [](gpointer data) { delete static_cast<Watched*>(data); });
  g_source_attach(source, context_);
  return std::unique_ptr<Source>(new Source(source));
}

std::unique_ptr<Loop::Source> Loop::Watch(int fd, GIOCondition condition,
                                          std::function<bool()> act) {
  GSource* source = g_unix_fd_source_new(fd, condition);
  auto* watched = new Watched{[this, act = std::move(act)] { return Call<bool>(act, false); }};
  const GUnixFDSourceFunc ready = [](gint, GIOCondition, gpointer data) -> gboolean {
    return static_cast<Watched*>(data)->call();
  };
  g_source_set_callback(source, reinterpret_cast<GSourceFunc>(reinterpret_cast<void (*)()>(ready)),
                        watched, [](gpointer data) { delete static_cast<Watched*>(data); });
  g_source_attach(source, context_);
  return std::unique_ptr<Source>(new Source(source));
}

std::unique_ptr<Loop::Source> Loop::Child(GPid pid, std::function<void(int)> act) {
  using Call1 = std::function<void(int)>;
  GSource* source = g_child_watch_source_new(pid);
  auto* call = new Call1{[this, act = std::move(act)](int status) {
    Call<bool>([&act, status] { return act(status), true; }, true);
  }};
  const GChildWatchFunc ended = [](GPid, gint status, gpointer data) {
    (*static_cast<Call1*>(data))(status);
  };
  g_source_set_callback(source, reinterpret_cast<GSourceFunc>(reinterpret_cast<void (*)()>(ended)),
                        call, [](gpointer data) { delete static_cast<Call1*>(data); });
  g_source_attach(source, context_);
  return std::unique_ptr<Source>(new Source(source));
}

void Loop::Run() { g_main_loop_run(loop_); }

void Loop::Quit() {
  Post([this] { g_main_loop_quit(loop_); });
}

}  // namespace scsi_pr::agent
