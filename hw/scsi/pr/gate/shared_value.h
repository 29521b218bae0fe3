// SPDX-License-Identifier: GPL-2.0-or-later
//
// A value in memory that processes share: one writes it, under somebody's lock, while
// others read. Who reads gets a whole one, or nothing while it changes: also if its
// writer has died in the middle.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <optional>
#include <type_traits>

namespace scsi_pr {

template <typename T>
class SharedValue {
 public:
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % sizeof(uint64_t) == 0);

  void Store(const T& value) {
    const uint32_t odd = sequence_.load(std::memory_order_relaxed) | 1;
    sequence_.store(odd, std::memory_order_relaxed);
    for (size_t i = 0; i < words_.size(); i++) {
      uint64_t word = 0;
      memcpy(&word, reinterpret_cast<const char*>(&value) + i * sizeof word, sizeof word);
      // Release: who sees this word sees the odd number.
      words_[i].store(word, std::memory_order_release);
    }
    sequence_.store(odd + 1, std::memory_order_release);
  }

  std::optional<T> Load() const {
    constexpr int kTries = 4;  // nobody needs more, unless somebody writes for ever
    for (int tries = 0; tries < kTries; tries++) {
      const uint32_t before = sequence_.load(std::memory_order_acquire);
      T value;
      for (size_t i = 0; i < words_.size(); i++) {
        const uint64_t word = words_[i].load(std::memory_order_acquire);
        memcpy(reinterpret_cast<char*>(&value) + i * sizeof word, &word, sizeof word);
      }
      if (before % 2 == 0 && sequence_.load(std::memory_order_relaxed) == before) return value;
    }
    return std::nullopt;
  }

 private:
  std::array<std::atomic<uint64_t>, sizeof(T) / sizeof(uint64_t)> words_ = {};
  std::atomic<uint32_t> sequence_{0};  // odd: the value changes
};

}  // namespace scsi_pr
