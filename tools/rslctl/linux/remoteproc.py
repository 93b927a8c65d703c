# SPDX-License-Identifier: BSD-3-Clause
"""Remote processors: find, start and stop them by the kernel's remoteproc framework.

Attributes: Documentation/ABI/testing/sysfs-class-remoteproc of Linux.
"""

from __future__ import annotations

import os

from rslctl.errors import RslError
from rslctl.linux import bus, kernel_log
from rslctl.linux.host import Host

CLASS = "/sys/class/remoteproc"

#: The states in which the remote's program runs, and those in which it is stopped.
RUNNING = ("running", "attached")
STOPPED = ("offline", "detached")
CRASHED = "crashed"

#: The kernel's name of the program if something else than Linux started the remote.
UNKNOWN = "unknown"

#: The directory of the remotes' programs, the parameter that names one more directory, and the
#: suffixes of compressed files (drivers/base/firmware_loader/main.c of Linux).
FIRMWARE = "/lib/firmware"
_PARAMETER = "/sys/module/firmware_class/parameters/path"
_ENDINGS = ("", ".zst", ".xz")


class RemoteProcessor:
    """A remote processor as sysfs shows it."""

    def __init__(
        self, *, device: str, name: str, state: str, firmware: str, recovers: bool, node: str
    ) -> None:
        #: The kernel's name of the device, for example "remoteproc0".
        self.device = device
        self.name = name
        #: "offline", "suspended", "running", "crashed", "deleted", "attached" or "detached".
        self.state = state
        #: The name of its program below /lib/firmware.
        self.firmware = firmware
        #: Whether the kernel itself restarts the remote after a crash.
        self.recovers = recovers
        #: The device tree node of its parent device; "" without one.
        self.node = node


def find(host: Host) -> list[RemoteProcessor]:
    """Return the remote processors of the machine, by number."""
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
        node=bus.node_of(host, f"{directory}/device"),
    )


def _recovers(host: Host, directory: str) -> bool:
    path = f"{directory}/recovery"
    return host.exists(path) and host.read_text(path) == "enabled"


def at(host: Host, node: str) -> RemoteProcessor:
    """Return the remote processor of a device tree node.

    Raises:
        RslError: the kernel has no remote processor of this node.
    """
    found = next((each for each in find(host) if each.node == node), None)
    if found is None:
        raise RslError(
            f"the kernel has no remote processor of {node}",
            hint="is its remoteproc driver loaded? The kernel log (dmesg) says what it found wrong",
        )
    return found


def runs(processor: RemoteProcessor, firmware: str) -> bool:
    """Return whether a remote runs *firmware*.

    Any program counts if *firmware* is "" or the kernel does not know the program.
    """
    known = firmware != "" and processor.firmware != UNKNOWN
    return processor.state in RUNNING and (not known or firmware == processor.firmware)


def has_firmware(host: Host, name: str) -> bool:
    """Return whether the program *name* is in a directory where the kernel looks for it."""
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
    """Check that a stopped remote can be started with *firmware*.

    Raises:
        RslError: the remote has crashed, or the program does not exist.
    """
    if processor.state == CRASHED:
        raise RslError(
            f"{processor.device} has crashed",
            hint="stop its daemon, then: rslctl remote stop; the daemon anew, rslctl remote start",
        )
    wanted = firmware or processor.firmware
    if not has_firmware(host, wanted):
        raise RslError(
            f"there is no firmware '{host.where(FIRMWARE)}/{wanted}' for {processor.device}",
            hint="put the remote's program there, an ELF file",
        )


def start(host: Host, processor: RemoteProcessor, firmware: str) -> None:
    """Start a remote with *firmware*; "" keeps the program that the kernel has for it.

    Does nothing if the remote already runs this program.

    Raises:
        RslError: the remote runs another program or has crashed, the program does not exist, or
            the kernel does not start the remote. The name of its program is unchanged then.
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
    """Check that the remote runs after a start.

    The kernel reports success and starts nothing if it believes that the remote has power already.
    """
    state = state_of(host, processor)
    if state in (*STOPPED, CRASHED):
        raise RslError(
            f"the kernel said that {processor.device} was started, and it is {state}",
            hint="the kernel log (dmesg) may say why; unbinding its driver and binding it again "
            "clears a start that failed half-way",
        )


def state_of(host: Host, processor: RemoteProcessor) -> str:
    """Return the state of a remote now.

    Raises:
        RslError: the device of the remote is gone.
    """
    return host.read_text(f"{CLASS}/{processor.device}/state")


def starts(host: Host, processor: RemoteProcessor, since: int) -> int:
    """Return how often a remote was started, by whomever, since record *since* of the kernel's log.

    sysfs has no count. The kernel says each start in its log, that after a crash too (rproc_start()
    and rproc_attach() in drivers/remoteproc/remoteproc_core.c).

    Raises:
        RslError: the kernel's log cannot be read.
    """
    return sum(
        each.number >= since
        and each.device == f"+remoteproc:{processor.device}"
        and each.text.endswith((" is now up", " is now attached"))
        for each in kernel_log.records(host)
    )


def stop(host: Host, processor: RemoteProcessor) -> None:
    """Stop a remote. Does nothing if it neither runs nor has crashed.

    The kernel cannot stop a crashed remote. So a crashed remote is restarted first.

    Raises:
        RslError: the kernel refuses, or the program of a crashed remote is missing.
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
    """Restart a crashed remote."""
    # If the program is missing now, the kernel goes on to believe that the remote has power.
    if not has_firmware(host, processor.firmware):
        raise RslError(
            f"{processor.device} has crashed, and can only be stopped once it was restarted; there "
            f"is no firmware '{host.where(FIRMWARE)}/{processor.firmware}' for that",
            hint="put the remote's program back",
        )
    host.write_attribute(f"{CLASS}/{processor.device}/recovery", "recover")


def put_back(host: Host, processor: RemoteProcessor, firmware: str) -> bool:
    """Stop a remote and set the name of its program back to *firmware*.

    Returns False if nothing had to be done.

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
    """Set the name of the program of a stopped remote.

    Raises:
        RslError: the kernel refuses.
    """
    host.write_attribute(f"{CLASS}/{processor.device}/firmware", firmware)


def set_recovery(host: Host, processor: RemoteProcessor, wanted: bool) -> None:
    """Set whether the kernel itself restarts a remote after a crash.

    Raises:
        RslError: the kernel refuses.
    """
    text = "enabled" if wanted else "disabled"
    host.write_attribute(f"{CLASS}/{processor.device}/recovery", text)
