# SPDX-License-Identifier: BSD-3-Clause
"""The user space interface of the kernel module: kmod/rsl_mbox/uapi/linux/rsl_mbox.h in Python."""

from __future__ import annotations

import struct

MAX_VECTORS = 32
MAX_BINDINGS = 64
LABEL_SIZE = 32
FEATURE_MEMORY = 1 << 0
FEATURE_CACHED = 1 << 1
FEATURE_MASK_IRQ = 1 << 2

#: The directions of a binding.
NOTIFY = 0
KICK = 1

#: The flag of a binding that ends it.
BIND_DEASSIGN = 1 << 0

#: The actions of a mask.
DO_MASK, DO_UNMASK, DO_ONESHOT, DO_CONTINUOUS = range(4)

#: The flag of a window of the memory that cannot be mapped for writing.
MEMORY_RDONLY = 1 << 0

#: The data of read() and write(): a mask of vectors.
MASK = struct.Struct("=I")

#: struct rsl_mbox_info: features, memory_base, memory_size, vectors, bindings, label,
#: reserved[4].
INFO = struct.Struct(f"=3Q2I{LABEL_SIZE}s4Q")

#: struct rsl_mbox_vector_stat: vector, flags, kicks, kicks_coalesced, notifications,
#: last_notification, storms, reserved[2].
VECTOR_STAT = struct.Struct("=2I7Q")

#: struct rsl_mbox_binding_spec: vector, direction, fd, flags.
BINDING = struct.Struct("=IIiI")

#: struct rsl_mbox_mask: vectors, action, reserved.
MASKING = struct.Struct("=IIQ")

#: struct rsl_mbox_memory: offset, size, flags, padding, reserved.
WINDOW = struct.Struct("=QQIIQ")

# The encoding of ioctl numbers: include/uapi/asm-generic/ioctl.h of Linux.
_IOC_WRITE = 1
_IOC_READ = 2
_MAGIC = ord("R")


def _ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _MAGIC << 8 | number


IOC_INFO = _ioc(_IOC_READ, 0x80, INFO.size)
IOC_STAT = _ioc(_IOC_READ | _IOC_WRITE, 0x81, VECTOR_STAT.size)
IOC_BIND = _ioc(_IOC_WRITE, 0x82, BINDING.size)
IOC_MASK = _ioc(_IOC_WRITE, 0x83, MASKING.size)
IOC_MEMORY = _ioc(_IOC_WRITE, 0x84, WINDOW.size)
