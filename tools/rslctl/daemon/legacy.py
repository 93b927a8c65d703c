# SPDX-License-Identifier: BSD-3-Clause
"""Run an unmodified daemon that opens files by fixed names: docs/reference/legacy.md.

The RSL daemon opens /dev/uio0 and /dev/umb on every board. It gets a mount namespace of its own, in
which these files are those of one link. So several such daemons can run at once. The namespace ends
with the daemon, and nothing outside it changes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rslctl.daemon.execute import User
from rslctl.errors import RslError, UsageError, os_error
from rslctl.linux import mbox, syscalls
from rslctl.linux.host import Host
from rslctl.linux.mbox import LinkDevice

#: The files that the daemon opens: for the shared memory, then for the notifications.
NODES = ("/dev/uio0", "/dev/umb")

#: Where the daemon reads the size of the memory, and where its version of 2021 kicks.
UIO = "/sys/class/uio/uio0"
NOTIFY = "/sys/devices/platform/umb/notify"

#: The directory for the daemon's HOME, and how many bytes fit in there. kvmtool makes the directory
#: .lkvm in HOME, with a socket (main.c, kvm-ipc.c), and ends if it cannot.
HOME = "/dev/rsl-home"
_HOME_SIZE = 16 << 20

#: {NAME}, but not ${NAME}, which is a shell's.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z_][\w-]*)\}")

#: The nodes in /dev that give access to links.
_LINK_NODES = re.compile(r"(uio|rsl_mbox|rsl_umb)\d+|umb")


@dataclass(frozen=True)
class UmbDevice:
    """The device of a link with the interface of the original module."""

    #: The kernel's name, as "rsl_umb0".
    name: str
    #: The device number of the node in /dev.
    number: int


def fill_in(host: Host, command: Sequence[str], link: LinkDevice) -> list[str]:
    """Fill the address and the size of the link's memory into the placeholders of *command*.

    Raises:
        UsageError: a placeholder is unknown.
    """
    known = {
        "shmem_addr": lambda: f"{mbox.memory_base(host, link):#x}",
        "shmem_size": lambda: f"{link.memory_size:#x}",
    }

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UsageError(
                f"unknown placeholder {found[0]} in {found.string!r}",
                hint=f"there are {' and '.join(f'{{{name}}}' for name in known)}",
            )
        return known[found[1]]()

    return [_PLACEHOLDER.sub(value, argument) for argument in command]


def umb_device(host: Host, link: LinkDevice) -> UmbDevice:
    """The device that the daemon gets of *link*.

    Raises:
        RslError: the link has no memory, or the module is too old to have such devices.
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


def needs_home(env: Mapping[str, str], who: User | None, told: Sequence[str]) -> bool:
    """Whether the daemon gets the directory :data:`HOME` as its HOME.

    It does if it becomes *who*, whom the HOME in *env* may not belong to, or if *env* has none, as
    that of a unit. Not if a variable of *told*, NAME=VALUE or NAME, is HOME.
    """
    said = any(each.partition("=")[0] == "HOME" for each in told)
    return not said and (who is not None or not env.get("HOME"))


def describe(
    host: Host, link: LinkDevice, command: Sequence[str], env: Mapping[str, str]
) -> list[str]:
    """The files that a daemon under --legacy with the environment *env* would find, a line each.

    Raises:
        RslError: as :func:`umb_device`.
    """
    umb = umb_device(host, link)
    return [
        f"its arguments: {shlex.join(command[1:])}",
        f"{' and '.join(NODES)}: /dev/{umb.name}",
        f"{UIO}: {link.memory_size:#x} bytes at {mbox.memory_base(host, link):#x}",
        f"{NOTIFY}: kicks by {NODES[1]}",
        f"its HOME: {env.get('HOME')}",
    ]


def enter(host: Host, link: LinkDevice, who: User | None, env: Mapping[str, str]) -> None:
    """Move this process into a mount namespace with the files of *link*, which *who* may open.

    If the daemon's environment *env* has :data:`HOME` as HOME, that is made, and *who* owns it.

    Raises:
        RslError: the link has no memory or no such device, or the kernel refuses.
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
        if env.get("HOME") == HOME:
            _make_home(who)
        _make_uio(host, link)
        _make_notify()
        os.chdir(os.getcwd())  # the directory may be one of the covered ones
    except OSError as error:
        what = f"make '{error.filename}' private" if error.filename else "have private mounts"
        raise os_error(f"{what} for the daemon", error) from error
    finally:
        os.umask(mask)


def _make_home(who: User | None) -> None:
    """Make an empty directory that the daemon owns, in memory of its own, so it is bounded."""
    uid, gid = (who.uid, who.gid) if who else (0, 0)
    os.mkdir(HOME)
    flags = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
    options = f"mode=0700,uid={uid},gid={gid},size={_HOME_SIZE}"
    syscalls.mount("tmpfs", HOME, "tmpfs", flags, options)


def _make_uio(host: Host, link: LinkDevice) -> None:
    """Make the sysfs entry as drivers/uio/uio.c does. The daemon sees no other UIO device."""
    _own_directory(os.path.dirname(UIO), lambda _: False)
    os.makedirs(f"{UIO}/maps/map0")
    directory = f"{mbox.CLASS}/{link.device}"
    attributes = {
        "name": link.name,
        "version": "devicetree",
        "maps/map0/name": f"shmem@{mbox.memory_base(host, link):x}",
        # These attributes have the kernel's format of an address.
        "maps/map0/addr": host.read_text(f"{directory}/memory_base"),
        "maps/map0/size": host.read_text(f"{directory}/memory_size"),
        "maps/map0/offset": "0x0",
    }
    for name, text in attributes.items():
        with open(f"{UIO}/{name}", "w") as file:
            file.write(f"{text}\n")


def _make_notify() -> None:
    """Make the attribute a link to the device, because any write to that kicks."""
    directory, name = os.path.split(NOTIFY)
    _own_directory(directory, lambda each: each != name)
    os.symlink(NODES[1], NOTIFY)


def _own_directory(path: str, keep: Callable[[str], bool]) -> None:
    """Cover the directory *path*. If it does not exist, cover its parent and make it there."""
    if os.path.isdir(path):
        _cover(path, keep)
    else:
        _cover(os.path.dirname(path), lambda _: True)
        os.mkdir(path)


def _cover(directory: str, keep: Callable[[str], bool]) -> None:
    """Mount a new tmpfs over *directory*, with the entries for which *keep* returns true."""
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
    """Show *entry* of the covered directory *old* at *target*, unless it is gone."""
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
