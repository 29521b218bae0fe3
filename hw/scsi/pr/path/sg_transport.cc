// SPDX-License-Identifier: GPL-2.0-or-later
#include "path/sg_transport.h"

#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "spc/sense_data.h"

namespace scsi_pr {

namespace {

Status Unusable(const std::string& device, const std::string& why, const char* hint) {
  return Status::Error(Status::Code::kIo, device + " cannot be used: " + why, hint);
}

// What the kernel says of how the command went, beside the status: nothing if all is well. Its
// host bytes are those of include/scsi/scsi_status.h of Linux.
std::string Trouble(const sg_io_hdr& header) {
  constexpr unsigned kDriverTimeout = 0x06;
  constexpr unsigned kNoConnect = 0x01;
  constexpr unsigned kTimeOut = 0x03;
  constexpr unsigned kReset = 0x08;
  constexpr unsigned kTransportDisrupted = 0x0E;
  constexpr unsigned kTransportFailFast = 0x0F;
  if ((header.driver_status & 0x0F) == kDriverTimeout) return "no answer in time";
  switch (header.host_status) {
    case 0: return "";
    case kNoConnect: return "no connection to the target";
    case kTimeOut: return "no answer in time";
    case kReset: return "the bus was reset";
    case kTransportDisrupted:
    case kTransportFailFast: return "the transport has failed";
    default: break;
  }
  char text[32];
  std::snprintf(text, sizeof text, "host status %02xh", static_cast<unsigned>(header.host_status));
  return text;
}

}  // namespace

// While the transport of a path is lost, the kernel holds its commands, for two minutes perhaps
// (iSCSI's replacement_timeout, the other transports' fast_io_fail_tmo): such a path is dead.
std::string SgTransport::WhyHeld() const {
  struct stat info = {};
  if (fstat(fd_, &info) != 0) return "";
  const std::string number =
      std::to_string(major(info.st_rdev)) + ":" + std::to_string(minor(info.st_rdev));
  const char* const kind = S_ISBLK(info.st_mode) ? "block/" : "char/";
  std::string state;
  std::ifstream(std::string("/sys/dev/") + kind + number + "/device/state") >> state;
  const bool is_held = state == "blocked" || state == "transport-offline";
  return is_held ? "its transport is lost (" + state + ")" : "";
}

Status SgTransport::Open(const std::string& device, std::unique_ptr<Transport>* transport) {
  const int fd = open(device.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) {
    const bool denied = errno == EACCES || errno == EPERM;
    return Unusable(device, strerror(errno),
                    denied ? "Run this as root. The service of scsi-prd gets the right by a "
                             "drop-in: docs/many-hosts-setup.md."
                           : "Name a SCSI disk (/dev/sda) or an sg node.");
  }
  std::unique_ptr<SgTransport> opened(new SgTransport(fd));
  int version = 0;
  constexpr int kWithSgIo = 30000;
  if (ioctl(fd, SG_GET_VERSION_NUM, &version) != 0 || version < kWithSgIo) {
    return Unusable(
        device, "it is no SCSI device",
        "Name a whole SCSI disk (/dev/sda), an sg node or a dm-multipath map of disks.");
  }
  *transport = std::move(opened);
  return Status();
}

SgTransport::~SgTransport() { close(fd_); }

TransportResult SgTransport::Execute(const TransportCommand& command) {
  TransportResult result;
  result.why = WhyHeld();
  if (!result.why.empty()) return result;
  ByteVector cdb = command.cdb;
  ByteVector data = command.data_out;
  const bool reads = command.allocation_length != 0;
  if (reads) data.assign(command.allocation_length, 0);
  uint8_t sense[96] = {};
  sg_io_hdr header = {};
  header.interface_id = 'S';
  header.dxfer_direction = reads ? SG_DXFER_FROM_DEV : SG_DXFER_TO_DEV;
  if (data.empty()) header.dxfer_direction = SG_DXFER_NONE;
  header.cmdp = cdb.data();
  header.cmd_len = static_cast<unsigned char>(cdb.size());
  header.dxferp = data.data();
  header.dxfer_len = static_cast<unsigned>(data.size());
  header.sbp = sense;
  header.mx_sb_len = sizeof sense;
  header.timeout = static_cast<unsigned>(command.timeout.count());
  // Interrupted, the command goes on: it is not sent again.
  if (ioctl(fd_, SG_IO, &header) != 0) {
    result.why = strerror(errno);
    return result;
  }
  result.status = static_cast<ScsiStatus>(header.status & 0x3E);
  // Some kernels say of a reservation conflict that the host adapter failed, too.
  if (result.status != ScsiStatus::kReservationConflict) result.why = Trouble(header);
  result.answered = result.why.empty();
  const auto said = ParseSenseData(ByteSpan(sense).first(header.sb_len_wr));
  if (result.status == ScsiStatus::kCheckCondition && said) result.sense = *said;
  const auto left = static_cast<size_t>(header.resid < 0 ? 0 : header.resid);
  if (reads) data.resize(data.size() - std::min(left, data.size()));
  if (reads) result.data = std::move(data);
  return result;
}

}  // namespace scsi_pr
