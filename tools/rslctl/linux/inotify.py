# SPDX-License-Identifier: BSD-3-Clause
"""Wait for writes to a file by inotify(7), for which Python has no module.

inotify reports writes by processes, also in sysfs. It does not report changes by the kernel.
"""

from __future__ import annotations

import ctypes
import os
import select

from rslctl.errors import os_error

#: From include/uapi/linux/inotify.h of Linux.
_IN_MODIFY = 0x2


class Writes:
    """A watch for writes to a file, from its creation on; usable in ``with``."""

    def __init__(self, path: str) -> None:
        """Watch *path*.

        Raises:
            RslError: the file cannot be watched.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(path), _IN_MODIFY) < 0:
            number = ctypes.get_errno()
            self.close()
            raise os_error(f"watch '{path}'", OSError(number, os.strerror(number)))

    def wait(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds for a write; return whether there was one."""
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def __enter__(self) -> Writes:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
