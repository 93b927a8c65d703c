# SPDX-License-Identifier: BSD-3-Clause
"""Whether a file may be believed: who can have made it."""

from __future__ import annotations

import os
import stat

from rslctl.errors import RslError
from rslctl.linux.host import Host


def check_own(host: Host, directory: str, name: str = "") -> None:
    """Check that nobody but root can have made what rslctl is to believe.

    That is the file *name* in *directory*, which the user of this process may have made, too,
    and the owner of the root. What is missing is no error.

    Raises:
        RslError: another user could have made it.
    """
    root = host.stat("/")
    owners = (0, os.geteuid(), root.st_uid if root else 0)
    above = os.path.dirname(directory)
    shared = False
    for each in (above, directory, *([f"{directory}/{name}"] if name else [])):
        state = host.stat(each) if each == above else host.lstat(each)
        if state is None:
            return
        if stat.S_ISLNK(state.st_mode) and not shared and each == directory:
            state = host.stat(each) or state
        mode = stat.S_IMODE(state.st_mode)
        writable = mode & 0o022 and not (each == above and mode & stat.S_ISVTX)
        if state.st_uid not in owners or writable or stat.S_ISLNK(state.st_mode):
            raise RslError(
                f"'{host.where(each)}' belongs to user {state.st_uid} and has mode {mode:04o}, "
                "so others can write what rslctl would believe",
                hint=f"it has to be root's, and not writable by others; look at what is in "
                f"'{host.where(directory)}' before you mend it",
            )
        shared = bool(mode & 0o022)


def check_ours(host: Host, name: str) -> None:
    """Check that root or the user of this process made the file *name* that names other files.

    Below another root the owner of the image may have made it, who is not to choose which
    files of this machine rslctl opens. What is missing is no error.

    Raises:
        RslError: another user has made it.
    """
    state = host.lstat(name)
    if state is not None and state.st_uid not in (0, os.geteuid()):
        raise RslError(
            f"'{host.where(name)}' belongs to user {state.st_uid}, and names a file of this "
            "machine",
            hint="run it as that user",
        )
