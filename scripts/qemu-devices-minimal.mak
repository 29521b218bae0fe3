# SPDX-License-Identifier: GPL-2.0-or-later
#
# Devices of CONFIG=minimal: the ways to a SCSI disk (every kind of host
# adapter), and what a guest needs to boot and to talk to a test. The machines
# are in a file for each target, which is appended.

CONFIG_PCI_DEVICES=n
CONFIG_PCIE_PORT=y
CONFIG_VIRTIO_PCI=y
CONFIG_VIRTIO_MMIO=y
CONFIG_VIRTIO_BLK=y
CONFIG_VIRTIO_NET=y
CONFIG_VIRTIO_RNG=y
CONFIG_VIRTIO_SERIAL=y

CONFIG_SCSI=y
CONFIG_VIRTIO_SCSI=y
CONFIG_ESP_PCI=y
CONFIG_LSI_SCSI_PCI=y
CONFIG_MEGASAS_SCSI_PCI=y
CONFIG_MPTSAS_SCSI_PCI=y
CONFIG_VMW_PVSCSI_SCSI_PCI=y

CONFIG_USB_XHCI_PCI=y
CONFIG_USB_STORAGE_BOT=y
CONFIG_USB_STORAGE_CLASSIC=y
CONFIG_USB_STORAGE_UAS=y

CONFIG_TEST_DEVICES=y

# Since 10.1 ACPI's tables refer to CXL, which has no stub.
CONFIG_PXB=y
CONFIG_CXL=y
CONFIG_CXL_MEM_DEVICE=y
