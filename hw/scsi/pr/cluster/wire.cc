// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/wire.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "core/json_text.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;
using Code = Status::Code;

constexpr size_t kHead = 4;  // bytes of a length

constexpr auto kNames = std::to_array<std::pair<Code, std::string_view>>({
    {Code::kInvalid, "invalid"},
    {Code::kCorrupt, "corrupt"},
    {Code::kUnsupported, "unsupported"},
    {Code::kInUse, "in-use"},
    {Code::kBusy, "busy"},
    {Code::kIo, "io"},
    {Code::kUnknown, "unknown"},
});

Status Corrupt(const std::string& why) {
  return Status::Error(Code::kCorrupt,
                       "what came over the socket of scsi-prd is no message: " + why,
                       "Are QEMU, scsi-pr and scsi-prd of one version?");
}

json Parse(std::string_view text) {
  size_t values = 0;
  using Event = json::parse_event_t;
  return json::parse(text, [&values](int depth, Event event, json&) {
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= kMostDeep) throw std::invalid_argument("it is nested too deeply");
    if ((opens || event == Event::value) && ++values > kMostValues) {
      throw std::invalid_argument("it has too many values");
    }
    return true;
  });
}

}  // namespace

Status DecodeMessage(std::string_view text, json* message) {
  if (text.empty() || text.size() > kMaxFrame) {
    return Corrupt("it has " + std::to_string(text.size()) + " bytes");
  }
  try {
    json parsed = Parse(text);
    if (!parsed.is_object()) return Corrupt("it is no object");
    *message = std::move(parsed);
    return Status();
  } catch (const std::exception& error) {
    return Corrupt(error.what());
  }
}

Status EncodeFrame(const json& message, std::string* frame) {
  const std::string text = JsonText(message);
  if (text.size() > kMaxFrame) {
    return Status::Error(Code::kInvalid, "a message of " + std::to_string(text.size()) +
                                             " bytes is too long for the socket of scsi-prd");
  }
  frame->clear();
  for (size_t i = 0; i < kHead; i++) *frame += static_cast<char>(text.size() >> 8 * i & 0xFF);
  *frame += text;
  return Status();
}

// ---------------------------------------------------------------- Reading, writing

std::optional<size_t> FrameReader::Length() const {
  if (bytes_.size() < kHead) return std::nullopt;
  size_t length = 0;
  for (size_t i = 0; i < kHead; i++) length |= size_t{static_cast<uint8_t>(bytes_[i])} << 8 * i;
  return length;
}

// Or what will never be one.
bool FrameReader::IsWhole() const {
  const auto length = Length();
  return length && (*length > kMaxFrame || bytes_.size() >= kHead + *length);
}

Status FrameReader::ReadFrom(int fd, bool* ended) {
  char chunk[16384];
  *ended = false;
  while (!IsWhole()) {
    const ssize_t n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT);
    if (n > 0) {
      bytes_.append(chunk, static_cast<size_t>(n));
    } else if (n == 0) {
      *ended = true;
      return Status();
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return Status();
    } else if (errno != EINTR) {
      return Status::Error(Code::kIo, std::string("cannot read from a socket: ") + strerror(errno));
    }
  }
  return Status();
}

Status FrameReader::Next(json* message, bool* found) {
  *found = false;
  const auto length = Length();
  if (length && (*length == 0 || *length > kMaxFrame)) {
    return Corrupt("its length is " + std::to_string(*length));
  }
  if (!IsWhole()) return Status();
  Status status = DecodeMessage(std::string_view(bytes_).substr(kHead, *length), message);
  bytes_.erase(0, kHead + *length);
  *found = status.ok();
  return status;
}

Status FrameWriter::Add(const json& message) {
  std::string frame;
  Status status = EncodeFrame(message, &frame);
  if (status.ok()) bytes_ += frame;
  return status;
}

Status FrameWriter::WriteTo(int fd) {
  size_t sent = 0;
  Status status;
  while (sent < bytes_.size()) {
    const ssize_t n =
        send(fd, bytes_.data() + sent, bytes_.size() - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<size_t>(n);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      break;
    } else if (errno != EINTR) {
      status =
          Status::Error(Code::kIo, std::string("cannot write to a socket: ") + strerror(errno));
      break;
    }
  }
  bytes_.erase(0, sent);
  return status;
}

// ---------------------------------------------------------------- Results

std::string_view CodeName(Code code) {
  const auto* found = std::ranges::find(kNames, code, [](const auto& pair) { return pair.first; });
  return found == kNames.end() ? "io" : found->second;
}

std::optional<Code> CodeFromName(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, [](const auto& pair) { return pair.second; });
  if (found == kNames.end()) return std::nullopt;
  return found->first;
}

json Ok(json result) { return {{"ok", std::move(result)}}; }

json Ok() { return Ok(json::object()); }

json Error(const Status& status) {
  json error = {{"code", CodeName(status.code())}, {"message", status.message()}};
  if (!status.hint().empty()) error["hint"] = status.hint();
  return {{"error", std::move(error)}};
}

bool IsResult(const json& message) { return message.contains("ok") || message.contains("error"); }

Status ResultOf(const json& message, json* result) {
  try {
    if (message.contains("error")) {
      const json& error = message.at("error");
      const auto code = CodeFromName(error.at("code").get<std::string>());
      if (!code) return Corrupt("its error is unknown");
      return Status::Error(*code, error.at("message").get<std::string>(),
                           error.contains("hint") ? error.at("hint").get<std::string>() : "");
    }
    if (!message.at("ok").is_object()) return Corrupt("its result is no object");
    *result = message.at("ok");
    return Status();
  } catch (const std::exception& error) {
    return Corrupt(error.what());
  }
}

}  // namespace scsi_pr::cluster
