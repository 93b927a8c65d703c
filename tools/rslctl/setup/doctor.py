# SPDX-License-Identifier: BSD-3-Clause
"""The checks of "rslctl doctor": find what is wrong with the links of a machine or of an image.

Each check is a function that only reads. docs/reference/doctor.md lists the findings by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from rslctl.devicetree import overlay
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.linux import bus, mbox, modules, uio
from rslctl.linux.host import Host
from rslctl.profile.model import Board, Link
from rslctl.setup import (
    checks,
    host_checks,
    ivshmem_checks,
    kickable,
    remote_checks,
    virtio_checks,
)
from rslctl.setup.checks import Finding
from rslctl.setup.journal import Journal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MODULE = "rsl_mbox"
_DEFERRED = "/sys/kernel/debug/devices_deferred"


@dataclass(frozen=True)
class Patient:
    """The machine or image to check."""

    host: Host
    #: None if the board is not known.
    board: Board | None
    #: The links of the board to check.
    links: tuple[Link, ...]
    #: The running device tree; an image has an empty one.
    machine: Tree
    #: The name of the only link to check; None checks all links.
    only: str | None = None
    #: Reads the headers of virtio devices from a link's memory: rslctl.virtio.headers.read().
    headers: Callable[[Host, mbox.LinkDevice], list[dict[str, Any]] | None] = lambda *_: None

    def journals(self) -> list[str]:
        """Return the links to check that have a journal."""
        return [name for name in Journal.links(self.host) if self.only in (None, name)]

    @cached_property
    def devices(self) -> list[mbox.LinkDevice]:
        """Return the links to check that are up."""
        return [each for each in mbox.find(self.host) if self.only in (None, each.name)]


def _other_machine(on: Patient) -> list[Finding]:
    """Find why the machine is not the board at all, so that nothing can be said of its links."""
    if on.board and not on.board.has_tree:
        return []
    if not on.machine.nodes and not on.host.live:
        return []  # an image
    found = list(host_checks.device_tree(on.host, on.machine))
    return found or (list(host_checks.board(on.host, on.board, on.machine)) if on.board else [])


def _runs(on: Patient) -> bool:
    """Whether this is a machine and no image."""
    return bool(on.machine.nodes) or on.host.exists("/sys/bus")


def _run(on: Patient) -> Iterator[Finding]:
    yield from host_checks.run_directory(on.host)


def _signature(on: Patient) -> Iterator[Finding]:
    if on.host.live or on.machine.nodes:
        yield from host_checks.signature(on.host, _MODULE)


def _machine(on: Patient) -> Iterator[Finding]:
    if on.board and on.machine.nodes:
        yield from checks.machine(on.board, on.machine)


def _symbols(on: Patient) -> Iterator[Finding]:
    board, machine = on.board, on.machine
    if not board or not machine.nodes or machine.labels:
        return
    if overlay.unlike(board, machine, overlay.style_of(board, machine)):
        yield Finding(
            "symbols",
            "warning",
            "the running device tree has no __symbols__: an overlay that names nodes by label "
            "cannot be applied to it (FDT_ERR_NOTFOUND)",
            "rslctl overlay install fits the overlay to the tree; or build that with dtc -@",
        )


def _memory(on: Patient) -> Iterator[Finding]:
    for link in on.links:
        if on.board:
            yield from checks.memory(on.host, on.board, on.machine, link)


def _channels(on: Patient) -> Iterator[Finding]:
    for link in on.links:
        if on.board:
            yield from checks.channels(on.host, on.board, on.machine, link)


def _module(on: Patient) -> Iterator[Finding]:
    releases = [os.uname().release] if on.host.live else on.host.names("/lib/modules")
    for release in releases:
        loaded = on.host.live and modules.loaded(on.host, _MODULE)
        if not loaded and not modules.available(on.host, _MODULE, release):
            yield Finding(
                "module",
                "error",
                f"there is no module {_MODULE} for kernel {release}",
                f"build and install kmod/{_MODULE} for that kernel, then run depmod",
            )
    if not releases:
        yield Finding("module", "unknown", "cannot tell: no kernel in /lib/modules", "install one")


def _links(on: Patient) -> Iterator[Finding]:
    """Find nodes of links that have no driver, though the module is loaded."""
    board, machine = on.board, on.machine
    if not board or not machine.nodes:
        return
    for link in on.links:
        node = overlay.notification_path(board, link, overlay.style_of(board, machine))
        device = bus.find(on.host, node)
        if device and modules.loaded(on.host, _MODULE) and mbox.at(on.host, node) is None:
            waits = device in _read(on.host, _DEFERRED)
            yield Finding(
                "link",
                "error",
                f"{link.name}: {node} has no driver"
                + (": it waits for something that does not come" if waits else ""),
                "dmesg says what the module found wrong; a mailbox specifier that nothing answers "
                f"to makes it wait for ever, with a line in {_DEFERRED}",
            )


def _uio(on: Patient) -> Iterator[Finding]:
    for link in on.links if on.machine.nodes else ():
        node = overlay.memory_path(link)
        device = bus.find(on.host, node)
        driver = bus.driver_of(on.host, device) if device else None
        if not device:
            continue
        found = uio.at(on.host, node)
        if found:
            yield from _uio_device(link, found)
        elif driver:
            yield Finding(
                "uio",
                "error",
                f"{link.name}: {node} is held by driver {driver!r}, not {uio.DRIVER!r}",
                "rslctl setup --force takes it",
            )
        elif not _has_uio(on.host):
            yield Finding(
                "uio",
                "warning",
                f"{link.name}: this kernel has no {uio.DRIVER}, so there is no /dev/uioN",
                "map the link's own device, or build the kernel with CONFIG_UIO_PDRV_GENIRQ",
            )
        else:
            of_id = _read(on.host, f"/sys/module/{uio.DRIVER}/parameters/of_id").strip()
            yield Finding(
                "uio",
                "warning",
                f"{link.name}: {uio.DRIVER} does not have {node}: its parameter of_id is "
                f"{of_id or 'not set'!r} and nothing tells it to",
                "rslctl setup binds it; or boot with uio_pdrv_genirq.of_id=generic-uio",
            )


def _uio_device(link: Link, found: uio.UioDevice) -> Iterator[Finding]:
    if found.device != "uio0":
        yield Finding(
            "uio-number",
            "warning",
            f"{link.name}: its UIO device is {found.path}, and the RSL daemon opens /dev/uio0",
            "run it under rslctl run --legacy, which shows it this link as /dev/uio0",
        )
    if found.maps[:1] != (link.memory,):
        shown = ", ".join(f"{each.base:#x}, {each.size:#x} bytes" for each in found.maps)
        yield Finding(
            "uio-map",
            "error",
            f"{link.name}: {found.path} maps {shown or 'nothing'}, the profile says "
            f"{link.memory.base:#x}, {link.memory.size:#x} bytes",
            "boot with the overlay of this profile",
        )
    yield Finding(
        "uio-device-memory",
        "warning",
        f"{link.name}: {found.path} maps Device memory: slow, and unaligned access to it (memset, "
        "memcpy) may end in SIGBUS",
        "map the link's own device, which is write-combined",
    )


def _has_uio(host: Host) -> bool:
    return bus.has_driver(host, uio.DRIVER) or modules.available(host, uio.DRIVER)


def _read(host: Host, path: str) -> str:
    """The text of a file; "" if it is missing or cannot be read."""
    try:
        return host.read_text(path) if host.exists(path) else ""
    except RslError:
        return ""


def _stalled(on: Patient) -> Iterator[Finding]:
    for device in on.devices:
        if device.stalled_ms:
            yield Finding(
                "stalled",
                "error",
                f"{device.name}: the remote has not taken a kick for "
                f"{mbox.duration(device.stalled_ms)}",
                "is its program running, and built for the same mailbox agent and channel? Restart "
                f"it; echo 1 > {mbox.CLASS}/{device.device}/reset cures a masked interrupt of a "
                "ZynqMP's mailbox",
            )
            continue
        # A controller that says "done" at once never has a kick that waits.
        counters = mbox.counters(on.host, device)
        kicks = sum(each.kicks for each in counters)
        silent = not any(each.notifications for each in counters)
        if kicks and silent and _may_run(on.host, device.name):
            yield Finding(
                "stalled",
                "error",
                f"{device.name}: {kicks} kicks and never a notification: the remote and Linux do "
                "not hear each other",
                "is its program running, and built for the profile's agents, channels and "
                "vectors? rslctl remote-dt says what it has to have. A program that never "
                "notifies is right as it is",
            )


def _may_run(host: Host, link: str) -> bool:
    """Whether the link's remote runs, or nothing is known of that."""
    try:
        kickable.check_running(host, link)
    except RslError:
        return False
    return True


