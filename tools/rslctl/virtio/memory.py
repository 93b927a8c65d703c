# SPDX-License-Identifier: BSD-3-Clause
"""The shared memory by the addresses at which the remote sees it.

What the remote tells of is not believed: an access to anything else raises OutsideError.
"""

from __future__ import annotations

import ctypes
import mmap


class OutsideError(Exception):
    """An address that the remote told of is not in the shared memory."""

    def __init__(self, address: int, size: int) -> None:
        """For *size* bytes from *address* on."""
        super().__init__(f"{size} bytes at {address:#x} are outside of the shared memory")
        self.address = address
        self.size = size


class Memory:
    """The shared memory from the remote's address *base* on.

    Numbers have the byte order of this machine, which is little-endian as virtio demands. Each is
    one aligned access: CPython copies an item of a memoryview by a memcpy() of constant size
    (unpack_single() and pack_single() of Objects/memoryobject.c).
    """

    def __init__(self, view: memoryview | mmap.mmap, base: int) -> None:
        """For the writable *view*.

        Raises:
            ValueError: *base* or the size of *view* is not a multiple of 8.
        """
        self.base = base
        self._bytes = memoryview(view).cast("B")
        if base % 8 or len(self._bytes) % 8:
            raise ValueError(f"memory of {len(self._bytes)} bytes at {base:#x} is not aligned")
        self._u16 = self._bytes.cast("H")
        self._u32 = self._bytes.cast("I")
        self._u64 = self._bytes.cast("Q")

    def close(self) -> None:
        """Give back the views of the memory, so that it can be unmapped."""
        for view in (self._u16, self._u32, self._u64, self._bytes):
            view.release()

    def check(self, address: int, size: int) -> None:
        """Raise OutsideError unless all *size* bytes from *address* on are in the memory."""
        self._offset(address, size)

    def _offset(self, address: int, size: int) -> int:
        offset = address - self.base
        if not 0 <= offset <= len(self._bytes) - size:
            raise OutsideError(address, size)
        return offset

    def _index(self, address: int, size: int) -> int:
        """The index of the number of *size* bytes at *address*."""
        offset = self._offset(address, size)
        if offset % size:
            raise ValueError(f"address {address:#x} is not a multiple of {size}")
        return offset // size

    def read(self, address: int, size: int) -> bytes:
        """A copy of *size* bytes, read once.

        Raises:
            OutsideError: they are not all in the memory.
        """
        offset = self._offset(address, size)
        return bytes(self._bytes[offset : offset + size])

    def write(self, address: int, data: bytes) -> None:
        """Write *data* at *address*.

        Raises:
            OutsideError: it is not all in the memory. Nothing is written then.
        """
        offset = self._offset(address, len(data))
        self._bytes[offset : offset + len(data)] = data

    # What follows raises OutsideError as read() does, and ValueError for an address that is not a
    # multiple of the number's size.

    def u16(self, address: int) -> int:
        """The number of 16 bits at *address*."""
        return self._u16[self._index(address, 2)]

    def u32(self, address: int) -> int:
        """The number of 32 bits at *address*."""
        return self._u32[self._index(address, 4)]

    def u64(self, address: int) -> int:
        """The number of 64 bits at *address*; on a machine of 32 bits it is two accesses."""
        return self._u64[self._index(address, 8)]

    def set_u16(self, address: int, value: int) -> None:
        """Write a number of 16 bits."""
        self._u16[self._index(address, 2)] = value

    def set_u32(self, address: int, value: int) -> None:
        """Write a number of 32 bits."""
        self._u32[self._index(address, 4)] = value

    def set_u64(self, address: int, value: int) -> None:
        """Write a number of 64 bits; on a machine of 32 bits it is two accesses."""
        self._u64[self._index(address, 8)] = value

    def address_of(self, address: int) -> int:
        """The virtual address in this process of the byte at *address*: vhost wants it.

        It is valid as long as the memory is mapped.

        Raises:
            OutsideError: the byte is not in the memory.
        """
        offset = self._offset(address, 1)
        return ctypes.addressof(ctypes.c_char.from_buffer(self._bytes, offset))
