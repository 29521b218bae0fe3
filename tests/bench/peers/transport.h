/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How pr-latency sends a command: by SG_IO, or with PR_LATENCY_ISCSI by libiscsi.
 * device_send() returns the SCSI status, or -1 if there is none.
 */
#ifdef PR_LATENCY_ISCSI

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

struct device {
  struct iscsi_context* iscsi;
  int lun;
};

static void device_open(struct device* device, const char* url) {
  struct iscsi_url* parsed;

  device->iscsi = iscsi_create_context("iqn.2026-01.org.example:pr-latency");
  parsed = iscsi_parse_full_url(device->iscsi, url);
  if (!parsed || iscsi_set_session_type(device->iscsi, ISCSI_SESSION_NORMAL) ||
      iscsi_set_targetname(device->iscsi, parsed->target) ||
      iscsi_full_connect_sync(device->iscsi, parsed->portal, parsed->lun)) {
    fprintf(stderr, "pr-latency: %s: %s\n", url, iscsi_get_error(device->iscsi));
    exit(1);
  }
  device->lun = parsed->lun;
  iscsi_destroy_url(parsed);
}

static int device_send(struct device* device, const uint8_t* cdb, int length, uint8_t* data,
                       int size, int out) {
  int direction = !size ? SCSI_XFER_NONE : out ? SCSI_XFER_WRITE : SCSI_XFER_READ;
  struct scsi_task* task = scsi_create_task(length, (uint8_t*)cdb, direction, size);
  struct iscsi_data data_out = {.size = size, .data = data};
  int status;

  task = iscsi_scsi_command_sync(device->iscsi, device->lun, task, out ? &data_out : NULL);
  status = task ? task->status : -1;
  if (task) {
    scsi_free_scsi_task(task);
  }
  return status;
}

#else

#include <errno.h>
#include <fcntl.h>
#include <scsi/sg.h>
#include <sys/ioctl.h>

struct device {
  int fd;
};

static void device_open(struct device* device, const char* path) {
  device->fd = open(path, O_RDWR);
  if (device->fd < 0) {
    fprintf(stderr, "pr-latency: %s: %s\n", path, strerror(errno));
    exit(1);
  }
}

static int device_send(struct device* device, const uint8_t* cdb, int length, uint8_t* data,
                       int size, int out) {
  uint8_t sense[96];
  struct sg_io_hdr io = {
      .interface_id = 'S',
      .dxfer_direction = !size ? SG_DXFER_NONE
                         : out ? SG_DXFER_TO_DEV
                               : SG_DXFER_FROM_DEV,
      .cmd_len = length,
      .cmdp = (uint8_t*)cdb,
      .dxfer_len = size,
      .dxferp = data,
      .mx_sb_len = sizeof(sense),
      .sbp = sense,
      .timeout = 30000,
  };

  if (ioctl(device->fd, SG_IO, &io) || io.host_status) {
    return -1;
  }
  return io.status;
}

#endif
