# SPDX-License-Identifier: BSD-3-Clause
"""The steps of setup, each with *check*, *do* and *undo*.

Setup writes how to undo a step to the journal before it does the step, so it can be killed at any
point. Therefore *undo* also has to work on a step that was not done or done in part, and when it
is called twice.
"""

from __future__ import annotations

import os
import re
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from rslctl.devicetree import overlay
from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError, SeveralError
from rslctl.linux import bus, devices, ivshmem, modules, uio
from rslctl.linux.host import Host
from rslctl.profile.model import Board, Link
from rslctl.setup import checks
from rslctl.setup.journal import Journal, UndoPlan

#: The modules that setup loads; those that they need have other names.
_MODULES = ("rsl_mbox", "uio_pdrv_genirq")


def check_could(do: str, what: str, pattern: str) -> None:
    """Check that an undo plan has what a step of setup could itself have written there.

    Raises:
        ValueError: it has not.
    """
    if not re.fullmatch(pattern, what):
        raise ValueError(f"setup could not {do} {what!r}")


@dataclass(frozen=True)
class Ownership:
    """Owner, group and mode for the device nodes; None leaves a part unchanged."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


@dataclass(frozen=True)
class Target:
    """The link to bring up, and the options of the setup."""

    host: Host
    board: Board
    link: Link
    #: The running device tree.
    machine: Tree
    ownership: Ownership = Ownership()
    #: Longest wait for a device or a remote processor, in seconds.
    timeout: float = 5.0
    #: Whether setup may unbind a device from another driver.
    force: bool = False
    #: Called with a message before a wait.
    note: Callable[[str], None] = lambda _: None

    @cached_property
    def node(self) -> str:
        """The path of the link's notification node in the device tree, or a PCI address.

        Raises:
            RslError: this machine does not have the PCI device.
        """
        by = self.link.ivshmem
        if by:
            return ivshmem.address_of(self.host, by.address, by.instance)
        return overlay.notification_path(self.board, self.link, self.style)

    @cached_property
    def style(self) -> str:
        """The style of the machine's nodes: one of :data:`devicetree.overlay.STYLES`."""
        if self.link.ivshmem:
            return overlay.STYLES[0]
        return overlay.style_of(self.board, self.machine)

    @property
    def memory_node(self) -> str:
        """The path of the node by which UIO maps the shared memory."""
        return overlay.memory_path(self.link)


class Step(ABC):
    """One step of setup. It brings about a state of the machine, and can undo that."""

    #: The name of the step in the journal.
    name: ClassVar[str]

    def __init__(self, target: Target) -> None:
        self.target = target
        self.host = target.host

    @abstractmethod
    def describe(self) -> str:
        """Describe the state that the step brings about."""

    @abstractmethod
    def check(self) -> bool:
        """Return whether the machine already has the state of the step.

        Raises:
            RslError: the machine does not have the state, and *do* could not bring it about.
        """

    def doubt(self) -> str:
        """Return what *check* could not check, or what may cause trouble; "" if all is well."""
        return ""

    def consequence(self, journals: list[Journal]) -> UndoPlan | None:
        """Return the plan for *undo* if an earlier step of setup caused the existing state.

        The *journals* of all links show the earlier steps. None if setup did not cause the state.
        """
        return None

    def held_back(self) -> str:
        """Return why the step is left for a later command; "" if it is not."""
        return ""

    def plan(self) -> UndoPlan | None:
        """Return the plan for *undo*, read before *do*; None if there is nothing to undo."""
        return None

    def do(self) -> None:
        """Bring about the state of the step.

        Raises:
            RslError: the step failed.
        """
        raise NotImplementedError

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        """Restore the state in *plan*; return False if there is nothing to restore.

        Raises:
            RslError: the state cannot be restored.
        """
        raise NotImplementedError


class Verified(Step):
    """A condition that setup checks and cannot bring about; *look* finds what is wrong."""

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
        self._doubts = looked
        return True

    def doubt(self) -> str:
        begins = {"unknown": "cannot tell", "warning": "warning"}
        return "; ".join(
            f"{begins[each.level]}: {each.text} ({each.remedy})" for each in self._doubts
        )


class ModuleLoaded(Step):
    """The module of a driver is loaded, or the driver is built in."""

    name = "module"

    def __init__(self, target: Target, module: str, driver: str) -> None:
        super().__init__(target)
        self._module = module
        self._driver = driver

    def describe(self) -> str:
        return f"module {self._module} loaded"

    def check(self) -> bool:
        return bus.has_driver(self.host, self._driver)

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
        for name in plan["modules"]:
            check_could("unload", str(name), r"[A-Za-z0-9_-]+")
        first, *others = plan["modules"]
        check_could("unload", first, "|".join(_MODULES))
        for name in (first, *others):
            # Other modules may use a dependency by now.
            if modules.loaded(host, name) and not (name in others and modules.used(host, name)):
                modules.unload(host, name, hint="stop what has a device of it open")
                undone = True
        return undone


