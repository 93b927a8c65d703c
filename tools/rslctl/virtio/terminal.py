# SPDX-License-Identifier: BSD-3-Clause
"""The far end of a console that is a pseudo-terminal."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
import tty

from rslctl.linux import atomic
from rslctl.virtio.ends import End, hung_up


class PseudoTerminal(End):
    """A pseudo-terminal in raw mode, and a symbolic link to it.

    While no program has it open, it keeps as much output as it has room for, some kilobytes, and
    what comes after that is dropped.
    """

    def __init__(self, path: str) -> None:
        """With a link at *path*, in place of another symbolic link."""
        self._path = path
        super().__init__(f"make a pseudo-terminal at '{path}'")

    def _open(self) -> None:
        self._terminal, slave = os.openpty()
        self._opened.callback(os.close, self._terminal)
        try:
            self._name = os.ttyname(slave)
            tty.setraw(slave)
        finally:
            os.close(slave)
        os.set_blocking(self._terminal, False)
        self._watch(self._terminal, select.EPOLLIN | select.EPOLLOUT)
        _link(self._name, self._path)
        self._opened.callback(self._unlink)

    def _unlink(self) -> None:
        with contextlib.suppress(OSError):  # another has replaced or removed it
            if os.readlink(self._path) == self._name:
                os.unlink(self._path)

    def read(self, size: int) -> bytes:
        try:
            return os.read(self._terminal, size)
        except OSError:  # no input, or no program that has it open
            return b""

    def write(self, data: bytes) -> int:
        try:
            return os.write(self._terminal, data)
        except BlockingIOError:
            return len(data) if hung_up(self._terminal) else 0
        except OSError:  # older kernels refuse what no program would read
            return len(data)


def _link(target: str, path: str) -> None:
    """Make a symbolic link at *path* in one step, in place of another symbolic link."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISLNK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "")
    new = atomic.temporary(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    os.symlink(target, new)
    os.rename(new, path)
