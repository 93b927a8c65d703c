# SPDX-License-Identifier: BSD-3-Clause
"""Bring a link up and take it down again.

Setting up is a list of steps, each with *check*, *do* and *undo*. Before a step
is done, what undoing it needs is written to a journal, so that setup can be
killed at any point and run again, and teardown undoes what setup did and nothing
else. An *undo* therefore has to cope with a step that was not done after all.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rslctl import mbox, overlay, tree
from rslctl.board import Board, Link
from rslctl.errors import RslError, os_error
from rslctl.host import Host
from rslctl.journal import Journal, Plan

MODULE = "rsl_mbox"
#: The driver of a link's device, by transport.
DRIVERS = {"mailbox": "rsl_mbox_mailbox", "doorbell": "rsl_mbox_doorbell"}

_PLATFORM = "/sys/bus/platform"
_MODULE_DIRECTORY = f"/sys/module/{MODULE}"

#: Called with a step's description and what is done about it.
Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Ownership:
    """Who may use the device node; None leaves a part as it is."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None


def parse_owner(text: str) -> tuple[int, int | None]:
    """``USER`` or ``USER:GROUP``, names or numbers, as user and group id.

    Raises:
        RslError: there is no such user or group.
    """
    user, _, group = text.partition(":")
    uid = _id("user", user, lambda name: pwd.getpwnam(name).pw_uid)
    return uid, _id("group", group, lambda name: grp.getgrnam(name).gr_gid) if group else None


def _id(kind: str, text: str, look_up: Callable[[str], int]) -> int:
    # The last number stands for "leave it as it is" in chown(2).
    if text.isdecimal() and int(text) < 2**32 - 1:
        return int(text)
    try:
        return look_up(text)
    except KeyError as error:
        raise RslError(f"unknown {kind} {text!r}") from error


class Step(ABC):
    """One thing to bring about; *host* and *link* say where."""

    #: What the journal calls it.
    name: ClassVar[str]

    def __init__(self, host: Host, link: Link) -> None:
        self.host = host
        self.link = link

    @abstractmethod
    def describe(self) -> str:
        """What is so once the step is done."""

    @abstractmethod
    def check(self) -> bool:
        """Whether it is so already."""

    def plan(self) -> Plan | None:
        """What *undo* will need, as it is before *do*; None where there is nothing to undo.

        The same plan is kept once, however often the step is done again.
        """
        return None

    @abstractmethod
    def do(self) -> None:
        """Bring it about."""

    @staticmethod
    def undo(host: Host, plan: Plan) -> bool:
        """Put back what *plan* tells; False if it is so already."""
        raise NotImplementedError


class ModuleLoaded(Step):
    name = "module"

    def describe(self) -> str:
        return f"module {MODULE} loaded"

    def check(self) -> bool:
        return self.host.exists(_MODULE_DIRECTORY)

    def plan(self) -> Plan:
        return {"module": MODULE}

    def do(self) -> None:
        release = os.uname().release
        self.host.run(
            ["modprobe", MODULE],
            hint=f"run it as root; is kmod/{MODULE} built and installed for kernel {release}?",
        )

    @staticmethod
    def undo(host: Host, plan: Plan) -> bool:
        if not host.exists(_MODULE_DIRECTORY):
            return False
        host.run(["modprobe", "-r", plan["module"]], hint="stop what has a link open")
        return True


class DriverBound(Step):
    name = "driver"

    def __init__(self, host: Host, board: Board, link: Link) -> None:
        super().__init__(host, link)
        self._node = overlay.notification_path(board, link)
        self._driver = DRIVERS[link.transport]

    def _device(self) -> str:
        """The platform device that the kernel made of the link's node."""
        wanted = os.path.realpath(self.host.path(tree.LIVE + self._node))
        for name in self.host.names(f"{_PLATFORM}/devices"):
            node = self.host.path(f"{_PLATFORM}/devices/{name}/of_node")
            if os.path.realpath(node) == wanted:
                return name
        raise RslError(f"the kernel made no device of {self._node}", hint="is the node disabled?")

    def path(self) -> str:
        """The device's directory in sysfs."""
        return f"{_PLATFORM}/devices/{self._device()}"

    def describe(self) -> str:
        return f"link {self.link.name} bound to driver {self._driver}"

    def check(self) -> bool:
        driver = _driver(self.host, self._device())
        if driver not in (None, self._driver):
            unbind = f"{_PLATFORM}/drivers/{driver}/unbind"
            raise RslError(
                f"{self._device()} is held by driver {driver!r}, not {self._driver!r}",
                hint=f"unbind it first: echo {self._device()} > {unbind}",
            )
        return driver == self._driver

    def plan(self) -> Plan:
        return {"device": self._device(), "driver": self._driver}

    def do(self) -> None:
        try:
            self.host.write_attribute(f"{_PLATFORM}/drivers/{self._driver}/bind", self._device())
        except RslError as error:
            error.hint = error.hint or "the kernel log (dmesg) says why"
            raise

    @staticmethod
    def undo(host: Host, plan: Plan) -> bool:
        if _driver(host, plan["device"]) != plan["driver"]:
            return False
        host.write_attribute(f"{_PLATFORM}/drivers/{plan['driver']}/unbind", plan["device"])
        return True


def _driver(host: Host, device: str) -> str | None:
    """The driver that a platform device is bound to."""
    target = host.link_target(f"{_PLATFORM}/devices/{device}/driver")
    return Path(target).name if target else None


