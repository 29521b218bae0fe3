// SPDX-License-Identifier: GPL-2.0-or-later
#include "cluster/elsewhere.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "cluster/names.h"
#include "cluster/wire.h"
#include "core/document.h"
#include "core/envelope.h"
#include "core/json_text.h"
#include "spc/text.h"
#include "store/file_io.h"
#include "store/temporary.h"

namespace scsi_pr::cluster {

namespace {

using nlohmann::json;

constexpr uint64_t kSchema = 1;
constexpr size_t kMostAttached = 65536;
constexpr size_t kMaxText = 400;  // bytes of a text for people

Status Failure(const RuntimeDirectory& directory, const std::string& name, const char* what) {
  return Status::Error(
      Status::Code::kIo,
      std::string("cannot ") + what + " " + directory.path() + "/" + ElsewhereFileName(name) +
          ": " + strerror(errno),
      "scsi-prd must be able to write it, and the user that runs QEMU to read it.");
}

Status Corrupt(const std::string& why) {
  return Status::Error(Status::Code::kCorrupt,
                       "the list of who is attached on other hosts is damaged: " + why,
                       "Restart scsi-prd, which writes it anew.");
}

json ToJson(const Elsewhere::Attached& attached) {
  json object = NexusToJson(attached.nexus);
  object["host"] = attached.host;
  object["owner"] = attached.owner;
  object["live"] = attached.live;
  return object;
}

std::string Text(const json& object, const char* member) {
  return Printable(object.at(member).get_ref<const std::string&>(), kMaxText);
}

Elsewhere FromJson(const json& object) {
  Elsewhere elsewhere;
  elsewhere.host = Text(object, "host");
  const json& list = object.at("attached");
  if (!list.is_array() || list.size() > kMostAttached) {
    throw std::invalid_argument("\"attached\" is no list of that length");
  }
  for (const json& item : list) {
    elsewhere.attached.push_back({NexusFromJson(item), Text(item, "host"), Text(item, "owner"),
                                  item.at("live").get<bool>()});
  }
  return elsewhere;
}

// Whole, under a name of its own; 0 or an errno.
int WriteNew(const RuntimeDirectory& directory, const std::string& name, const struct stat& like,
             const std::string& text) {
  directory.Remove(name);
  const int fd = openat(directory.fd(), name.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return errno;
  const bool written = MakeUsableLike(fd, like) && WriteAll(fd, text.data(), text.size(), 0);
  const int error = written ? 0 : errno;
  close(fd);
  return error;
}

// What is not longer than a message.
bool ReadWhole(int fd, std::string* text) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return false;
  if (!S_ISREG(info.st_mode) || info.st_size > static_cast<off_t>(kMaxFrame)) {
    errno = EFBIG;
    return false;
  }
  text->resize(static_cast<size_t>(info.st_size));
  return ReadAll(fd, text->data(), text->size(), 0);
}

}  // namespace

std::string EncodeElsewhere(const Elsewhere& elsewhere) {
  json list = json::array();
  for (const Elsewhere::Attached& attached : elsewhere.attached) list.push_back(ToJson(attached));
  return JsonText({{"schema", kSchema}, {"host", elsewhere.host}, {"attached", std::move(list)}});
}

Status DecodeElsewhere(const std::string& text, Elsewhere* elsewhere) {
  try {
    json object;
    if (Status status = DecodeMessage(text, &object); !status.ok())
      return Corrupt(status.message());
    if (GetUnsigned<uint64_t>(object, "schema", 1) > kSchema) {
      return Status::Error(Status::Code::kUnsupported,
                           "the list of who is attached on other hosts is of a newer scsi-prd",
                           "Upgrade QEMU, or the tool, too.");
    }
    *elsewhere = FromJson(object);
    return Status();
  } catch (const std::exception& error) {
    return Corrupt(error.what());
  }
}

Status WriteElsewhere(const RuntimeDirectory& directory, const std::string& name,
                      const struct stat& like, const Elsewhere& elsewhere) {
  const std::string file = ElsewhereFileName(name);
  const std::string temporary = file + "new";
  const std::string text = EncodeElsewhere(elsewhere);
  int error = text.size() > kMaxFrame ? EFBIG : WriteNew(directory, temporary, like, text);
  if (error == 0 &&
      renameat(directory.fd(), temporary.c_str(), directory.fd(), file.c_str()) != 0) {
    error = errno;
  }
  if (error == 0) return Status();
  directory.Remove(temporary);
  errno = error;
  return Failure(directory, name, "write");
}

void RemoveElsewhere(const RuntimeDirectory& directory, const std::string& name) {
  directory.Remove(ElsewhereFileName(name));
}

Status ReadElsewhere(const RuntimeDirectory& directory, const std::string& name,
                     Elsewhere* elsewhere) {
  const int fd = openat(directory.fd(), ElsewhereFileName(name).c_str(),
                        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 && errno == ENOENT) {
    *elsewhere = {};
    return Status();
  }
  if (fd < 0) return Failure(directory, name, "read");
  std::string text;
  const bool read = ReadWhole(fd, &text);
  const Status failure = read ? Status() : Failure(directory, name, "read");
  close(fd);
  return read ? DecodeElsewhere(text, elsewhere) : failure;
}

}  // namespace scsi_pr::cluster