def _storms(on: Patient) -> Iterator[Finding]:
    for device in on.devices:
        for vector, (count, now) in enumerate(mbox.storms(on.host, device)):
            if not count:
                continue
            limit = _read(on.host, f"{mbox.CLASS}/{device.device}/storm_limit")
            yield Finding(
                "storm",
                "error" if now else "warning",
                f"{device.name}: vector {vector} was masked {count} time{'s' * (count > 1)} "
                f"because the remote notifies more than {limit} times a second, or than the core "
                "can handle" + (", and is masked now" if now else ""),
                "does the remote's program notify without an end? Mend it; if it needs this "
                f"rate, raise {mbox.CLASS}/{device.device}/storm_limit",
            )


def _unread(on: Patient) -> Iterator[Finding]:
    for device in on.devices:
        count = sum(each.notifications for each in mbox.counters(on.host, device))
        if count and not device.open_files:
            yield Finding(
                "unread",
                "warning",
                f"{device.name}: the remote has notified {count} times and nobody has "
                f"{device.node} open",
                "start the link's daemon: rslctl run, or its unit",
            )


def _permission(on: Patient) -> Iterator[Finding]:
    for device in on.devices:
        if not on.host.exists(device.node):
            yield Finding(
                "node",
                "error",
                f"{device.name}: {device.node} is not there though the kernel has the link",
                "is devtmpfs mounted on /dev, or udev running?",
            )
        elif not on.host.may(device.node, os.R_OK | os.W_OK):
            yield Finding(
                "permission",
                "error",
                f"{device.name}: you may not open {device.node}",
                "rslctl setup --owner USER gives it to the daemon's user; rslctl run needs no such",
            )


