// SPDX-License-Identifier: GPL-2.0-or-later
//
// Eight VMs in a loop of REGISTER AND IGNORE EXISTING KEY, without APTPL, each a
// process of its own: how long the slow ones wait, and whether one gets more than
// another.
//
// usage: contention-bench [DIRECTORY]     of the store (/dev/shm)
#include "peer.h"

namespace {

using namespace bench;
using namespace std::chrono_literals;

constexpr int kProcesses = 8;
constexpr int kRounds = 5;
constexpr auto kRound = 1s;
constexpr size_t kMost = 200'000;  // commands of one process in a round

struct Loop {
  std::vector<double> times;

  void Run(Initiator& initiator) {
    times.clear();
    const auto end = std::chrono::steady_clock::now() + kRound;
    while (std::chrono::steady_clock::now() < end && times.size() < kMost) {
      times.push_back(Time([&] { initiator.Register(0x10 + (times.size() & 1)); }));
    }
  }

  void Send(int to) const {
    const size_t count = times.size();
    if (write(to, &count, sizeof count) < 0) _exit(2);
    for (const double time : times) {
      if (write(to, &time, sizeof time) < 0) _exit(2);
    }
  }
};

std::vector<double> Receive(Peer& peer) {
  size_t count = 0;
  peer.Receive(&count, sizeof count);
  std::vector<double> times(std::min(count, kMost));
  peer.Receive(times.data(), times.size() * sizeof(double));
  peer.Await();
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  const Directory directory(argc > 1 ? argv[1] : "/dev/shm");
  std::vector<Peer> peers;
  for (int i = 0; i < kProcesses; i++) {
    peers.emplace_back(
        [&, i, initiator = std::optional<Initiator>(), loop = Loop()](char order, int to) mutable {
          if (!initiator) initiator.emplace(directory.uri(), 1 + i);
          if (order != 'r') return;
          loop.Run(*initiator);
          loop.Send(to);
        });
  }
  for (Peer& peer : peers) peer.Do('a');  // attaches
  std::vector<double> slow, fair, rate;
  for (int round = 0; round < kRounds; round++) {
    std::vector<double> all;
    std::vector<size_t> counts;
    for (Peer& peer : peers) peer.Order('r');
    for (Peer& peer : peers) {
      const auto times = Receive(peer);
      counts.push_back(times.size());
      all.insert(all.end(), times.begin(), times.end());
    }
    if (all.empty()) Die("nobody has registered");
    slow.push_back(Quantile(all, 0.99) / 1000);
    const auto [least, most] = std::ranges::minmax(counts);
    fair.push_back(static_cast<double>(most) / static_cast<double>(std::max<size_t>(least, 1)));
    rate.push_back(static_cast<double>(all.size()) / std::chrono::duration<double>(kRound).count());
  }
  printf("--- %d processes in a loop of REGISTER: median [quartiles] of %d rounds\n", kProcesses,
         kRounds);
  Tell("one command in a hundred takes longer than", slow, "ms", 5);
  Tell("most : least", fair, "", 1.5);
  Tell("commands a second, all together", rate, "/s");
}
