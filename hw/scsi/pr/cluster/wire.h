// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a host's daemon scsi-prd and those who use its logical units say to each other, over a
// stream socket in the runtime directory (names.h): frames, each a JSON object.
//
//   4 bytes, little endian: the length of what follows, 1 to kMaxFrame; then UTF-8 text
//
// One operation for each connection. The client's first message names it; the daemon's last is
// {"ok":{…}} or {"error":{"code":…,"message":…,"hint":…}}. Whoever ends the connection earlier
// gives the operation up. docs/many-hosts.md lists the operations.
//
// What comes is taken for hostile: length, depth and number of values are bounded before
// anything is made of it. Anything unexpected is an error, and the connection is to be closed.
//
// FrameReader and FrameWriter never wait, and are for one thread at a time.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "core/status.h"

namespace scsi_pr::cluster {

// The client's first message has it as "protocol"; who does not speak it refuses.
inline constexpr int kProtocol = 1;

inline constexpr size_t kMaxFrame = 4 << 20;               // bytes of text
inline constexpr int kMostDeep = 16;                       // arrays and objects within each other
inline constexpr size_t kMostValues = size_t{256} * 1024;  // in one message

// The text of a frame. kCorrupt: it is no JSON object within the bounds.
Status DecodeMessage(std::string_view text, nlohmann::json* message);
// With the length before it. kInvalid: it would be too long.
Status EncodeFrame(const nlohmann::json& message, std::string* frame);

// Bytes in, messages out.
class FrameReader {
 public:
  // What `fd`, a socket, has now; no more than is needed for one message, and some of the
  // next ones. `*ended`: the other side will send nothing more. kIo. Never waits, whether
  // `fd` does or not. With a whole message in it that Next() has not taken, reads nothing.
  Status ReadFrom(int fd, bool* ended);
  // The same of bytes that have come otherwise.
  void Append(std::string_view bytes) { bytes_ += bytes; }
  // The next whole message, if there is one. kCorrupt: what has come is none.
  Status Next(nlohmann::json* message, bool* found);
  // A part of a message has come.
  bool HasPart() const { return !bytes_.empty(); }

 private:
  // Nothing as long as that has not come.
  std::optional<size_t> Length() const;
  bool IsWhole() const;

  std::string bytes_;
};

// Messages in, bytes out.
class FrameWriter {
 public:
  // Behind what is there already. kInvalid: too long.
  Status Add(const nlohmann::json& message);
  // What `fd`, a socket, takes now. kIo: nobody reads it any more, say. Never waits.
  Status WriteTo(int fd);
  bool empty() const { return bytes_.empty(); }
  // Bytes that wait.
  size_t size() const { return bytes_.size(); }

 private:
  std::string bytes_;
};

// "invalid" and so on, and back. Status::Code::kOk has no name.
std::string_view CodeName(Status::Code code);
std::optional<Status::Code> CodeFromName(std::string_view name);

// {"ok":result}; `result` is an object.
nlohmann::json Ok(nlohmann::json result);
nlohmann::json Ok();
// {"error":{…}}; `status` is none that is ok.
nlohmann::json Error(const Status& status);
// Whether it is the daemon's last message.
bool IsResult(const nlohmann::json& message);
// What such a message says: the error, or kOk and `*result`. kCorrupt: it says nothing.
Status ResultOf(const nlohmann::json& message, nlohmann::json* result);

}  // namespace scsi_pr::cluster
