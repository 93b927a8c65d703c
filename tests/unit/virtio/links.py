# SPDX-License-Identifier: BSD-3-Clause
"""Links for the tests of rslctl virtio: without hardware, and of a played kernel module."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import mmap
import os
import socket
import threading
from collections.abc import Iterator

from rslctl import client
from rslctl.daemon import descriptors
from rslctl.linux import uapi
from rslctl.profile import reader
from rslctl.profile.model import Virtio

BOARD = reader.load("sim")


@contextlib.contextmanager
def played(
    *devices: str, vectors: int = 4, version: int = 2, device_tree: bool = False
) -> Iterator[tuple[client.Link, client.Link]]:
    """Both ends of a link without hardware, the daemon's first."""
    served = Virtio(devices, device_tree, version) if devices else None
    profile = dataclasses.replace(BOARD.links[0], sim=vectors, virtio=served)
    with contextlib.ExitStack() as stack:
        for_daemon, for_remote = descriptors.of_programs(BOARD, profile)
        daemon, remote = (received(each) for each in (for_daemon, for_remote))
        stack.enter_context(daemon)
        stack.enter_context(remote)
        yield daemon, remote


def received(offer: descriptors.Offer) -> client.Link:
    """The link of an offer, as rslctl.client receives it."""
    os.close(offer.fds.pop("manifest"))
    link = client.Link._of(list(offer.fds.items()), offer.document)
    offer.fds.clear()
    return link


class Module:
    """Plays the kernel module for one link: what user space sees of kmod/rsl_mbox/eventfd.c and
    chardev.c.

    It binds eventfds as rsl_mbox.h says, with its limits and errors, and takes masks of kicks.
    What it leaves out: a signal on an eventfd that is bound for kicks does nothing, reads of the
    device, masks, and windows of the memory.
    """

    def __init__(self) -> None:
        # Of packets, as each write of the device is one mask.
        self._device, self._user = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._device.setblocking(False)
        #: The eventfds by vector and direction, as numbers of this process that nobody else has.
        self._files: dict[tuple[int, int], dict[str, int]] = {}
        self._gone = False
        #: For bind_mutex, which rsl_eventfd_bind() takes, and RCU, which rsl_eventfd_signal() does.
        self._lock = threading.Lock()

    def __enter__(self) -> Module:
        return self

    def __exit__(self, *_: object) -> None:
        self._device.close()
        self._user.close()
        for files in self._files.values():
            for each in files.values():
                os.close(each)

    def link(self, size: int = 0x1000000) -> client.Link:
        """The link, as a daemon receives it with ``mbox``."""
        memory = os.memfd_create("rsl-shmem")
        os.ftruncate(memory, size)
        fds = {"shmem": memory, "mbox": os.dup(self._user.fileno())}
        manifest = {
            "version": 1,
            "link": "rpu0",
            "vectors": 4,
            "memory": {"base": 0x70000000, "size": size, "offset": 0, "remote_base": 0x70000000},
            "descriptors": [*fds],
        }
        return client.Link._of(list(fds.items()), json.loads(json.dumps(manifest)))

    def remote(self, link: client.Link) -> Far:
        """The other end of a link of :meth:`link`."""
        return Far(self, link)

    @staticmethod
    def file(eventfd: int) -> str:
        """What tells one eventfd from another: eventfd_show_fdinfo() of fs/eventfd.c."""
        with open(f"/proc/self/fdinfo/{eventfd}") as file:
            return next(line.split()[1] for line in file if line.startswith("eventfd-id"))

    @property
    def bound(self) -> dict[tuple[int, int], set[str]]:
        """The eventfds by vector and direction."""
        with self._lock:
            return {place: set(files) for place, files in self._files.items()}

    def ioctl(self, device: int, number: int, argument: bytes) -> int:
        """RSL_MBOX_IOC_BIND: rsl_eventfd_bind()."""
        assert number == uapi.IOC_BIND
        with self._lock:
            self._bind(argument)
        return 0

    def _bind(self, argument: bytes) -> None:
        vector, direction, eventfd, flags = uapi.BINDING.unpack(argument)
        files = self._files.setdefault((vector, direction), {})
        known = self.file(eventfd)
        problem = 0
        if self._gone:
            problem = errno.ENODEV
        elif vector >= 4 or direction > uapi.KICK or flags & ~uapi.BIND_DEASSIGN:
            problem = errno.EINVAL
        elif flags:
            problem = 0 if known in files else errno.ENOENT
        elif known in files:
            problem = errno.EEXIST
        elif len(files) == uapi.MAX_BINDINGS:
            problem = errno.ENOSPC
        if problem:
            raise OSError(problem, os.strerror(problem))
        if flags:
            os.close(files.pop(known))
        else:
            files[known] = os.dup(eventfd)

    def notify(self, vector: int) -> None:
        """The remote notifies: rsl_eventfd_signal()."""
        with self._lock:
            for each in self._files.get((vector, uapi.NOTIFY), {}).values():
                os.eventfd_write(each, 1)

    def written(self) -> list[int]:
        """The masks that were written to the device since the last call."""
        found: list[int] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found += uapi.MASK.unpack(self._device.recv(uapi.MASK.size))
        return found

    def remove(self) -> None:
        """The device goes away, and its bindings with it."""
        with self._lock:
            self._gone = True
            for files in self._files.values():
                while files:
                    os.close(files.popitem()[1])


class Far:
    """The remote's end of a link of a :class:`Module`: memory, and notifications of Linux."""

    def __init__(self, module: Module, link: client.Link) -> None:
        self._module = module
        self.manifest = link.manifest
        self.memory = mmap.mmap(link.fds["shmem"], link.manifest["memory"]["size"])

    def kick(self, *vectors: int) -> None:
        for vector in vectors:
            self._module.notify(vector)
