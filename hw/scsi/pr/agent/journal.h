// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include "agent/log.h"

namespace scsi_pr::agent {

// Messages with their ids and fields to the journal, if standard error leads there
// ($JOURNAL_STREAM); else nullptr.
std::unique_ptr<LogSink> JournalSink();

}  // namespace scsi_pr::agent
