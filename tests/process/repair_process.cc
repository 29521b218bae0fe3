// SPDX-License-Identifier: GPL-2.0-or-later
//
// Repairs a file store, and dies at a named place, if one is named:
//
//   repair-process PATH [NAME]
//
// Prints "ok DAMAGED", where the damaged store is, or "error CODE MESSAGE".
#include "care/repair.h"

#include <csignal>
#include <iostream>

#include "crash_point.h"

int main(int argc, char** argv) {
  using namespace scsi_pr;
  if (argc > 2) testing::ArmCrashPoint(argv[2], 1, SIGKILL);
  Repair repair;
  const Status status = RepairStore({argv[1]}, &repair);
  if (status.ok()) {
    std::cout << "ok " << repair.damaged << "\n";
  } else {
    std::cout << "error " << static_cast<int>(status.code()) << " " << status.message() << "\n";
  }
}
