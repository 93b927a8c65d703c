# SPDX-License-Identifier: BSD-3-Clause
"""The virtio-mmio header in the shared memory: offsets of registers, and values with a meaning.

The registers are those of virtio 1.2 (4.2.2, and 4.2.4 for the legacy ones), little endian and of
32 bits. Version 2 of this project adds four in words that virtio-mmio reserves. Version 1 adds two
values: those of the RSL daemon, OpenAMP's fork of kvmtool (virtio/mmio.c).
"""

from __future__ import annotations

import enum

#: Size of a header in bytes.
HEADER_SIZE = 0x200
#: Size of the configuration space in bytes, from :attr:`Register.CONFIG` on. No device of virtio
#: 1.2 that can be served has more. In virtio-mmio it is twice as long; the rest is for the report.
CONFIG_SIZE = 0x80

#: The value of MAGIC: "virt".
MAGIC = 0x74726976
#: VENDOR_ID of version 1: "LKVM", which existing firmware may check.
VENDOR_LKVM = 0x4D564B4C
#: VENDOR_ID of version 2: "RSLV".
VENDOR_RSLV = 0x564C5352

#: Version 1, in QUEUE_PFN: the device has taken the queue.
PFN_ACK = 0xAABBAABB
#: Version 1, in QUEUE_SEL and QUEUE_NUM: the driver has not written it.
QUEUE_UNSET = 0x00FF00FF
#: Version 1, in GUEST_PAGE_SIZE and QUEUE_ALIGN before the driver writes them, in bytes.
PAGE_SIZE = 0x1000

#: Version 2, in the SHM registers: there is no such region (virtio 1.2, 4.2.2).
NO_REGION = 0xFFFF_FFFF_FFFF_FFFF


class Register(enum.IntEnum):
    """The offsets of the registers in bytes."""

    MAGIC = 0x000
    VERSION = 0x004
    DEVICE_ID = 0x008
    VENDOR_ID = 0x00C
    DEVICE_FEATURES = 0x010
    DEVICE_FEATURES_SEL = 0x014
    DRIVER_FEATURES = 0x020
    DRIVER_FEATURES_SEL = 0x024
    GUEST_PAGE_SIZE = 0x028  # version 1 only
    QUEUE_SEL = 0x030
    QUEUE_NUM_MAX = 0x034
    QUEUE_NUM = 0x038
    QUEUE_ALIGN = 0x03C  # version 1 only
    QUEUE_PFN = 0x040  # version 1 only
    QUEUE_READY = 0x044
    QUEUE_NOTIFY = 0x050
    INTERRUPT_STATUS = 0x060
    INTERRUPT_ACK = 0x064
    STATUS = 0x070
    QUEUE_DESC_LOW = 0x080
    QUEUE_DESC_HIGH = 0x084
    QUEUE_AVAIL_LOW = 0x090
    QUEUE_AVAIL_HIGH = 0x094
    QUEUE_USED_LOW = 0x0A0
    QUEUE_USED_HIGH = 0x0A4
    SHM_SEL = 0x0AC
    SHM_LEN_LOW = 0x0B0
    SHM_LEN_HIGH = 0x0B4
    SHM_BASE_LOW = 0x0B8
    SHM_BASE_HIGH = 0x0BC
    QUEUE_RESET = 0x0C0
    #: Version 2, driver: offset | size << 16 of the register that it has just written; the device
    #: zeroes it when it has acted. As write_transaction of Siemens' virtio-ivshmem.
    TRANSACTION = 0x0D0
    #: Version 2, device: the vector by which the driver notifies the queue QUEUE_SEL.
    QUEUE_NOTIFY_VECTOR = 0x0D4
    #: Version 2, device: the vector that the device kicks for used buffers of the queue QUEUE_SEL.
    QUEUE_KICK_VECTOR = 0x0D8
    #: Version 2, device: the vector, in both directions, of transactions and of configuration
    #: changes.
    CONFIG_VECTOR = 0x0DC
    CONFIG_GENERATION = 0x0FC
    CONFIG = 0x100
    #: What :mod:`.report` tells of a device that runs, to the end of the header.
    REPORT = 0x180


class Status:
    """The bits of STATUS (virtio 1.2, 2.1)."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    NEEDS_RESET = 64
    FAILED = 128


class Interrupt:
    """The bits of INTERRUPT_STATUS and INTERRUPT_ACK."""

    USED = 1
    CONFIG = 2


#: Features of the rings and the transport (virtio 1.2, chapter 6), as masks.
F_NOTIFY_ON_EMPTY = 1 << 24
F_ANY_LAYOUT = 1 << 27
F_INDIRECT_DESC = 1 << 28
F_EVENT_IDX = 1 << 29
F_VERSION_1 = 1 << 32
F_ACCESS_PLATFORM = 1 << 33
F_RING_PACKED = 1 << 34
F_IN_ORDER = 1 << 35
F_ORDER_PLATFORM = 1 << 36
F_SR_IOV = 1 << 37
F_NOTIFICATION_DATA = 1 << 38
F_NOTIF_CONFIG_DATA = 1 << 39
F_RING_RESET = 1 << 40
F_ADMIN_VQ = 1 << 41
