# SPDX-License-Identifier: BSD-3-Clause
"""Has the kernel's vhost-vsock serve a device in a link's memory, then holds descriptors only.

python3 -m tests.guest.vhost_vsock VHOST MEMORY BASE CID ERROR RX_KICK RX_CALL TX_KICK TX_CALL

All but BASE, the physical address of MEMORY's first byte, and CID are descriptors: of
/dev/vhost-vsock, of a window of the memory, and eventfds. It never sees the link's device. What
it does is what QEMU's hw/virtio/vhost.c does for hw/virtio/vhost-vsock.c; structures and numbers
are those of include/uapi/linux/vhost.h and vhost_types.h.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys
from pathlib import Path

from tests.guest.vsock_driver import QUEUE_SIZE, RX, TX, Layout

#: struct vhost_memory with one struct vhost_memory_region: nregions, padding;
#: guest_phys_addr, memory_size, userspace_addr, flags_padding.
_MEMORY = struct.Struct("=2I4Q")
#: struct vhost_vring_state: index, num.
_STATE = struct.Struct("=2I")
#: struct vhost_vring_addr: index, flags, desc_user_addr, used_user_addr, avail_user_addr,
#: log_guest_addr.
_ADDRESS = struct.Struct("=2I4Q")
#: struct vhost_vring_file: index, fd.
_FILE = struct.Struct("=Ii")
_U64 = struct.Struct("=Q")
_INT = struct.Struct("=i")


def _iow(number: int, size: int) -> int:
    return 1 << 30 | size << 16 | 0xAF << 8 | number


_SET_FEATURES = _iow(0x00, _U64.size)
_SET_OWNER = 0xAF01
_SET_MEM_TABLE = _iow(0x03, 8)  # without its regions
_SET_VRING_NUM = _iow(0x10, _STATE.size)
_SET_VRING_ADDR = _iow(0x11, _ADDRESS.size)
_SET_VRING_BASE = _iow(0x12, _STATE.size)
_SET_VRING_KICK = _iow(0x20, _FILE.size)
_SET_VRING_CALL = _iow(0x21, _FILE.size)
_SET_VRING_ERR = _iow(0x22, _FILE.size)
_VSOCK_SET_GUEST_CID = _iow(0x60, _U64.size)
_VSOCK_SET_RUNNING = _iow(0x61, _INT.size)

_VERSION_1 = 1 << 32


def main() -> None:
    vhost, memory, base, cid, error, *eventfds = (int(word) for word in sys.argv[1:])
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    mapping = mmap.mmap(memory, os.lseek(memory, 0, os.SEEK_END))
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))

    fcntl.ioctl(vhost, _SET_OWNER)
    fcntl.ioctl(vhost, _SET_FEATURES, _U64.pack(_VERSION_1))
    fcntl.ioctl(vhost, _SET_MEM_TABLE, _MEMORY.pack(1, 0, base, len(mapping), address, 0))
    for queue, kick, call in ((RX, *eventfds[:2]), (TX, *eventfds[2:])):
        fcntl.ioctl(vhost, _SET_VRING_NUM, _STATE.pack(queue, QUEUE_SIZE))
        fcntl.ioctl(vhost, _SET_VRING_BASE, _STATE.pack(queue, 0))
        places = [Layout.descriptors(queue), Layout.used(queue), Layout.available(queue)]
        rings = [address + place for place in places]
        fcntl.ioctl(vhost, _SET_VRING_ADDR, _ADDRESS.pack(queue, 0, *rings, 0))
        fcntl.ioctl(vhost, _SET_VRING_CALL, _FILE.pack(queue, call))
        fcntl.ioctl(vhost, _SET_VRING_ERR, _FILE.pack(queue, error))
        fcntl.ioctl(vhost, _SET_VRING_KICK, _FILE.pack(queue, kick))
    fcntl.ioctl(vhost, _VSOCK_SET_GUEST_CID, _U64.pack(cid))
    fcntl.ioctl(vhost, _VSOCK_SET_RUNNING, _INT.pack(1))
    print(f"serving as uid {os.getuid()}, CapPrm {status['CapPrm']}", flush=True)
    os.read(0, 1)  # until the test ends


if __name__ == "__main__":
    main()
