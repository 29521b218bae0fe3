// SPDX-License-Identifier: GPL-2.0-or-later
#include "agent/journal.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

// Where in the sources a message was written is not for administrators.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace scsi_pr::agent {

namespace {

class Journal : public LogSink {
 public:
  Journal() : stderr_(StderrSink()) {}

  void Write(const MessageKind& kind, const std::string& text, const LogFields& fields) override {
    std::vector<std::string> lines = {"MESSAGE=" + text, "MESSAGE_ID=" + std::string(kind.id),
                                      "PRIORITY=" + std::to_string(static_cast<int>(kind.level)),
                                      "SCSI_PRD_MESSAGE=" + std::string(kind.name)};
    for (const LogField& field : fields) {
      lines.push_back("SCSI_PRD_" + std::string(field.name) + "=" + field.value);
    }
    std::vector<iovec> vectors;
    for (std::string& line : lines) vectors.push_back({line.data(), line.size()});
    if (sd_journal_sendv(vectors.data(), static_cast<int>(vectors.size())) < 0) {
      stderr_->Write(kind, text, fields);
    }
  }

 private:
  const std::unique_ptr<LogSink> stderr_;
};

// The journal says which device and inode it has given to this process: "DEVICE:INODE".
bool LeadsToJournal(int fd) {
  const char* stream = getenv("JOURNAL_STREAM");
  struct stat info = {};
  return stream != nullptr && fstat(fd, &info) == 0 &&
         stream == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

}  // namespace

std::unique_ptr<LogSink> JournalSink() {
  return LeadsToJournal(STDERR_FILENO) ? std::make_unique<Journal>() : nullptr;
}

}  // namespace scsi_pr::agent
