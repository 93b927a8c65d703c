# SPDX-License-Identifier: BSD-3-Clause
"""Wait for the devices that drivers create, and for their nodes in /dev."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rslctl.errors import RslError, WaitTimeoutError
from rslctl.linux.host import Host

#: This file exists while udevd runs.
_UDEV = "/run/udev/control"
#: Seconds after which it is looked anew, though no event came.
_INTERVAL = 0.1
#: Seconds between two looks at what udev does within milliseconds.
_SHORT = 0.005


def is_ready(host: Host, subsystem: str, device: str) -> bool:
    """Return whether the node of a device exists and udev, if it runs, has processed it."""
    if not host.exists(f"/dev/{device}"):
        return False
    number = host.read_text(f"/sys/class/{subsystem}/{device}/dev")
    return not host.exists(_UDEV) or host.exists(f"/run/udev/data/c{number}")


@contextlib.contextmanager
def changing(host: Host, subsystem: str, device: str, timeout: float) -> Iterator[None]:
    """Wait after the block until udev, if it runs, has processed an event that the block causes.

    Until then udev may change the owner and the mode of the device's node. *timeout* is the longest
    wait, in seconds.
    """
    entry = f"/run/udev/data/c{host.read_text(f'/sys/class/{subsystem}/{device}/dev')}"

    def stamp() -> tuple[int, int] | None:
        found = host.stat(entry)
        return (found.st_ino, found.st_mtime_ns) if found else None

    before = stamp()
    yield
    deadline = time.monotonic() + timeout
    while host.exists(_UDEV) and stamp() == before and time.monotonic() < deadline:
        time.sleep(_SHORT)


def below(host: Host, subsystem: str, parent: str) -> str | None:
    """Return the name of the device of *subsystem* whose parent has the sysfs directory *parent*.

    None if there is no such device.
    """
    above = host.real(parent)
    for name in host.names(f"/sys/class/{subsystem}"):
        device = f"/sys/class/{subsystem}/{name}/device"
        if host.exists(device) and host.real(device) == above:
            return name
    return None


def wait(host: Host, subsystem: str, what: str, come: Callable[[], bool], timeout: float) -> None:
    """Wait until *come* returns True; call it again at each event of *subsystem*,
    and ten times a second.

    *what* names the device in messages. *timeout* is in seconds.

    Raises:
        WaitTimeoutError: the device did not come in time.
        RslError: libudev is missing.
    """
    try:
        import pyudev  # it loads libudev, which is needed only to wait
    except ImportError as error:
        raise RslError(
            f"cannot wait for devices: {error}", hint="install libudev (package libudev1)"
        ) from error
    # Without udevd only the kernel sends events. Both send them after they made the node. In a
    # network namespace of our own, as rsl-setup@ has it, udevd's do not come: hence _INTERVAL.
    source = "udev" if host.exists(_UDEV) else "kernel"
    monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source)
    monitor.filter_by(subsystem)
    monitor.start()
    deadline = time.monotonic() + timeout
    while not come():
        left = deadline - time.monotonic()
        if left <= 0:
            raise WaitTimeoutError(
                f"{what} did not come up in {timeout:g} s",
                hint="the kernel log (dmesg) says why the driver refused it",
            )
        monitor.poll(min(left, _INTERVAL))
