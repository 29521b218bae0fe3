// SPDX-License-Identifier: GPL-2.0-or-later
//
// A running nexus-process.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "pipe_process.h"

namespace scsi_pr::testing {

class Child : public PipeProcess {
 public:
  Child(const std::string& uri, int number)
      : PipeProcess({Program(), uri, "naa.50000000000000" + std::to_string(10 + number)}),
        opened_(ReadLine()) {}

  // What opening the store ended in.
  const std::string& opened() const { return opened_; }

 private:
  static const char* Program() {
    const char* program = getenv("NEXUS_PROCESS");
    if (program == nullptr) abort();  // tests/process/meson.build sets it
    return program;
  }

  const std::string opened_;
};

}  // namespace scsi_pr::testing
