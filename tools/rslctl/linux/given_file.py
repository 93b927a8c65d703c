# SPDX-License-Identifier: BSD-3-Clause
"""The content of a file that the user names on the command line."""

from __future__ import annotations

import os
import stat

from rslctl.errors import RslError


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a file that the user names: of a pipe, what its writers write.

    Raises:
        RslError: it is a pipe to which nobody writes, so that to open it would wait for ever.
        OSError: the file cannot be opened or read.
    """
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb", 0) as file:
        if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
            first = file.read(1)
            if first == b"":
                raise RslError(f"cannot read '{os.fspath(path)}': it is a pipe without a writer")
        else:
            first = b""
        os.set_blocking(file.fileno(), True)
        return (first or b"") + file.readall()
