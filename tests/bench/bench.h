// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the benchmarks share: time, figures, a place on a disk, and an initiator.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/device_server.h"
#include "spc/bytes.h"
#include "spc/opcodes.h"
#include "store/store.h"

namespace bench {

using namespace scsi_pr;

[[noreturn]] inline void Die(const std::string& why) {
  fprintf(stderr, "%s\n", why.c_str());
  _exit(2);
}

// Microseconds.
template <typename Function>
double Time(Function function) {
  const auto start = std::chrono::steady_clock::now();
  function();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

// The value below which so much of them lies; 0.5: the median.
inline double Quantile(std::vector<double> values, double part) {
  std::ranges::sort(values);
  const auto last = static_cast<double>(values.size() - 1);
  return values[static_cast<size_t>(std::lround(last * part))];
}
inline double Median(const std::vector<double>& values) { return Quantile(values, 0.5); }

// A line: the median and the quartiles, and the limit that the median has. What
// depends on time is never a failure: others use the processors, too.
inline void Tell(const std::string& what, const std::vector<double>& values, const char* unit,
                 std::optional<double> limit = std::nullopt) {
  const double median = Median(values);
  const int digits = *unit == '\0' ? 2 : 0;
  printf("%-56s %8.*f %s [%.*f %.*f]", what.c_str(), digits, median, unit, digits,
         Quantile(values, 0.25), digits, Quantile(values, 0.75));
  if (limit) printf("  limit %.*f%s", digits, *limit, median > *limit ? ": over the limit" : "");
  printf("\n");
  fflush(stdout);
}

// Each as a part of what they are compared with.
inline std::vector<double> Ratios(std::vector<double> values, double base) {
  for (double& value : values) value /= base;
  return values;
}

// A directory of its own below `place`, as long as this exists.
class Directory {
 public:
  explicit Directory(const std::string& place) : path_(place + "/scsi-pr-bench-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) Die("cannot make a directory in " + place);
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  const std::string& path() const { return path_; }
  std::string uri() const { return "file:" + path_ + "/lu.pr"; }

 private:
  std::string path_;
};

// On whose disk: the first argument, or /var/tmp.
inline std::string Place(int argc, char** argv) { return argc > 1 ? argv[1] : "/var/tmp"; }

inline std::shared_ptr<Store> OpenStore(const std::string& uri) {
  std::shared_ptr<Store> store;
  const Status status = Store::Open(uri, Store::OpenMode::kCreate, &store);
  if (!status.ok()) Die(status.message());
  return store;
}

inline TransportId Port(int number) {
  char text[32];
  snprintf(text, sizeof text, "naa.5000c5%010x", static_cast<unsigned>(number));
  std::string error;
  return *TransportId::FromText(text, &error);
}
inline Nexus Number(int number) { return {Port(number), 1}; }

// An initiator that sends one command after the other, each of which must end in
// GOOD.
class Initiator {
 public:
  Initiator(const std::string& uri, int number) {
    const Status status =
        DeviceServer::Open(OpenStore(uri), Number(number), "benchmark", {}, &server_);
    if (!status.ok()) Die(status.message());
  }

  void Register(uint64_t key, bool aptpl = false) {
    Out(OutAction::kRegisterAndIgnoreExistingKey, 0, key, aptpl);
  }
  void Out(OutAction action, uint64_t key, uint64_t action_key, bool aptpl = false,
           const std::vector<TransportId>& others = {}) {
    ByteVector list(24);
    StoreBE<uint64_t>(list, 0, key);
    StoreBE<uint64_t>(list, 8, action_key);
    list[20] = static_cast<uint8_t>((aptpl ? 1 : 0) | (others.empty() ? 0 : 8));
    if (!others.empty()) {
      list.resize(28);
      for (const TransportId& id : others) {
        const ByteVector bytes = id.Encode();
        list.insert(list.end(), bytes.begin(), bytes.end());
      }
      StoreBE<uint32_t>(list, 24, static_cast<uint32_t>(list.size() - 28));
    }
    ByteVector cdb(10);
    cdb[0] = opcode::kPersistentReserveOut;
    cdb[1] = static_cast<uint8_t>(action);
    cdb[2] = static_cast<uint8_t>(Type::kWriteExclusiveRegistrantsOnly);
    StoreBE<uint32_t>(cdb, 5, static_cast<uint32_t>(list.size()));
    Execute(cdb, list);
  }
  ByteVector ReadKeys() {
    return Execute({opcode::kPersistentReserveIn, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0}, {});
  }

  // This one by `key`, and others beside it, so that `count` are registered.
  void Fill(int count, uint64_t key) {
    constexpr int kAtOnce = 2000;
    for (; registered_ < count; registered_ = std::min(count, registered_ + kAtOnce)) {
      std::vector<TransportId> others;
      for (int i = std::max(registered_, 1); i < std::min(count, registered_ + kAtOnce); i++) {
        others.push_back(Port(1'000'000 + i));
      }
      Register(0);
      Out(OutAction::kRegister, 0, key, false, others);
    }
  }

 private:
  ByteVector Execute(ByteVector cdb, ByteVector data_out) {
    Response response;
    if (!server_->TryExecute(cdb, data_out, &response)) {
      std::promise<Response> ended;
      server_->Execute(std::move(cdb), std::move(data_out),
                       [&](const Response& end) { ended.set_value(end); });
      response = ended.get_future().get();
    }
    if (response.status != ScsiStatus::kGood) {
      Die("a command ended in status " + std::to_string(static_cast<int>(response.status)));
    }
    return std::move(response.data);
  }

  std::unique_ptr<DeviceServer> server_;
  int registered_ = 0;
};

}  // namespace bench
