# SPDX-License-Identifier: BSD-3-Clause
"""The steps of bringing a link up, each with *check*, *do* and *undo*.

Before a step is done, what undoing it needs is written to a journal, so that setup
can be killed at any point. An *undo* therefore has to cope with a step that was done
not at all or in part, and with being done twice.
"""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from rslctl.devicetree import overlay
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError
from rslctl.linux import devices, modules, platform_bus, uio
from rslctl.linux.host import Host
from rslctl.profile.model import Board, Link
from rslctl.setup import checks
from rslctl.setup.journal import Journal, UndoPlan


@dataclass(frozen=True)
class Ownership:
    """Who may use the device nodes; None leaves a part as it is."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


@dataclass(frozen=True)
class Target:
    """The link to bring up, and how."""

    host: Host
    board: Board
    link: Link
    #: The device tree that the machine runs with.
    machine: Tree
    ownership: Ownership = Ownership()
    #: Seconds to wait for a device or a remote.
    timeout: float = 5.0
    #: Whether a device is taken from another driver.
    force: bool = False
    #: Called when there is something to wait for.
    note: Callable[[str], None] = lambda _: None

    @cached_property
    def node(self) -> str:
        """The path of the link's notification node in the device tree."""
        return overlay.notification_path(self.board, self.link, self.style)

    @cached_property
    def style(self) -> str:
        """Whose nodes the machine has: one of :data:`overlay.STYLES`."""
        return overlay.style_of(self.board, self.machine)

    @property
    def memory_node(self) -> str:
        """That of the node that UIO can have."""
        return overlay.memory_path(self.link)


class Step(ABC):
    """One thing to bring about."""

    #: What the journal calls it.
    name: ClassVar[str]

    def __init__(self, target: Target) -> None:
        self.target = target
        self.host = target.host

    @abstractmethod
    def describe(self) -> str:
        """What is so once the step is done."""

    @abstractmethod
    def check(self) -> bool:
        """Whether it is so already.

        Raises:
            RslError: it is not, and cannot be brought about.
        """

    def doubt(self) -> str:
        """Why *check* could not see all of it; "" where it could."""
        return ""

    def consequence(self, journals: list[Journal]) -> UndoPlan | None:
        """What *undo* will need of what is so already, where *journals* say that setup is why."""
        return None

    def held_back(self) -> str:
        """Why the step is left for later; "" where it is not."""
        return ""

    def plan(self) -> UndoPlan | None:
        """What *undo* will need, as it is before *do*; None where there is nothing to undo."""
        return None

    def do(self) -> None:
        """Bring it about."""
        raise NotImplementedError

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        """Put back what *plan* tells; False if it is so already."""
        raise NotImplementedError


class Verified(Step):
    """What only can be looked at: nothing that setup does would mend it."""

    name = "verify"

    def __init__(self, target: Target, text: str, look: Callable[[], list[checks.Finding]]) -> None:
        super().__init__(target)
        self._text = text
        self._look = look
        self._doubts: list[checks.Finding] = []

    def describe(self) -> str:
        return self._text

    def check(self) -> bool:
        looked = self._look()
        found = [each for each in looked if each.level == "error"]
        if found:
            raise SeveralError([each.text for each in found], hint=found[0].remedy)
        self._doubts = [each for each in looked if each.level == "unknown"]
        return True

    def doubt(self) -> str:
        return "; ".join(f"cannot tell: {each.text} ({each.remedy})" for each in self._doubts)


class ModuleLoaded(Step):
    """A module with its driver, which may as well be built in."""

    name = "module"

    def __init__(self, target: Target, module: str, driver: str) -> None:
        super().__init__(target)
        self._module = module
        self._driver = driver

    def describe(self) -> str:
        return f"module {self._module} loaded"

    def check(self) -> bool:
        return platform_bus.has_driver(self.host, self._driver)

    def plan(self) -> UndoPlan | None:
        names = modules.needed(self.host, self._module)
        absent = [name for name in names if not modules.loaded(self.host, name)]
        return {"modules": absent} if absent else None

    def do(self) -> None:
        release = os.uname().release
        modules.load(
            self.host,
            self._module,
            hint=f"run it as root; is {self._module} built and installed for kernel {release}?",
        )

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        undone = False
        first, *others = plan["modules"]
        for name in (first, *others):
            # What it brought along may have found other users since.
            if modules.loaded(host, name) and not (name in others and modules.used(host, name)):
                modules.unload(host, name, hint="stop what has a device of it open")
                undone = True
        return undone


