# SPDX-License-Identifier: BSD-3-Clause
"""From the words of a profile or a command line to devices in the memory and their back-ends."""

from __future__ import annotations

from dataclasses import dataclass

from rslctl.errors import RslError, SeveralError, UsageError
from rslctl.profile import virtio
from rslctl.region import Region
from rslctl.virtio import engine
from rslctl.virtio.backend import Window
from rslctl.virtio.console import ConsoleBackend, choose_end
from rslctl.virtio.memory import Memory
from rslctl.virtio.rng import RngBackend
from rslctl.virtio.tap import Tap
from rslctl.virtio.vhost import VhostNet, VhostVsock
from rslctl.virtio.vhost_user import VhostUser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from rslctl import client
    from rslctl.virtio.backend import Backend

#: The names of descriptors that back-ends of the kernel take instead of opening the device:
#: /dev/vhost-vsock, /dev/vhost-net and /dev/net/tun.
GIVEN = ("vhost-vsock", "vhost-net", "tun")

#: What the word of a kind needs beyond what its place in the memory needs: one of each tuple.
_NEEDED = {
    "net": (("tap", "socket"),),
    "blk": (("socket",),),
    "vsock": (("cid", "socket"),),
    "fs": (("socket",), ("tag",)),
    "device": (("socket",),),
}

#: How the options are written, for hints.
_FORMS = {"tap": "tap=NAME", "socket": "socket=PATH", "cid": "cid=N", "tag": "tag=TEXT"}


@dataclass(frozen=True)
class Plan:
    """The devices to serve, in the order of the memory."""

    #: The version of the registers, one of :data:`virtio.VERSIONS`.
    version: int
    #: Whether a device tree comes before the devices.
    device_tree: bool
    devices: tuple[virtio.Device, ...]
    #: The vector of each queue, by device.
    vectors: tuple[tuple[int, ...], ...]
    #: The shared memory as the remote sees it.
    memory: Region

    def header(self, device: virtio.Device) -> Region:
        """Where the remote sees the header of a device."""
        return Region(self.memory.base + device.header, virtio.HEADER_SIZE)

    def identity(self, number: int, backend: Backend) -> engine.Identity:
        """What the device *number* tells its driver, with *backend* behind it."""
        device = self.devices[number]
        sizes = [device.queue_size] * device.queues
        served = [min(sizes) for sizes in zip(sizes, backend.queues, strict=False)]
        return engine.Identity(
            device_id=device.device_id,
            features=backend.offered(),
            config=backend.config(),
            queues=(*served, *sizes[len(served) :]),
            region=Region(self.memory.base + device.region.offset, device.region.size),
            memory=self.memory,
            vectors=self.vectors[number],
        )


def plan(
    manifest: dict[str, Any],
    words: Sequence[str],
    *,
    version: int | None = None,
    device_tree: bool | None = None,
) -> Plan:
    """The devices that the manifest of a link names; with *words*, those instead.

    The version and the device tree are the manifest's if they are None, and otherwise 1 and none.

    Raises:
        UsageError: a word is wrong, or the options do not go together.
        RslError: there are no devices, one cannot be served, or they do not fit into the memory.
    """
    link, memory = manifest["link"], manifest["memory"]
    if memory is None:
        raise RslError(
            f"link {link!r} has no shared memory, and virtio devices need it",
            hint="give it some: the table link.memory of the board's profile",
        )
    profile = manifest.get("virtio") or {}
    if version is None:
        version = profile.get("version", 1)
    if device_tree is None:
        device_tree = version == 1 and profile.get("device_tree", False)
    if device_tree and version == 2:
        raise UsageError("--dtb: only version 1 has a device tree", hint="leave it out")
    listed = tuple(words) or tuple(map(_word, profile.get("devices", ())))
    if not listed:
        raise RslError(
            f"the profile of link {link!r} names no virtio devices",
            hint="name them, as: rslctl virtio --device rng --device console",
        )
    try:
        devices = virtio.arrange(listed, device_tree=device_tree, version=version)
    except ValueError as error:
        raise UsageError(f"--device: {error}") from error
    _check(devices)
    room = manifest.get("remote_dt")
    problem = virtio.misfit(
        listed,
        device_tree=device_tree,
        size=memory["size"],
        room=room["offset"] if room else None,
    )
    if problem:
        raise RslError(f"the virtio devices do not fit into the memory of link {link!r}: {problem}")
    vectors = virtio.vectors(devices, manifest["vectors"] if version == 2 else 1)
    seen = Region(memory.get("remote_base", memory["base"]), memory["size"])
    return Plan(version, device_tree, tuple(devices), tuple(vectors), seen)


