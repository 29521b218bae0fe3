// SPDX-License-Identifier: GPL-2.0-or-later
//
// What etcd's JSON gateway (3.4, 3.5) is sent and what it says: text to values and back,
// nothing else. Whatever comes is taken for hostile. Keys and values are base64, numbers are
// strings or numbers, zero and empty are left out; HTTP codes differ between versions, so an
// error is known by its gRPC code and message.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/engine.h"

namespace scsi_pr::agent {

// Of one answer; the most that our own values can make, and room.
inline constexpr size_t kMaxAnswer = 16 << 20;

std::string EncodeTransaction(const Transaction& transaction);
// Fills all but `failure` from an answer; or says what is wrong with it, then `answer` is as
// it was. Of an error that etcd reports: see DecodeError().
Failure DecodeTransaction(std::string_view text, const Transaction& transaction, Answer* answer);

// Of POST /v3/kv/range, which is cheaper than a transaction that reads one range; likewise.
std::string EncodeRange(const Range& range);
Failure DecodeRange(std::string_view text, const Range& range, Answer* answer);

// An error that etcd reports.
struct EtcdError {
  Failure failure;
  // It was refused before, or while, it was decided: nothing of it will ever be applied.
  bool is_final = false;
  // A new token may help.
  bool wants_token = false;
  // Another endpoint may do better.
  bool try_next = false;
};
// None if the text is no error; text that is no JSON is one.
std::optional<EtcdError> DecodeError(std::string_view text);

std::string EncodeAuthenticate(const std::string& user, const std::string& password);
Failure DecodeAuthenticate(std::string_view text, std::string* token);
// A token is a word: it goes into a header.
bool IsToken(std::string_view text);

// Of POST /v3/maintenance/status.
Identity DecodeStatus(std::string_view text);

std::string EncodeWatch(const std::string& prefix);
// One line of a watch's answer.
enum class WatchLine {
  kQuiet,  // nothing has changed
  kLook,   // something may have: `news`, or anything
  kOver,   // the watch has ended, or this is no line of one
};
WatchLine DecodeWatchLine(std::string_view line, std::vector<News>* news);

}  // namespace scsi_pr::agent