def _remote(on: Patient) -> Iterator[Finding]:
    for link in on.links if on.machine.nodes else ():
        yield from remote_checks.driver(on.host, on.machine, link)
        yield from remote_checks.devices(on.host, on.machine, link)
    for name in on.journals():
        yield from remote_checks.state(on.host, name)


def _journals(on: Patient) -> Iterator[Finding]:
    for name in on.journals():
        try:
            journal = Journal.load(on.host, name)
        except RslError as error:
            yield Finding("journal", "error", str(error), error.hint)
            continue
        if not journal.complete:
            yield Finding(
                "unfinished",
                "error",
                f"{name}: its setup or teardown did not come to an end",
                "run rslctl setup or rslctl teardown again",
            )
        elif journal.facts and not _is_up(on.host, name, journal.facts.node):
            yield Finding(
                "link-gone",
                "error",
                f"{name}: it was set up and is gone",
                "run rslctl setup again; its daemon has to be started anew",
            )


def _is_up(host: Host, link: str, node: str) -> bool:
    """Whether the device of *node* is *link*; one that was plugged in anew has lost that name."""
    device = mbox.at(host, node)
    return device is not None and device.name == link


def _ivshmem(on: Patient) -> Iterator[Finding]:
    for link in on.links if _runs(on) else ():
        yield from ivshmem_checks.link(on.host, link)


def _entropy(on: Patient) -> Iterator[Finding]:
    if not on.host.live:
        return
    try:
        os.getrandom(1, os.GRND_NONBLOCK)
    except BlockingIOError:
        yield Finding(
            "entropy",
            "warning",
            "the kernel's random number generator is not ready: the daemon's rng device answers "
            "every request with nothing",
            "start the daemon after 'crng init done' in dmesg, or give the kernel a seed",
        )


def _virtio(on: Patient) -> Iterator[Finding]:
    for link in on.links if _runs(on) else ():
        yield from virtio_checks.back_ends(on.host, link)
    for device in on.devices:
        yield from virtio_checks.headers(device.name, on.headers(on.host, device) or ())


def _live_overlays(on: Patient) -> Iterator[Finding]:
    board, machine = on.board, on.machine
    if not board or not machine.nodes or on.host.exists("/sys/kernel/config/device-tree/overlays"):
        return
    if overlay.unlike(board, machine, overlay.style_of(board, machine)):
        yield Finding(
            "runtime-overlay",
            "warning",
            "this kernel takes no overlay while it runs: there is no "
            "/sys/kernel/config/device-tree/overlays",
            f"rslctl overlay install --board {board.name}, then reboot",
        )


#: The checks of what a device tree describes.
_OF_TREE = (_machine, _symbols, _live_overlays, _memory, _channels, _links, _uio, _remote)

CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    _run,
    _machine,
    _symbols,
    _live_overlays,
    _memory,
    _channels,
    _module,
    _signature,
    _links,
    _uio,
    _ivshmem,
    _permission,
    _remote,
    _stalled,
    _storms,
    _unread,
    _journals,
    _entropy,
    _virtio,
)


def look(on: Patient) -> list[Finding]:
    """Run all checks; a check that fails becomes a finding of level "unknown"."""
    found = _other_machine(on)
    if found:
        on = replace(on, board=None, links=())
    has_tree = on.board is None or on.board.has_tree
    for check in CHECKS:
        if check in _OF_TREE and not has_tree:
            continue
        try:
            found += list(check(on))
        except RslError as error:
            name = check.__name__.strip("_")
            found.append(Finding(name, "unknown", f"cannot tell: {error}", error.hint))
    return found