def _word(device: dict[str, Any]) -> str:
    """The word of a device of the manifest."""
    return str(virtio.Word(device["kind"], tuple(device.get("options", {}).items())))


def _check(devices: Sequence[virtio.Device]) -> None:
    """Check that each device has what its back-end needs.

    Raises:
        RslError: one has not, or cannot be served at all; each is named.
    """
    problems = []
    for each in devices:
        if each.kind == "9p":
            problems.append(f"{each.name}: there is no maintained back-end for 9p")
        for either in _NEEDED.get(each.kind, ()):
            if not set(either) & each.options.keys():
                wanted = " or ".join(_FORMS[key] for key in either)
                problems.append(f"{each.name}: its back-end is not named: it needs {wanted}")
    consoles = [each.name for each in devices if each.kind == "console" and _is_stdio(each)]
    if len(consoles) > 1:
        problems.append(
            f"{' and '.join(consoles)} want standard input and output: one of them needs "
            "socket=PATH or pty=PATH"
        )
    for key in ("tap", "cid", "socket", "pty"):
        used = [each.options[key] for each in devices if key in each.options]
        several = sorted(value for value in {*used} if used.count(value) > 1)
        problems += [f"{key}={value} is the back-end of one device only" for value in several]
    if not problems:
        return
    hint = "name all devices in the order of the profile, as: rslctl virtio --device rng --device "
    hint += "vsock,cid=42"
    if any(each.kind == "9p" for each in devices):
        hint = "new firmware takes fs; firmware that wants 9p keeps the RSL daemon"
    raise SeveralError(problems, hint=hint)


def _is_stdio(device: virtio.Device) -> bool:
    return not {"socket", "pty"} & device.options.keys()


@dataclass(frozen=True)
class Means:
    """What back-ends are made with."""

    #: The memory, for those that are built in, and what orders their accesses to it.
    memory: Memory
    barrier: Callable[[], None]
    #: The memory, for all others.
    window: Window
    #: Open descriptors by a name of :data:`GIVEN`, which stay the caller's.
    given: Mapping[str, int]

    @classmethod
    def of(
        cls, link: client.Link, plan: Plan, barrier: Callable[[], None], given: Mapping[str, int]
    ) -> Means:
        """Those of a link whose devices are those of *plan*."""
        memory = Memory(link.memory, plan.memory.base)
        window = Window(
            descriptor=link.fds["shmem"],
            offset=link.manifest["memory"]["offset"],
            seen=plan.memory,
            address=memory.address_of(plan.memory.base),
        )
        return cls(memory, barrier, window, given)


def describe(device: virtio.Device) -> str:
    """Say which back-end a device has."""
    options = device.options
    if "socket" in options and device.kind != "console":
        return f"vhost-user at {options['socket']}"
    if device.kind == "net":
        return f"vhost-net on {options['tap']}"
    if device.kind == "vsock":
        return f"vhost-vsock with CID {options['cid']}"
    if device.kind == "console":
        where = [f"{key} {options[key]}" for key in ("socket", "pty") if key in options]
        return f"built in: {where[0] if where else 'standard input and output'}"
    return "built in: getrandom(2)"


def backend(device: virtio.Device, means: Means) -> Backend:
    """Make the back-end of a device of a :class:`Plan`.

    Raises:
        RslError: it is not there, or this process may not use it.
    """
    options, size = device.options, device.queue_size
    mac = bytes.fromhex(options.get("mac", "").replace(":", "")) or None
    if device.kind == "rng":
        return RngBackend(means.memory, means.barrier)
    if device.kind == "console":
        end = choose_end(socket=options.get("socket"), pty=options.get("pty"))
        return ConsoleBackend(means.memory, means.barrier, end)
    if "cid" in options:
        given = means.given.get("vhost-vsock")
        return VhostVsock(int(options["cid"]), means.window, size, descriptor=given)
    if "tap" in options:
        tap = Tap(options["tap"], means.given.get("tun"))
        given = means.given.get("vhost-net")
        return VhostNet(tap, means.window, size, mac=mac, descriptor=given)
    # net's control queue and vsock's queue of events are not served.
    served = min(device.queues, 2) if device.kind in ("net", "vsock") else device.queues
    config = mac
    if device.kind == "fs":
        config = _fs_config(options["tag"], device.queues - 1)
    return VhostUser(
        device.device_id, options["socket"], means.window, (size,) * served, config=config
    )


def _fs_config(tag: str, queues: int) -> bytes:
    """struct virtio_fs_config (virtio 1.2, 5.11.4): tag, num_request_queues."""
    return tag.encode().ljust(36, b"\0") + queues.to_bytes(4, "little")
