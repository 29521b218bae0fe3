// SPDX-License-Identifier: GPL-2.0-or-later
//
// Small files that are read and replaced as a whole.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "core/status.h"

namespace scsi_pr::agent {

// A regular file of at most `most` bytes. kIo: it cannot be read, and errno says why (ENOENT: it
// is not there); kInvalid: it is something else, or longer. `mode`, if asked for: its permissions.
Status ReadWholeFile(const std::string& path, size_t most, std::string* text,
                     mode_t* mode = nullptr);

// Who opens `path` sees either what was there or all of `text`, whatever happens meanwhile. Made
// as PATH.new and renamed: one process at a time. `durable`: it survives a loss of power
// when this returns. kIo; then what was there is there.
Status ReplaceFile(const std::string& path, std::string_view text, mode_t mode, bool durable);

}  // namespace scsi_pr::agent