class DeviceThere(Step):
    name = "device"

    def __init__(self, host: Host, link: Link, bound: DriverBound, timeout: float) -> None:
        super().__init__(host, link)
        self._bound = bound
        self._timeout = timeout

    def describe(self) -> str:
        nodes = [link.node for link in mbox.find(self.host) if link.name == self.link.name]
        return f"device {nodes[0] if nodes else '/dev/rsl_mboxN'} there"

    def check(self) -> bool:
        return any(
            link.name == self.link.name and mbox.is_ready(self.host, link)
            for link in mbox.find(self.host)
        )

    def do(self) -> None:
        mbox.wait_for_device(self.host, self._bound.path(), self._timeout)


class DeviceOwned(Step):
    name = "owner"

    def __init__(self, host: Host, link: Link, wanted: Ownership) -> None:
        super().__init__(host, link)
        self._wanted = wanted

    def describe(self) -> str:
        wanted = self._wanted
        ids = (("owner", wanted.uid), ("group", wanted.gid))
        texts = [f"{what} {value}" for what, value in ids if value is not None]
        if wanted.mode is not None:
            texts.append(f"mode {wanted.mode:04o}")
        return "device node has " + ", ".join(texts)

    def _node(self) -> str:
        return mbox.pick(self.host, self.link.name).node

    def check(self) -> bool:
        if not mbox.find(self.host):
            return False
        now, wanted = self.host.path(self._node()).stat(), self._wanted
        return (
            wanted.uid in (None, now.st_uid)
            and wanted.gid in (None, now.st_gid)
            and wanted.mode in (None, stat.S_IMODE(now.st_mode))
        )

    def plan(self) -> Plan:
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
        wanted = self._wanted
        uid, gid = (-1 if part is None else part for part in (wanted.uid, wanted.gid))
        _own(self.host, self._node(), uid, gid, wanted.mode)

    @staticmethod
    def undo(host: Host, plan: Plan) -> bool:
        path = host.path(plan["node"])
        # A node that was made anew is not the one that setup changed.
        if not path.exists() or path.stat().st_ino != plan["inode"]:
            return False
        _own(host, plan["node"], plan["uid"], plan["gid"], plan["mode"])
        return True


def _own(host: Host, node: str, uid: int, gid: int, mode: int | None) -> None:
    path = host.path(node)
    try:
        os.chown(path, uid, gid)
        if mode is not None:
            path.chmod(mode)
    except OSError as error:
        raise os_error(f"change owner and mode of '{path}'", error) from error


_STEPS: dict[str, type[Step]] = {
    step.name: step for step in (ModuleLoaded, DriverBound, DeviceOwned)
}


def check_machine(host: Host, board: Board) -> None:
    """Check that the running device tree is what the profile asks for.

    Raises:
        RslError: it is not; the message says in what it differs.
    """
    found = overlay.unlike(board, tree.from_machine(host))
    if found:
        raise RslError(
            f"this machine does not match board {board.name!r}: " + "; ".join(found),
            hint=f"boot with its overlay (rslctl overlay --board {board.name}), "
            "or choose the board that this is",
        )


def steps(host: Host, board: Board, link: Link, ownership: Ownership, timeout: float) -> list[Step]:
    """What bringing *link* of *board* up takes, in order."""
    bound = DriverBound(host, board, link)
    result: list[Step] = [
        ModuleLoaded(host, link),
        bound,
        DeviceThere(host, link, bound, timeout),
    ]
    if ownership != Ownership():
        result.append(DeviceOwned(host, link, ownership))
    return result


def up(plan: list[Step], *, dry_run: bool, report: Report) -> None:
    """Do those steps of one link that are not done yet.

    Raises:
        RslError: a step fails. What was done before it stays and is in the journal, so that
            setup can go on from there or teardown undo it.
    """
    journal = Journal.load(plan[0].host, plan[0].link.name)
    for step in plan:
        if step.check():
            report(step.describe(), "already")
        elif dry_run:
            report(step.describe(), "would do")
        else:
            _do(step, journal)
            report(step.describe(), "done")


def _do(step: Step, journal: Journal) -> None:
    plan = step.plan()
    added = plan is not None and journal.add(step.name, plan)
    try:
        step.do()
        if not step.check():
            raise RslError(
                f"failed without a reason: {step.describe()}",
                hint="the kernel log (dmesg) may say why",
            )
    except RslError:
        if added and not step.check():
            journal.drop_last()
        raise


def down(host: Host, link: str, *, dry_run: bool, report: Report) -> None:
    """Undo what setup did for *link*, in reverse.

    Raises:
        RslError: a step cannot be undone. It and those before it stay in the journal.
    """
    journal = Journal.load(host, link)
    others = [name for name in Journal.links(host) if name != link]
    if not dry_run:
        _check_unused(host, link)
    for entry in reversed(list(journal.entries)):
        step = _STEPS.get(entry["step"])
        if step is None:
            raise RslError(f"'{host.path(journal.file)}' has an unknown step {entry['step']!r}")
        if dry_run:
            result = "would undo"
        elif step is ModuleLoaded and others:
            Journal.load(host, others[0]).adopt(entry)
            journal.drop_last()
            result = f"left to link {others[0]}"
        else:
            result = "undone" if step.undo(host, entry["plan"]) else "already undone"
            journal.drop_last()
        report(_about(entry), result)


def _check_unused(host: Host, link: str) -> None:
    """Check that no daemon has *link* open, before anything is taken from under it.

    Raises:
        RslError: one has.
    """
    for device in mbox.find(host):
        if device.name == link and device.open_files:
            raise RslError(
                f"link {link!r} is in use: {device.node} is open {device.open_files} times",
                hint="stop its daemon first",
            )


def _about(entry: dict[str, Any]) -> str:
    about = ", ".join(f"{key} {value}" for key, value in entry["plan"].items())
    return f"{entry['step']} ({about})"
