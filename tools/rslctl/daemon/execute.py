# SPDX-License-Identifier: BSD-3-Clause
"""Execute a daemon that has the descriptors of a link and no other right.

The descriptors are passed as sd_listen_fds_with_names(3) describes.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
import signal
import termios
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from rslctl.daemon.descriptors import Offer
from rslctl.errors import RslError, os_error
from rslctl.linux import fd_passing, syscalls

#: The variables that a clean environment keeps.
_KEPT = ("PATH", "LANG", "TZ", "TERM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


@dataclass(frozen=True)
class User:
    """The user that the daemon runs as."""

    name: str
    uid: int
    gid: int
    #: The supplementary groups.
    groups: tuple[int, ...]
    home: str = "/"


def user(name: str, group: str | None = None, groups: Sequence[str] | None = None) -> User:
    """Look up the user *name*, with *group* and *groups* instead of the user's own.

    Each is a name or a number.

    Raises:
        RslError: there is no such user or group, or the user is root, which cannot be
            unprivileged.
    """
    entry = _passwd(name)
    number = name.isdecimal() and len(name) <= 10 and int(name) < 2**32 - 1
    if entry is None and not (number and group is not None):
        hint = "a number without an entry needs --group" if number else ""
        raise RslError(f"unknown user {name!r}", hint=hint or "--user takes a name, as nobody")
    uid = entry.pw_uid if entry else int(name)
    gid = entry.pw_gid if entry and group is None else group_id(group or "")
    if uid == 0:
        raise RslError(
            f"user {name!r} has user id 0 and would not be without privilege",
            hint="leave out --user to keep the rights that you have",
        )
    if groups is not None:
        more = tuple(group_id(each) for each in groups)
    else:
        more = tuple(os.getgrouplist(entry.pw_name, gid)) if entry else ()
    return User(entry.pw_name if entry else name, uid, gid, more, entry.pw_dir if entry else "/")


def _passwd(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError, ValueError):
        return None


def group_id(name: str) -> int:
    """The number of the group *name*, which is a name or a number.

    Raises:
        RslError: there is no such group.
    """
    # The last number stands for "leave it as it is" in setresgid(2).
    if name.isdecimal() and len(name) <= 10 and int(name) < 2**32 - 1:
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise RslError(f"unknown group {name!r}") from error


def environment(
    base: Mapping[str, str], who: User | None, *, clean: bool, more: Sequence[str]
) -> dict[str, str]:
    """The environment of a daemon: *base*, or the *clean* part of it, and *more*.

    Each of *more* is NAME=VALUE, or the NAME of a variable of *base*. HOME, LOGNAME, USER and SHELL
    are those of *who*, if that is given.

    Raises:
        RslError: an item of *more* is neither.
    """
    made = {key: value for key, value in base.items() if not clean or key in _KEPT}
    for key in fd_passing.VARIABLES:
        made.pop(key, None)
    if who:
        made |= {"HOME": who.home, "LOGNAME": who.name, "USER": who.name, "SHELL": "/bin/sh"}
    for each in more:
        key, equals, value = each.partition("=")
        if not key or key in fd_passing.VARIABLES or not (equals or key in base):
            raise RslError(
                f"--setenv: {each!r} is not NAME=VALUE, nor a variable that is set",
                hint="as --setenv DEBUG=1",
            )
        made[key] = value if equals else base[key]
    return made


def find_program(command: Sequence[str]) -> str:
    """The path of the program of *command*.

    Raises:
        RslError: the program is not found, or is not executable.
    """
    program = shutil.which(command[0])
    if program is None:
        raise RslError(f"cannot find the program {command[0]!r}", hint="give its path")
    return program


def become(
    command: Sequence[str],
    offer: Offer | None,
    who: User | None,
    env: dict[str, str],
    *,
    more: Mapping[str, int] = types.MappingProxyType({}),
    with_parent: bool = False,
) -> NoReturn:
    """Execute *command* in this process, with the descriptors of *offer* and *more*, as *who*.

    If *with_parent* is true, the command gets SIGTERM when the parent of this process ends.

    Raises:
        RslError: the process cannot change to the user, or the program cannot be executed. The
            process is unchanged then, unless it was dropping its rights.
    """
    program = find_program(command)
    if who and os.geteuid() != 0:
        raise RslError(f"cannot become user {who.name!r}", hint="run it as root")
    fds = {**offer.fds, **more} if offer else {}
    if fds:
        env |= fd_passing.announcement(fds)
    try:
        _place(list(fds.values()))
    except OSError as error:
        raise os_error("pass the daemon's descriptors", error, hint="see ulimit -n") from error
    if who:
        _leave_terminal()
        drop_rights(who)
        _leave_directory()
    if with_parent:
        syscalls.end_with_parent(signal.SIGTERM)
    # Python ignores these signals, and the daemon would inherit that.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, list(command), env)
    except OSError as error:
        raise os_error(f"execute '{program}'", error) from error


def _place(fds: Sequence[int]) -> None:
    """Place *fds* for the daemon. Set close-on-exec for all other descriptors above 2."""
    fd_passing.place(fds)
    behind = fd_passing.START + len(fds)
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= behind:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue  # the descriptor of the listing itself


def _leave_terminal() -> None:
    """Give up the terminal of a session that others share: its owner can type for them (TIOCSTI).

    The signals of the terminal still arrive (tty_ioctl(4): TIOCNOTTY).
    """
    if os.getsid(0) == os.getpid():
        return
    with contextlib.suppress(OSError):  # there is no terminal
        fd = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.ioctl(fd, termios.TIOCNOTTY)
        finally:
            os.close(fd)


def _leave_directory() -> None:
    """Go to "/" if this process may not enter the directory that it is in, as root's home."""
    if not os.access(".", os.R_OK | os.X_OK):
        os.chdir("/")


def drop_rights(who: User) -> None:
    """Change to the user *who*, without capabilities for ever, and without our session keys.

    Raises:
        RslError: the kernel refuses.
    """
    what = "read the bounding set"
    try:
        for capability in syscalls.bounding_set():
            what = f"drop capability {capability}"
            syscalls.drop_from_bounding_set(capability)
        what = f"become user {who.name!r}"
        os.setgroups(who.groups)
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
        what = "clear the capabilities"
        syscalls.clear_capabilities()
        what = "set no-new-privileges"
        syscalls.set_no_new_privileges()
        what = "have a session keyring of its own"
        syscalls.join_session_keyring()
    except OSError as error:
        raise os_error(what, error) from error
