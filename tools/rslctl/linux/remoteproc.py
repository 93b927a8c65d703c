# SPDX-License-Identifier: BSD-3-Clause
"""The devices that boot remotes: the kernel's remoteproc framework.

Attributes: Documentation/ABI/testing/sysfs-class-remoteproc of Linux.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux import platform_bus
from rslctl.linux.host import Host

CLASS = "/sys/class/remoteproc"

#: States in which the remote's program runs, and in which it does not.
RUNNING = ("running", "attached")
STOPPED = ("offline", "detached")
CRASHED = "crashed"

#: What the kernel says for the program of a remote that something else has started.
UNKNOWN = "unknown"

#: Where the kernel looks for the programs of remotes, and the endings of compressed ones
#: (drivers/base/firmware_loader/main.c of Linux); one more place is its parameter.
FIRMWARE = "/lib/firmware"
_PARAMETER = "/sys/module/firmware_class/parameters/path"
_ENDINGS = ("", ".zst", ".xz")


class RemoteProcessor:
    """A remote processor as sysfs shows it."""

    def __init__(
        self, *, device: str, name: str, state: str, firmware: str, recovers: bool, node: str
    ) -> None:
        #: The kernel's name of the device, as "remoteproc0".
        self.device = device
        self.name = name
        #: "offline", "suspended", "running", "crashed", "deleted", "attached" or "detached".
        self.state = state
        #: Its program below /lib/firmware.
        self.firmware = firmware
        #: Whether the kernel restarts it by itself when it crashes.
        self.recovers = recovers
        #: The device tree node of the device that drives it; "" without one.
        self.node = node


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


def runs(processor: RemoteProcessor, firmware: str) -> bool:
    """Whether a remote runs *firmware*, or whatever where that is "" or cannot be known."""
    known = firmware != "" and processor.firmware != UNKNOWN
    return processor.state in RUNNING and (not known or firmware == processor.firmware)


def has_firmware(host: Host, name: str) -> bool:
    """Whether there is a program *name* where the kernel looks for it."""
    release = os.uname().release
    places = [f"{FIRMWARE}/updates/{release}", f"{FIRMWARE}/updates", f"{FIRMWARE}/{release}"]
    if host.exists(_PARAMETER):
        places.insert(0, host.read_text(_PARAMETER))
    return any(
        host.exists(f"{place}/{name}{ending}")
        for place in (*places, FIRMWARE)
        for ending in _ENDINGS
        if place
    )


def check_startable(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Check that a remote that does not run could be started with *firmware*.

    Raises:
        RslError: it has crashed, or there is no such program.
    """
    if processor.state == CRASHED:
        raise RslError(
            f"{processor.device} has crashed",
            hint="stop its daemon, then: rslctl remote stop; the daemon anew, rslctl remote start",
        )
    wanted = firmware or processor.firmware
    if not has_firmware(host, wanted):
        raise RslError(
            f"there is no firmware '{host.path(FIRMWARE)}/{wanted}' for {processor.device}",
            hint="put the remote's program there, an ELF file",
        )


def start(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Have a remote run *firmware*, or the program that it has where that is "".

    Nothing is done where it runs already.

    Raises:
        RslError: it runs something else, has crashed, there is no such program, or the kernel
            does not start it; the name of its program is as it was then.
    """
    if runs(processor, firmware):
        return
    if processor.state in RUNNING:
        raise RslError(
            f"{processor.device} runs {processor.firmware!r}, not {firmware!r}",
            hint="stop it first: rslctl remote stop",
        )
    check_startable(host, processor, firmware)
    wanted = firmware or processor.firmware
    if wanted != processor.firmware:
        set_firmware(host, processor, wanted)
    try:
        host.write_attribute(f"{CLASS}/{processor.device}/state", "start")
        _check_runs(host, processor)
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        if wanted != processor.firmware:
            set_firmware(host, processor, processor.firmware)
        raise


def _check_runs(host: Host, processor: RemoteProcessor) -> None:
    """Check that the kernel did what it said: it starts nothing that it thinks has power."""
    state = state_of(host, processor)
    if state in (*STOPPED, CRASHED):
        raise RslError(
            f"the kernel said that {processor.device} was started, and it is {state}",
            hint="the kernel log (dmesg) may say why; unbinding its driver and binding it again "
            "clears a start that failed half-way",
        )


def state_of(host: Host, processor: RemoteProcessor) -> str:
    """What a remote does now.

    Raises:
        RslError: its device is gone.
    """
    return host.read_text(f"{CLASS}/{processor.device}/state")


def stop(host: Host, processor: RemoteProcessor) -> None:
    """Stop a remote, or let go of one that something else had started.

    The kernel does not stop one that has crashed: that is restarted and then stopped.

    Raises:
        RslError: the kernel refuses, or there is nothing to restart a crashed remote with.
    """
    if processor.state not in (*RUNNING, CRASHED):
        return
    try:
        if processor.state == CRASHED:
            _restart(host, processor)
        if state_of(host, processor) not in STOPPED:
            host.write_attribute(f"{CLASS}/{processor.device}/state", "stop")
    except RslError as error:
        error.hint = error.hint or "the kernel log (dmesg) says why"
        raise


def _restart(host: Host, processor: RemoteProcessor) -> None:
    # The kernel forgets that a remote has no power when the program is missing here.
    if not has_firmware(host, processor.firmware):
        raise RslError(
            f"{processor.device} has crashed, and can only be stopped once it was restarted; there "
            f"is no firmware '{host.path(FIRMWARE)}/{processor.firmware}' for that",
            hint="put the remote's program back",
        )
    host.write_attribute(f"{CLASS}/{processor.device}/recovery", "recover")


def put_back(host: Host, processor: RemoteProcessor, firmware: str) -> bool:
    """Stop a remote and give its program the name that it had; False if it is so already.

    Raises:
        RslError: the kernel refuses.
    """
    stopped = processor.state in (*RUNNING, CRASHED)
    if stopped:
        stop(host, processor)
    renamed = firmware not in ("", UNKNOWN, processor.firmware)
    if renamed:
        set_firmware(host, processor, firmware)
    return stopped or renamed


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
