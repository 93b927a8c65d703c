# SPDX-License-Identifier: BSD-3-Clause
"""The devices that boot remotes: the kernel's remoteproc framework.

Attributes: Documentation/ABI/testing/sysfs-class-remoteproc of Linux.
"""

from __future__ import annotations

from dataclasses import dataclass

from rslctl import platform_bus
from rslctl.errors import RslError
from rslctl.host import Host

CLASS = "/sys/class/remoteproc"

#: States in which the remote's program runs, and in which it does not.
RUNNING = ("running", "attached")
STOPPED = ("offline", "detached")

#: Where the kernel looks for the programs of remotes.
FIRMWARE = "/lib/firmware"


@dataclass(frozen=True)
class RemoteProcessor:
    """A remote processor as sysfs shows it."""

    #: The kernel's name of the device, as "remoteproc0".
    device: str
    name: str
    #: "offline", "suspended", "running", "crashed", "deleted", "attached" or "detached".
    state: str
    #: Its program below /lib/firmware.
    firmware: str
    #: Whether the kernel restarts it by itself when it crashes.
    recovers: bool
    #: The device tree node of the device that drives it; "" without one.
    node: str


def find(host: Host) -> list[RemoteProcessor]:
    """The remote processors that there are, by number."""
    names = sorted(host.names(CLASS), key=lambda name: (len(name), name))
    return [_read(host, name) for name in names]


def _read(host: Host, device: str) -> RemoteProcessor:
    directory = f"{CLASS}/{device}"
    return RemoteProcessor(
        device=device,
        name=host.read_text(f"{directory}/name"),
        state=host.read_text(f"{directory}/state"),
        firmware=host.read_text(f"{directory}/firmware"),
        recovers=_recovers(host, directory),
        node=platform_bus.node_of(host, f"{directory}/device"),
    )


def _recovers(host: Host, directory: str) -> bool:
    path = f"{directory}/recovery"
    return host.exists(path) and host.read_text(path) == "enabled"


def at(host: Host, node: str) -> RemoteProcessor:
    """The remote processor of a device tree node.

    Raises:
        RslError: there is none.
    """
    found = next((each for each in find(host) if each.node == node), None)
    if found is None:
        raise RslError(
            f"the kernel has no remote processor of {node}",
            hint="is its remoteproc driver loaded? The kernel log (dmesg) says what it found wrong",
        )
    return found


def start(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Have a remote run *firmware*, or the program that it has where that is "".

    The kernel says when it has started; nothing is done where it runs already.

    Raises:
        RslError: it runs something else, there is no such file, or the kernel refuses.
    """
    if processor.state in RUNNING:
        if firmware in ("", processor.firmware):
            return
        raise RslError(
            f"{processor.device} runs {processor.firmware!r}, not {firmware!r}",
            hint="stop it first: rslctl remote stop",
        )
    if processor.state == "crashed":
        _recover(host, processor, firmware)
        return
    wanted = firmware or processor.firmware
    if not host.exists(f"{FIRMWARE}/{wanted}"):
        raise RslError(
            f"there is no firmware '{host.path(FIRMWARE)}/{wanted}' for {processor.device}",
            hint="put the remote's program there, an ELF file",
        )
    if wanted != processor.firmware:
        set_firmware(host, processor, wanted)
    try:
        host.write_attribute(f"{CLASS}/{processor.device}/state", "start")
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def _recover(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Restart a crashed remote, which the kernel neither stops nor starts otherwise."""
    if firmware not in ("", processor.firmware):
        raise RslError(
            f"{processor.device} has crashed with {processor.firmware!r}; it cannot start "
            f"{firmware!r} before that runs again",
            hint="start it with the old program, stop it, and start the new one",
        )
    host.write_attribute(f"{CLASS}/{processor.device}/recovery", "recover")


def stop(host: Host, processor: RemoteProcessor) -> None:
    """Stop a remote, or let go of one that something else had started.

    One that has crashed does not run; the kernel does nothing more about it.

    Raises:
        RslError: the kernel refuses.
    """
    if processor.state in (*STOPPED, "crashed"):
        return
    try:
        host.write_attribute(f"{CLASS}/{processor.device}/state", "stop")
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def set_firmware(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Name the program of a remote that does not run.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{CLASS}/{processor.device}/firmware", firmware)


def set_recovery(host: Host, processor: RemoteProcessor, wanted: bool) -> None:
    """Say whether the kernel is to restart a remote by itself when it crashes.

    Raises:
        RslError: the kernel refuses.
    """
    text = "enabled" if wanted else "disabled"
    host.write_attribute(f"{CLASS}/{processor.device}/recovery", text)
