# SPDX-License-Identifier: BSD-3-Clause
"""Run a daemon that has its files' names built in, unchanged: docs/reference/legacy.md.

The RSL daemon opens /dev/uio0 and /dev/umb, whatever the board. In a mount namespace of
its own these are one link's, so several such daemons run at once. The namespace goes with
the daemon, and nothing outside it is changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rslctl.daemon.execute import User
from rslctl.errors import RslError, UsageError, os_error
from rslctl.linux import mbox, syscalls
from rslctl.linux.host import Host
from rslctl.linux.mbox import LinkDevice

#: What the daemon opens: the shared memory, then the notifications.
NODES = ("/dev/uio0", "/dev/umb")

#: Where it looks up the size of the memory, and where its version of 2021 kicks.
UIO = "/sys/class/uio/uio0"
NOTIFY = "/sys/devices/platform/umb/notify"

#: A shell's ${NAME} is none of ours.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][\w-]*)\}")

#: Nodes in /dev through which a daemon could get at links.
_LINK_NODES = re.compile(r"(uio|rsl_mbox|rsl_umb)\d+|umb")


@dataclass(frozen=True)
class UmbDevice:
    """The device of a link that has the original module's interface."""

    #: The kernel's name, as "rsl_umb0".
    name: str
    #: Of the node in /dev.
    number: int


def fill_in(command: Sequence[str], link: LinkDevice) -> list[str]:
    """*command* with the address and the size of the link's memory for their placeholders.

    Raises:
        UsageError: a placeholder is unknown.
    """
    known = {"shmem_addr": f"{link.memory_base:#x}", "shmem_size": f"{link.memory_size:#x}"}

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UsageError(
                f"unknown placeholder {found[0]} in {found.string!r}",
                hint=f"there are {' and '.join(f'{{{name}}}' for name in known)}",
            )
        return known[found[1]]

    return [_PLACEHOLDER.sub(value, argument) for argument in command]


def umb_device(host: Host, link: LinkDevice) -> UmbDevice:
    """The device that the daemon gets of *link*.

    Raises:
        RslError: the link has no memory, or the module is from before such devices.
    """
    if not link.memory_size:
        raise RslError(
            f"link {link.name!r} has no shared memory, which a daemon under --legacy maps",
            hint="its node in the device tree needs a memory-region",
        )
    directory = f"{mbox.CLASS}/{link.device}"
    found = [name for name in host.names(directory) if re.fullmatch(r"rsl_umb\d+|umb", name)]
    if not found:
        raise RslError(
            f"link {link.name!r} has no /dev/rsl_umbN: the module is older than this rslctl",
            hint="build and install rsl_mbox anew, and load it: rslctl teardown, rslctl setup",
        )
    major, minor = host.read_text(f"{directory}/{found[0]}/dev").split(":")
    return UmbDevice(found[0], os.makedev(int(major), int(minor)))


def describe(host: Host, link: LinkDevice, command: Sequence[str]) -> list[str]:
    """What a daemon under --legacy would find, a line each.

    Raises:
        RslError: as :func:`umb_device`.
    """
    umb = umb_device(host, link)
    return [
        f"its arguments: {shlex.join(command[1:])}",
        f"{' and '.join(NODES)}: /dev/{umb.name}",
        f"{UIO}: {link.memory_size:#x} bytes at {link.memory_base:#x}",
        f"{NOTIFY}: kicks by {NODES[1]}",
    ]


def enter(host: Host, link: LinkDevice, who: User | None) -> None:
    """Move this process into a mount namespace with the files of *link*, which *who* may open.

    Raises:
        RslError: the link has not what it takes, or the kernel refuses.
    """
    umb = umb_device(host, link)
    mask = os.umask(0o022)
    try:
        syscalls.unshare_mounts()
        _cover("/dev", lambda name: name == link.device or not _LINK_NODES.fullmatch(name))
        for path in NODES:
            os.mknod(path, stat.S_IFCHR | 0o600, umb.number)
            if who:
                os.chown(path, who.uid, who.gid)
        _make_uio(host, link)
        _make_notify()
        os.chdir(os.getcwd())  # which may be one of those
    except OSError as error:
        what = f"make '{error.filename}' private" if error.filename else "have private mounts"
        raise os_error(f"{what} for the daemon", error) from error
    finally:
        os.umask(mask)


def _make_uio(host: Host, link: LinkDevice) -> None:
    """The entry in sysfs, as drivers/uio/uio.c makes it; no other UIO device is the daemon's."""
    _own_directory(os.path.dirname(UIO), lambda _: False)
    os.makedirs(f"{UIO}/maps/map0")
    directory = f"{mbox.CLASS}/{link.device}"
    attributes = {
        "name": link.name,
        "version": "devicetree",
        "maps/map0/name": f"shmem@{link.memory_base:x}",
        # These have the kernel's format of an address already.
        "maps/map0/addr": host.read_text(f"{directory}/memory_base"),
        "maps/map0/size": host.read_text(f"{directory}/memory_size"),
        "maps/map0/offset": "0x0",
    }
    for name, text in attributes.items():
        with open(f"{UIO}/{name}", "w") as file:
            file.write(f"{text}\n")


def _make_notify() -> None:
    """The attribute: any write to the device kicks, too."""
    directory, name = os.path.split(NOTIFY)
    _own_directory(directory, lambda each: each != name)
    os.symlink(NODES[1], NOTIFY)


def _own_directory(path: str, keep: Callable[[str], bool]) -> None:
    """Cover the directory *path*, or, where it is not there, its parent, and make it."""
    if os.path.isdir(path):
        _cover(path, keep)
    else:
        _cover(os.path.dirname(path), lambda _: True)
        os.mkdir(path)


def _cover(directory: str, keep: Callable[[str], bool]) -> None:
    """Put a file system of our own over *directory*, with those entries of it that *keep* wants."""
    old = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        syscalls.mount(
            "tmpfs", directory, "tmpfs", syscalls.MS_NOSUID | syscalls.MS_NOEXEC, "mode=0755"
        )
        with os.scandir(old) as entries:
            for entry in entries:
                if keep(entry.name):
                    _show(old, entry, f"{directory}/{entry.name}")
    finally:
        os.close(old)


def _show(old: int, entry: os.DirEntry[str], target: str) -> None:
    """Have at *target* what *entry* of the covered directory *old* is, unless it is gone."""
    if entry.is_symlink():
        with contextlib.suppress(FileNotFoundError):
            os.symlink(os.readlink(entry.name, dir_fd=old), target)
        return
    try:
        fd = os.open(entry.name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=old)
    except FileNotFoundError:
        return
    try:
        if entry.name == "ptmx":
            # The kernel looks for "pts" where this node is (fs/devpts/inode.c).
            now = entry.stat(follow_symlinks=False)
            os.mknod(target, now.st_mode, now.st_rdev)
            os.chown(target, now.st_uid, now.st_gid)
            os.chmod(target, stat.S_IMODE(now.st_mode))
            return
        if entry.is_dir(follow_symlinks=False):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC))
        syscalls.mount(f"/proc/self/fd/{fd}", target, None, syscalls.MS_BIND | syscalls.MS_REC)
    finally:
        os.close(fd)
