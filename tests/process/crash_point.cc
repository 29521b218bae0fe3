// SPDX-License-Identifier: GPL-2.0-or-later
#include "crash_point.h"

#include <unistd.h>

#include <csignal>

#include "gate/crash_point.h"

namespace scsi_pr {

namespace {

std::string armed;
int hits_left = 0;
int armed_signal = 0;

}  // namespace

void testing::ArmCrashPoint(const std::string& name, int hits, int signal) {
  armed = name;
  hits_left = hits;
  armed_signal = signal;
}

void CrashPoint(const char* name) {
  if (hits_left > 0 && armed == name && --hits_left == 0) kill(getpid(), armed_signal);
}

}  // namespace scsi_pr
