// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the fuzz targets share. A target is one function, LLVMFuzzerTestOneInput;
// libFuzzer calls it with inputs of its own, replay.cc with those of the corpus.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "spc/bytes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace scsi_pr::fuzz {

// What must hold for any input; a crash, that is a finding, if it does not.
inline void Require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "violated: %s\n", what);
  std::abort();
}

// Takes an input apart from its front; past its end there are nulls.
class Reader {
 public:
  explicit Reader(ByteSpan input) : rest_(input) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    const ByteSpan byte = Bytes(1);
    return byte.empty() ? 0 : byte[0];
  }
  // As many as are left of `count`.
  ByteSpan Bytes(size_t count) {
    const ByteSpan bytes = rest_.first(std::min(count, rest_.size()));
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }

 private:
  ByteSpan rest_;
};

// In a copy of its exact size, where a sanitizer sees a read past the end.
inline ByteVector Copy(ByteSpan bytes) {
  ByteVector copy(bytes.begin(), bytes.end());
  copy.shrink_to_fit();
  return copy;
}

inline std::string Text(ByteSpan bytes) { return std::string(bytes.begin(), bytes.end()); }

}  // namespace scsi_pr::fuzz
