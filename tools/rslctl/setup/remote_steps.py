# SPDX-License-Identifier: BSD-3-Clause
"""The steps of setup that concern the remote processor: find it, recovery off, start it."""

from __future__ import annotations

import contextlib

from rslctl.errors import RslError, WaitTimeoutError
from rslctl.linux import devices, kernel_log, mbox, remoteproc
from rslctl.linux.host import Host
from rslctl.linux.remoteproc import RemoteProcessor
from rslctl.setup.journal import UndoPlan
from rslctl.setup.steps import Step, Target


class RemoteThere(Step):
    """The remote processor exists. At boot its driver may be later than setup, so *do* waits."""

    name = "remoteproc"

    def __init__(self, target: Target, node: str) -> None:
        super().__init__(target)
        self._node = node

    def describe(self) -> str:
        return f"remote processor of {self._node} there"

    def check(self) -> bool:
        return any(each.node == self._node for each in remoteproc.find(self.host))

    def do(self) -> None:
        timeout = self.target.timeout
        if timeout and self.host.live:
            self.target.note(f"waiting for {self.describe()}, up to {timeout:g} s")
            with contextlib.suppress(WaitTimeoutError):  # the error below says more
                devices.wait(self.host, "remoteproc", self._node, self.check, timeout)
        remoteproc.at(self.host, self._node)


class RecoveryOff(Step):
    """The kernel does not restart a crashed remote by itself, while its daemon still runs."""

    name = "recovery"

    def __init__(self, target: Target, node: str) -> None:
        super().__init__(target)
        self.node = node

    def describe(self) -> str:
        return f"remote {self.node} not restarted without its daemon"

    def check(self) -> bool:
        return not remoteproc.at(self.host, self.node).recovers

    def plan(self) -> UndoPlan:
        return {"node": self.node}

    def do(self) -> None:
        remoteproc.set_recovery(self.host, remoteproc.at(self.host, self.node), False)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        found = [each for each in remoteproc.find(host) if each.node == plan["node"]]
        if not found or found[0].recovers:
            return False
        if found[0].state == remoteproc.CRASHED:
            raise RslError(
                f"{found[0].device} has crashed, and the kernel restarts it when it may again",
                hint="stop it first: rslctl remote stop",
            )
        remoteproc.set_recovery(host, found[0], True)
        return True


def start_plan(host: Host, processor: RemoteProcessor, *, served: bool) -> UndoPlan:
    """Return the plan of :class:`RemoteStarted`, read before the start.

    It has how to undo the start, whether a daemon is *served* by it, and the place in the kernel's
    log, None if that cannot be read: a later start than this one is somebody else's.
    """
    try:
        place = kernel_log.next_number(host)
    except RslError:
        place = None
    return {
        "node": processor.node,
        "firmware": processor.firmware,
        "served": served,
        "log": place,
    }


class RemoteStarted(Step):
    """The remote runs. If *start* is "daemon", the step waits for a later command."""

    name = "remote"

    def __init__(self, target: Target, node: str, firmware: str, start: str) -> None:
        super().__init__(target)
        self.node = node
        self.firmware = firmware
        self.start = start

    def describe(self) -> str:
        firmware = f" with firmware {self.firmware}" if self.firmware else ""
        return f"remote {self.node} running{firmware}"

    def check(self) -> bool:
        found = [each for each in remoteproc.find(self.host) if each.node == self.node]
        return any(remoteproc.runs(each, self.firmware) for each in found)

    def held_back(self) -> str:
        link, name = mbox.at(self.host, self.target.node), self.target.link.name
        if self.start == "setup":
            return ""
        if remoteproc.at(self.host, self.node).state == remoteproc.CRASHED:
            return f"left, it has crashed: stop its daemon, then rslctl remote stop --link {name}"
        if link and link.open_files:
            return ""
        return f"left until its daemon is ready: rslctl remote start --link {name}"

    def plan(self) -> UndoPlan:
        now = remoteproc.at(self.host, self.node)
        return start_plan(self.host, now, served=self.start == "daemon")

    def do(self) -> None:
        processor = remoteproc.at(self.host, self.node)
        remoteproc.start(self.host, processor, self.firmware)

    @staticmethod
    def undo(host: Host, plan: UndoPlan) -> bool:
        found = [each for each in remoteproc.find(host) if each.node == plan["node"]]
        return bool(found) and remoteproc.put_back(host, found[0], plan["firmware"])