class DriverBound(Step):
    """The device of a node is bound to its driver."""

    name = "driver"

    def __init__(
        self, target: Target, node: str, driver: str, module: str, *, override: bool
    ) -> None:
        super().__init__(target)
        self._node = node
        self._driver = driver
        #: The module of the driver. When it is loaded, its driver binds to the devices that it
        #: matches.
        self._module = module
        #: Whether driver_override is needed, as the driver does not match the node.
        self._override = override

    def _device(self) -> str:
        return bus.at(self.host, self._node)

    def describe(self) -> str:
        return f"{self._node} bound to driver {self._driver}"

    def check(self) -> bool:
        device = self._device()
        driver = bus.driver_of(self.host, device)
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
            "before": bus.driver_of(self.host, device),
            "override": bus.override(self.host, device) if self._override else None,
        }

    def consequence(self, journals: list[Journal]) -> UndoPlan | None:
        loads = [journal.last(ModuleLoaded.name) for journal in journals]
        if not any(load and self._module in load["modules"] for load in loads):
            return None
        return {"device": self._device(), "driver": self._driver, "before": None, "override": None}

    def do(self) -> None:
        device = self._device()
        before = bus.driver_of(self.host, device)
        if before:
            bus.unbind(self.host, device, before)
        if self._override:
            bus.set_override(self.host, device, self._driver)
        bus.bind(self.host, device, self._driver)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        device, before = plan["device"], plan["before"]
        for name in (device, plan["driver"], before or "none"):
            check_could("bind", name, r"(?!\.\.?$)[^/\n]+")
        if not host.exists(bus.path(device)):
            return False
        undone = False
        if bus.driver_of(host, device) == plan["driver"]:
            bus.unbind(host, device, plan["driver"])
            undone = True
        override = plan["override"]
        if override is not None and bus.override(host, device) != override:
            bus.set_override(host, device, override)
            undone = True
        if before and bus.driver_of(host, device) is None:
            bus.bind(host, device, before)
            undone = True
        return undone


class DeviceThere(Step):
    """The character device of a node exists."""

    name = "device"

    def __init__(self, target: Target, subsystem: str, node: str) -> None:
        super().__init__(target)
        self._subsystem = subsystem
        self._node = node

    def device(self) -> str | None:
        """Return the name of the device, for example "uio0"; None while it does not exist."""
        above = bus.find(self.host, self._node)
        return devices.below(self.host, self._subsystem, bus.path(above)) if above else None

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
        """Check that a UIO device maps the shared memory of the profile."""
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
        bus.at(self.host, self._node)
        self.target.note(f"waiting for the device of {self._node}, up to {timeout:g} s")
        what = f"device of class {self._subsystem} of {self._node}"
        devices.wait(self.host, self._subsystem, what, self.check, timeout)


class DeviceOwned(Step):
    """The node of a character device has the wanted owner, group and mode."""

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

    def _state(self) -> os.stat_result:
        state = self.host.stat(self._node())
        if state is None:
            raise RslError(f"there is no '{self.host.where(self._node())}'")
        return state

    def check(self) -> bool:
        if self._there.device() is None:
            return False
        now, wanted = self._state(), self.target.ownership
        return (
            wanted.uid in (None, now.st_uid)
            and wanted.gid in (None, now.st_gid)
            and wanted.mode in (None, stat.S_IMODE(now.st_mode))
        )

    def plan(self) -> UndoPlan:
        node = self._node()
        now = self._state()
        return {
            "node": node,
            "inode": now.st_ino,
            "uid": now.st_uid,
            "gid": now.st_gid,
            "mode": now.st_mode & 0o777,
        }

    def do(self) -> None:
        wanted = self.target.ownership
        uid, gid = (-1 if part is None else part for part in (wanted.uid, wanted.gid))
        self.host.own(self._node(), uid, gid, wanted.mode)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        check_could("give away", plan["node"], r"/dev/(uio|rsl_mbox)[0-9]+")
        check_could("set mode", f"{plan['mode']:o}", "[0-7]{1,3}")
        now = host.stat(plan["node"])
        # A node with another inode was created later: setup did not change it.
        if now is None or now.st_ino != plan["inode"]:
            return False
        host.own(plan["node"], plan["uid"], plan["gid"], plan["mode"])
        return True
