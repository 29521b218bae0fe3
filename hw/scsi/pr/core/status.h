// SPDX-License-Identifier: GPL-2.0-or-later
//
// The outcome of an operation that can fail outside the standard: a store, a
// file, a document, a user's setting. What an initiator sees is a ScsiStatus
// (spc/sense.h) instead.
#pragma once

#include <string>
#include <string_view>

#include "spc/text.h"

namespace scsi_pr {

class [[nodiscard]] Status {
 public:
  enum class Code {
    kOk,
    kInvalid,      // what the user asked for makes no sense
    kCorrupt,      // stored data is damaged; nothing was overwritten
    kUnsupported,  // stored data of a newer version
    kInUse,        // somebody else has it
    kBusy,         // not in time; nothing has changed, trying again may help
    kIo,           // the operating system says no
    kUnknown,      // it was sent, and nobody can say whether it is in force, or will be
  };

  Status() = default;
  // `message` says what is wrong and where, without a full stop; `hint` (may
  // be empty) is a sentence that says what to do. Both may hold text from outside, and
  // become printable, and not endless.
  static Status Error(Code code, std::string_view message, std::string_view hint = "") {
    constexpr size_t kMost = 16384;  // bytes: a few paths, or some fifty names
    Status status;
    status.code_ = code;
    status.message_ = Printable(message, kMost);
    status.hint_ = Printable(hint, kMost);
    return status;
  }

  bool ok() const { return code_ == Code::kOk; }
  Code code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
  std::string hint_;
};

}  // namespace scsi_pr
