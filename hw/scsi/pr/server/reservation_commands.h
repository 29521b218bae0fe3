// SPDX-License-Identifier: GPL-2.0-or-later
//
// What REPORT SUPPORTED OPERATION CODES says about the commands that the device
// server carries out: what is in DeviceServer::Process() is here.
#pragma once

#include <span>

#include "spc/supported_commands.h"

namespace scsi_pr {

std::span<const SupportedCommand> ReservationCommands();

}  // namespace scsi_pr