class DriverBound(Step):
    name = "driver"

    def __init__(
        self, target: Target, node: str, driver: str, module: str, *, override: bool
    ) -> None:
        super().__init__(target)
        self._node = node
        self._driver = driver
        #: The module that has the driver, and at whose loading it takes what it knows.
        self._module = module
        #: Whether the driver has to be told to take the device, whose node does not say so.
        self._override = override

    def _device(self) -> str:
        return platform_bus.at(self.host, self._node)

    def describe(self) -> str:
        return f"{self._node} bound to driver {self._driver}"

    def check(self) -> bool:
        device = self._device()
        driver = platform_bus.driver_of(self.host, device)
        if driver not in (None, self._driver) and not self.target.force:
            raise RslError(
                f"{device} is held by driver {driver!r}, not {self._driver!r}",
                hint="--force takes it, and teardown gives it back",
            )
        return driver == self._driver

    def plan(self) -> UndoPlan:
        device = self._device()
        return {
            "device": device,
            "driver": self._driver,
            "before": platform_bus.driver_of(self.host, device),
            "override": platform_bus.override(self.host, device) if self._override else None,
        }

    def consequence(self, journals: list[Journal]) -> UndoPlan | None:
        loads = [journal.last(ModuleLoaded.name) for journal in journals]
        if not any(load and self._module in load["modules"] for load in loads):
            return None
        return {"device": self._device(), "driver": self._driver, "before": None, "override": None}

    def do(self) -> None:
        device = self._device()
        before = platform_bus.driver_of(self.host, device)
        if before:
            platform_bus.unbind(self.host, device, before)
        if self._override:
            platform_bus.set_override(self.host, device, self._driver)
        platform_bus.bind(self.host, device, self._driver)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        device, before = plan["device"], plan["before"]
        if not host.exists(platform_bus.path(device)):
            return False
        undone = False
        if platform_bus.driver_of(host, device) == plan["driver"]:
            platform_bus.unbind(host, device, plan["driver"])
            undone = True
        override = plan["override"]
        if override is not None and platform_bus.override(host, device) != override:
            platform_bus.set_override(host, device, override)
            undone = True
        if before and platform_bus.driver_of(host, device) is None:
            platform_bus.bind(host, device, before)
            undone = True
        return undone


class DeviceThere(Step):
    """The character device that a driver makes of a node."""

    name = "device"

    def __init__(self, target: Target, subsystem: str, node: str) -> None:
        super().__init__(target)
        self._subsystem = subsystem
        self._node = node

    def device(self) -> str | None:
        """Its name, as "uio0"; None while it is not there."""
        above = platform_bus.find(self.host, self._node)
        return (
            devices.below(self.host, self._subsystem, platform_bus.path(above)) if above else None
        )

    def describe(self) -> str:
        return f"device /dev/{self.device() or f'{self._subsystem}N'} of {self._node} there"

    def check(self) -> bool:
        device = self.device()
        if device is None or not devices.is_ready(self.host, self._subsystem, device):
            return False
        if self._subsystem == uio.SUBSYSTEM:
            self._check_map()
        return True

    def _check_map(self) -> None:
        found = uio.at(self.host, self._node)
        memory = self.target.link.memory
        if found and found.maps[:1] != (memory,):
            shown = ", ".join(f"{each.base:#x}, {each.size:#x} bytes" for each in found.maps)
            raise RslError(
                f"{found.path} maps {shown or 'nothing'}, the profile says {memory.base:#x}, "
                f"{memory.size:#x} bytes",
                hint="boot with the overlay of this profile",
            )

    def do(self) -> None:
        timeout = self.target.timeout
        platform_bus.at(self.host, self._node)
        self.target.note(f"waiting for the device of {self._node}, up to {timeout:g} s")
        what = f"device of class {self._subsystem} of {self._node}"
        devices.wait(self.host, self._subsystem, what, self.check, timeout)


class DeviceOwned(Step):
    name = "owner"

    def __init__(self, target: Target, there: DeviceThere) -> None:
        super().__init__(target)
        self._there = there

    def describe(self) -> str:
        wanted = self.target.ownership
        ids = (("owner", wanted.uid), ("group", wanted.gid))
        texts = [f"{what} {value}" for what, value in ids if value is not None]
        if wanted.mode is not None:
            texts.append(f"mode {wanted.mode:04o}")
        return f"{self._node()} has " + ", ".join(texts)

    def _node(self) -> str:
        return f"/dev/{self._there.device() or 'the device'}"

    def check(self) -> bool:
        if self._there.device() is None:
            return False
        now, wanted = self.host.path(self._node()).stat(), self.target.ownership
        return (
            wanted.uid in (None, now.st_uid)
            and wanted.gid in (None, now.st_gid)
            and wanted.mode in (None, stat.S_IMODE(now.st_mode))
        )

    def plan(self) -> UndoPlan:
        node = self._node()
        now = self.host.path(node).stat()
        return {
            "node": node,
            "inode": now.st_ino,
            "uid": now.st_uid,
            "gid": now.st_gid,
            "mode": stat.S_IMODE(now.st_mode),
        }

    def do(self) -> None:
        wanted = self.target.ownership
        uid, gid = (-1 if part is None else part for part in (wanted.uid, wanted.gid))
        self.host.own(self._node(), uid, gid, wanted.mode)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        path = host.path(plan["node"])
        # A node that was made anew is not the one that setup changed.
        if not path.exists() or path.stat().st_ino != plan["inode"]:
            return False
        host.own(plan["node"], plan["uid"], plan["gid"], plan["mode"])
        return True
