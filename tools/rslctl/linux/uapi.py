# SPDX-License-Identifier: BSD-3-Clause
"""The user space interface of the kernel module: kmod/rsl_mbox/uapi/linux/rsl_mbox.h in Python."""

from __future__ import annotations

import struct

API_VERSION = 1
MAX_VECTORS = 32
LABEL_SIZE = 32
FEATURE_MEMORY = 1 << 0
FEATURE_CACHED = 1 << 1

#: The directions of a binding.
NOTIFY = 0
KICK = 1

#: The data of read() and write(): a mask of vectors.
MASK = struct.Struct("=I")

#: struct rsl_mbox_info: api_version, features, vectors, padding, memory_base,
#: memory_size, label, reserved[8].
INFO = struct.Struct(f"=4I2Q{LABEL_SIZE}s8I")

#: struct rsl_mbox_vector_stat: vector, padding, kicks, kicks_coalesced,
#: notifications, last_notification, reserved[3].
VECTOR_STAT = struct.Struct("=2I7Q")

#: struct rsl_mbox_binding_spec: vector, direction, fd, padding.
BINDING = struct.Struct("=IIiI")

# The encoding of ioctl numbers: include/uapi/asm-generic/ioctl.h of Linux.
_IOC_WRITE = 1
_IOC_READ = 2
_MAGIC = ord("R")


def _ioc(direction: int, number: int, size: int) -> int:
    return direction << 30 | size << 16 | _MAGIC << 8 | number


IOC_INFO = _ioc(_IOC_READ, 0x80, INFO.size)
IOC_STAT = _ioc(_IOC_READ | _IOC_WRITE, 0x81, VECTOR_STAT.size)
IOC_BIND = _ioc(_IOC_WRITE, 0x82, BINDING.size)
IOC_UNBIND = _ioc(_IOC_WRITE, 0x83, BINDING.size)
