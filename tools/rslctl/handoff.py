# SPDX-License-Identifier: BSD-3-Clause
"""Start a daemon with the descriptors of a link and without any other right.

The descriptors are passed as sd_listen_fds_with_names(3) describes: from 3 on,
counted by LISTEN_FDS, named by LISTEN_FDNAMES, meant for the process LISTEN_PID.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import pwd
import shutil
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from rslctl.errors import RslError, os_error
from rslctl.host import Host
from rslctl.mbox import LinkDevice, Mailbox

LISTEN_FDS_START = 3

#: What the daemon gets, in the order of the descriptors. Both are open files of the
#: link's device: ``shmem`` to be mapped, ``mbox`` to be polled, read and written.
NAMES = ("shmem", "mbox")

# include/uapi/linux/prctl.h, capability.h
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522


@dataclass(frozen=True)
class User:
    """Whom the daemon runs as."""

    name: str
    uid: int
    gid: int


def user(name: str) -> User:
    """Look up the user *name*.

    Raises:
        RslError: there is none, or it is root, which cannot be unprivileged.
    """
    try:
        entry = pwd.getpwnam(name)
    except KeyError as error:
        raise RslError(f"unknown user {name!r}", hint="--user takes a name, as nobody") from error
    if entry.pw_uid == 0:
        raise RslError(
            f"user {name!r} has user id 0 and would not be without privilege",
            hint="leave out --user to keep the rights that you have",
        )
    return User(name, entry.pw_uid, entry.pw_gid)


def environment(names: Sequence[str], base: Mapping[str, str]) -> dict[str, str]:
    """The environment *base* with the variables that announce the descriptors."""
    return {
        **base,
        "LISTEN_FDS": str(len(names)),
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDNAMES": ":".join(names),
    }


def find_program(command: Sequence[str]) -> str:
    """The path of the program of *command*.

    Raises:
        RslError: it is not to be found or not executable.
    """
    program = shutil.which(command[0])
    if program is None:
        raise RslError(f"cannot find the program {command[0]!r}", hint="give its path")
    return program


def execute(host: Host, link: LinkDevice, command: Sequence[str], who: User | None) -> NoReturn:
    """Become *command*, with the descriptors of *link*, as *who*.

    Raises:
        RslError: the device, the user or the program is not to be had. The process has not
            changed then, unless it was dropping its rights.
    """
    program = find_program(command)
    if who and os.geteuid() != 0:
        raise RslError(f"cannot become user {who.name!r}", hint="run it as root")
    with Mailbox(host, link) as shmem, Mailbox(host, link) as notifications:
        os.set_blocking(notifications.fileno(), True)
        os.set_blocking(shmem.fileno(), True)
        env = environment(NAMES, os.environ)
        _place([shmem.fileno(), notifications.fileno()])
        become(program, command, env, who, passed=len(NAMES))


def become(
    program: str,
    command: Sequence[str],
    env: Mapping[str, str],
    who: User | None,
    *,
    passed: int = 0,
) -> NoReturn:
    """Become *command* as *who*, with *passed* descriptors from LISTEN_FDS_START on and no other.

    Raises:
        RslError: the kernel refuses; rights may be dropped then.
    """
    _let_nothing_else_be_inherited(LISTEN_FDS_START + passed)
    if who:
        drop_rights(who)
    # Python ignores these, and what is ignored stays so in the daemon.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, list(command), dict(env))
    except OSError as error:
        raise os_error(f"execute '{program}'", error) from error


def _place(fds: Sequence[int]) -> None:
    """Put copies of *fds* at LISTEN_FDS_START and on."""
    behind = LISTEN_FDS_START + len(fds)
    copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, behind) for fd in fds]
    for number, fd in enumerate(copies, LISTEN_FDS_START):
        os.dup2(fd, number, inheritable=True)


def _let_nothing_else_be_inherited(behind: int) -> None:
    """Close what is open from *behind* on when the daemon is executed."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= behind:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue  # the descriptor of the listing itself


def drop_rights(who: User) -> None:
    """Become *who* without a capability and without a way to get one back.

    Raises:
        RslError: the kernel refuses.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, *arguments: int) -> int:
        padded = [*arguments, 0, 0, 0, 0][:4]
        result: int = libc.prctl(option, *(ctypes.c_ulong(value) for value in padded))
        return result

    def must(result: int, what: str) -> None:
        if result:
            number = ctypes.get_errno()
            raise os_error(what, OSError(number, os.strerror(number)))

    capability = 0
    while prctl(_PR_CAPBSET_READ, capability) >= 0:
        must(prctl(_PR_CAPBSET_DROP, capability), f"drop capability {capability}")
        capability += 1
    try:
        os.initgroups(who.name, who.gid)
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
    except OSError as error:
        raise os_error(f"become user {who.name!r}", error) from error
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    must(libc.capset(header, (ctypes.c_uint32 * 6)()), "clear the capabilities")
    must(prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL), "clear the ambient capabilities")
    must(prctl(_PR_SET_NO_NEW_PRIVS, 1), "set no-new-privileges")
