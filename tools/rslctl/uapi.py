# SPDX-License-Identifier: BSD-3-Clause
"""The user interface of the kernel module, from kmod/rsl_mbox/uapi/linux/rsl_mbox.h."""

from __future__ import annotations

import struct

API_VERSION = 1
MAX_VECTORS = 32
LABEL_SIZE = 32
FEATURE_MEMORY = 1 << 0

#: What read() returns and write() takes: a mask of vectors.
MASK = struct.Struct("=I")

#: struct rsl_mbox_info: api_version, features, vectors, padding, memory_base,
#: memory_size, label, reserved[8].
INFO = struct.Struct(f"=4I2Q{LABEL_SIZE}s8I")

# The encoding of ioctl numbers: include/uapi/asm-generic/ioctl.h of Linux.
_IOC_READ = 2
_MAGIC = ord("R")


def _ior(number: int, size: int) -> int:
    return _IOC_READ << 30 | size << 16 | _MAGIC << 8 | number


IOC_INFO = _ior(0x80, INFO.size)
