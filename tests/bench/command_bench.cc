// SPDX-License-Identifier: GPL-2.0-or-later
//
// What reservation commands cost, as initiators see it, but for the emulator: by
// number of registrants, by number of attached nexuses, and after a change of
// another process; and what attaching costs. Without APTPL: with it, there is a disk to wait for
// (fence-bench, durable-bench).
//
// usage: command-bench [DIRECTORY]
#include "peer.h"

namespace {

using namespace bench;

constexpr int kRounds = 100;

template <typename Function>
std::vector<double> Times(Function function) {
  std::vector<double> times;
  for (int i = 0; i < kRounds; i++) times.push_back(Time([&] { function(i); }));
  return times;
}

std::string With(const char* what, int count, const char* of) {
  return std::string(what) + ", " + std::to_string(count) + " " + of;
}

std::optional<double> Limit(bool file, int registrants) {
  if (!file || registrants < 1000) return std::nullopt;
  return registrants == 1000 ? 500 : 1500;
}

void ByRegistrants(const std::string& uri) {
  const bool file = uri.starts_with("file:");
  printf("--- %s, by number of registrants: median [quartiles]\n", file ? "file:" : "memory:");
  Initiator initiator(uri, 1);
  for (const int count : {1, 2, 33, 1000, 4096}) {
    initiator.Fill(count, 0xA);
    Tell(With("REGISTER AND IGNORE EXISTING KEY", count, "registrants"),
         Times([&](int i) { initiator.Register(0x10 + (i & 1)); }), "us", Limit(file, count));
    Tell(With("READ KEYS", count, "registrants"), Times([&](int) { initiator.ReadKeys(); }), "us");
    const uint64_t key = 0x10 + ((kRounds - 1) & 1);
    Tell(With("RESERVE, RELEASE", count, "registrants"), Times([&](int i) {
           initiator.Out(i & 1 ? OutAction::kRelease : OutAction::kReserve, key, 0);
         }),
         "us");
  }
}

// READ KEYS lists nobody who is attached: it should cost what it does with two.
void ByAttached(const std::string& uri) {
  printf("--- file:, by number of attached nexuses: READ KEYS to that with 2\n");
  const auto store = OpenStore(uri);
  Initiator initiator(uri, 1);
  initiator.Register(0xA);
  std::vector<GateSlot*> slots;
  double base = 0;
  for (const int count : {2, 33, 501}) {
    while (static_cast<int>(slots.size()) + 1 < count) {
      const Nexus nexus = Number(2 + static_cast<int>(slots.size()));
      const Status status = store->Attach(nexus, "benchmark", Store::AttachMode::kNew, nullptr,
                                          &slots.emplace_back());
      if (!status.ok()) Die(status.message());
    }
    const auto times = Times([&](int) { initiator.ReadKeys(); });
    if (base == 0) base = Median(times);
    Tell(With("READ KEYS", count, "attached"), Ratios(times, base), "", 1.2);
    Tell(With("REGISTER AND IGNORE EXISTING KEY", count, "attached"),
         Times([&](int i) { initiator.Register(0x10 + (i & 1)); }), "us");
  }
  for (GateSlot* slot : slots) store->Detach(slot);
}

// A VM starts, or a disk is plugged: the first one, and one beside another process's.
void Attaching(const std::string& path) {
  printf("--- file:, opening and attaching: median [quartiles]\n");
  std::vector<double> times;
  const auto attach = [&](const std::string& uri) {
    std::optional<Initiator> initiator;
    times.push_back(Time([&] { initiator.emplace(uri, 1); }));
  };
  for (int i = 0; i < kRounds; i++) {
    const std::string uri = "file:" + path + "/first-" + std::to_string(i) + ".pr";
    attach(uri);  // makes it, which waits for the disk as long as that takes
    times.pop_back();
    attach(uri);
  }
  Tell("the first of a store", times, "us", 5000);
  times.clear();
  const std::string uri = "file:" + path + "/shared.pr";
  Peer other([&, stays = std::optional<Initiator>()](char, int) mutable { stays.emplace(uri, 2); });
  other.Do('a');
  for (int i = 0; i < kRounds; i++) attach(uri);
  Tell("beside another process", times, "us", 5000);
}

void AfterAChange(const std::string& uri, Peer& other) {
  printf("--- file:, what another process has changed\n");
  Initiator initiator(uri, 1);
  for (const int count : {2, 1000, 4095}) {
    initiator.Fill(count, 0xA);
    std::vector<double> times;
    for (int i = 0; i < kRounds; i++) {
      other.Do('r');
      times.push_back(Time([&] { initiator.ReadKeys(); }));
    }
    Tell(With("READ KEYS after its change", count, "registrants"), times, "us",
         Limit(true, count == 4095 ? 4096 : count));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Directory directory(Place(argc, argv));
  const std::string uri = directory.uri();
  std::optional<Initiator> others;
  uint64_t key = 0x100;
  Peer other([&](char, int) {
    if (!others) others.emplace(uri, 2);
    others->Register(key ^= 1);
  });
  ByRegistrants("memory:");
  ByRegistrants("file:" + directory.path() + "/grows.pr");
  ByAttached("file:" + directory.path() + "/attached.pr");
  AfterAChange(uri, other);
  Attaching(directory.path());
}
