# SPDX-License-Identifier: BSD-3-Clause
"""Bring a link up and take it down again.

A setup is a list of steps, which :mod:`rslctl.setup.steps` and
:mod:`rslctl.setup.remote_steps` define. It can be killed at any point and run again. A teardown
undoes the steps that setup did, and nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import grp
import pwd
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.linux import bus, ivshmem, mbox, modules, uio
from rslctl.linux.host import Host
from rslctl.profile.model import IVSHMEM, Board, Ivshmem
from rslctl.setup import checks, host_checks, ivshmem_checks, steps
from rslctl.setup.ivshmem_steps import RoleTaken
from rslctl.setup.journal import Facts, Journal
from rslctl.setup.remote_steps import RecoveryOff, RemoteStarted, RemoteThere
from rslctl.setup.steps import (
    DeviceOwned,
    DeviceThere,
    DriverBound,
    ModuleLoaded,
    Ownership,
    Step,
    Target,
    Verified,
)

MODULE = "rsl_mbox"
#: The driver of a link's device, by transport.
DRIVERS = {
    "mailbox": "rsl_mbox_mailbox",
    "doorbell": "rsl_mbox_doorbell",
    IVSHMEM: ivshmem.DRIVER,
}

#: The steps that can be undone, by their name in the journal.
STEPS: dict[str, type[Step]] = {
    step.name: step
    for step in (ModuleLoaded, DriverBound, RoleTaken, DeviceOwned, RecoveryOff, RemoteStarted)
}

#: Called after each step with its description, its result and its duration in seconds.
Report = Callable[[str, str, float], None]


def parse_owner(text: str) -> tuple[int, int | None]:
    """Parse ``USER`` or ``USER:GROUP``, names or numbers; return the user id and the group id.

    The group id is None if *text* has no group.

    Raises:
        RslError: the user or the group is unknown.
    """
    user, _, group = text.partition(":")
    uid = _id("user", user, lambda name: pwd.getpwnam(name).pw_uid)
    return uid, _id("group", group, lambda name: grp.getgrnam(name).gr_gid) if group else None


def _id(kind: str, text: str, look_up: Callable[[str], int]) -> int:
    # The largest number means "unchanged" to chown(2).
    if text.isdecimal() and len(text) <= 10 and int(text) < 2**32 - 1:
        return int(text)
    try:
        return look_up(text)
    except KeyError as error:
        raise RslError(f"unknown {kind} {text!r}") from error


def steps_for(target: Target, firmware: str | None) -> list[Step]:
    """Return the steps that bring a link up, in order.

    *firmware*, a file name below /lib/firmware, replaces the firmware of the profile.

    Raises:
        RslError: the running tree does not have the node of the remote processor, or *firmware* is
            given and the profile has no remoteproc for the link.
    """
    host, board, link = target.host, target.board, target.link
    driver = DRIVERS[link.transport]
    if link.ivshmem:
        return _ivshmem_steps(target, link.ivshmem, firmware)
    there = DeviceThere(target, mbox.SUBSYSTEM, target.node)
    machine = target.machine

    def verified(text: str, look: Callable[[], list[checks.Finding]]) -> Step:
        return Verified(target, text, look)

    where = (host, board, machine, link)
    result: list[Step] = [
        verified("machine matches the profile", lambda: _matches(host, board, machine)),
        verified("memory reserved as planned", lambda: checks.memory(*where)),
        verified("nobody else has its channels", lambda: checks.channels(*where)),
        ModuleLoaded(target, MODULE, driver),
        DriverBound(target, target.node, driver, MODULE, override=False),
        there,
    ]
    owned = [there]
    if bus.has_driver(host, uio.DRIVER) or modules.available(host, uio.DRIVER):
        mapped = DeviceThere(target, uio.SUBSYSTEM, target.memory_node)
        owned.append(mapped)
        result += [
            ModuleLoaded(target, uio.DRIVER, uio.DRIVER),
            DriverBound(target, target.memory_node, uio.DRIVER, uio.DRIVER, override=True),
            mapped,
        ]
    else:
        text = f"shared memory mapped by {MODULE} itself, as the kernel has no {uio.DRIVER}"
        result.append(verified(text, list))
    if target.ownership != Ownership():
        result += [DeviceOwned(target, each) for each in owned]
    return result + _remote_steps(target, firmware)


def _ivshmem_steps(target: Target, by: Ivshmem, firmware: str | None) -> list[Step]:
    """The steps of :func:`steps_for` for a link to another virtual machine."""
    if firmware:
        raise RslError(f"firmware {firmware!r}: the other virtual machine boots its own")
    there = DeviceThere(target, mbox.SUBSYSTEM, target.node)
    # Another driver's override would refuse ours.
    override = bus.override(target.host, target.node) not in ("", ivshmem.DRIVER)
    result: list[Step] = [
        Verified(target, "no device tree to check: its PCI device describes it", list),
        ModuleLoaded(target, MODULE, ivshmem.DRIVER),
        DriverBound(target, target.node, ivshmem.DRIVER, MODULE, override=override),
        there,
        Verified(
            target,
            "memory and vectors as planned",
            lambda: ivshmem_checks.device(target.host, target.link, target.node),
        ),
        RoleTaken(target, by.role),
    ]
    if target.ownership != Ownership():
        result.append(DeviceOwned(target, there))
    return result


def _remote_steps(target: Target, firmware: str | None) -> list[Step]:
    """The steps of :func:`steps_for` that concern the remote and its processor."""
    host, board, link, machine = target.host, target.board, target.link, target.machine
    boots = link.remoteproc
    if boots is None and firmware:
        raise RslError(
            f"firmware {firmware!r}: the profile of board {board.name!r} has no remoteproc for "
            f"link {link.name!r}",
            hint="add a table [link.remoteproc] with its node",
        )
    result: list[Step] = []
    if boots is None and not link.remote_devices:
        return result
    from rslctl.setup import remote_checks  # the links of many boards do not need it

    if link.remote_devices:
        text = "devices of the remote left to it"
        devices = partial(remote_checks.devices, host, machine, link)
        result.append(Verified(target, text, devices))
    if boots is None:
        return result
    node = machine.find(boots.node)
    absent = _absent(target, node)
    if absent and firmware:
        raise RslError(absent[0], hint=absent[1])
    if absent:
        return [*result, Verified(target, f"remote left to what boots it: {absent[0]}", list)]
    if node is None:
        raise RslError(
            f"there is no node {boots.node} to boot the remote of link {link.name!r}",
            hint="is it the board that the profile is of?",
        )
    result.append(RemoteThere(target, node))
    if boots.start == "daemon":
        result.append(RecoveryOff(target, node))
    result.append(RemoteStarted(target, node, firmware or boots.firmware, boots.start))
    return result


def _absent(target: Target, node: str | None) -> tuple[str, str] | None:
    """Why the kernel cannot boot the remote, whose node is *node*, and the remedy.

    None if it may be able to.
    """
    from rslctl.devicetree import remoteproc
    from rslctl.setup import remote_checks

    link, machine = target.link, target.machine
    if node is None:
        alone = dataclasses.replace(target.board, links=(link,))
        found = [
            (text, "boot a kernel whose tree has it") for text in remoteproc.absent(alone, machine)
        ]
    else:
        looked = remote_checks.without_driver(target.host, machine, link)
        found = [(each.text, each.remedy) for each in looked]
    return found[0] if found else None


def _matches(host: Host, board: Board, machine: Tree) -> list[checks.Finding]:
    """Find why the machine is not the board, or does not have its overlay."""
    found = list(host_checks.device_tree(host, machine))
    found = found or list(host_checks.board(host, board, machine))
    return found or checks.machine(board, machine)


def up(todo: list[Step], facts: Facts, *, dry_run: bool, report: Report) -> None:
    """Do the steps of one link that are not done yet.

    Raises:
        RslError: a step failed. The earlier steps stay done and are in the journal, so setup can
            continue from there, or teardown can undo them.
    """
    target = todo[0].target
    journal = Journal.load(target.host, target.link.name)
    journal.facts = facts
    journals = [journal, *_others(target.host, target.link.name)]
    for step in todo:
        began = time.monotonic()
        result = _bring_about(step, journals, dry_run)
        report(step.describe(), result, time.monotonic() - began)
    if not dry_run:
        journal.finish()


def _bring_about(step: Step, journals: list[Journal], dry_run: bool) -> str:
    """Do a step if it is not done yet, and return its result for the report.

    The first of *journals* is that of the link.
    """
    if step.check():
        if not dry_run:
            _own(step, journals)
        return step.doubt() or ("ok" if isinstance(step, steps.Verified) else "already")
    held_back = step.held_back()
    if held_back:
        return held_back
    if dry_run:
        return "would do"
    _do(step, journals[0])
    return "done"


def _own(step: Step, journals: list[Journal]) -> None:
    """Write a step to the journal if setup caused its state by loading a module.

    Teardown then undoes that step too.
    """
    plan = step.consequence(journals)
    if plan is not None and not journals[0].has(step.name, plan):
        journals[0].add(step.name, plan)


def _do(step: Step, journal: Journal) -> None:
    """Write the undo plan of a step to the journal, and do the step; undo it if it fails."""
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
        if added and plan is not None:
            step.undo(step.host, plan)
            journal.drop_last()
        raise


def down(host: Host, link: str, *, dry_run: bool, report: Report) -> None:
    """Undo the steps that setup did for *link*, in reverse order.

    Raises:
        RslError: a daemon has the link open, or a step cannot be undone. This step and the earlier
            ones stay in the journal.
    """
    journal = Journal.load(host, link)
    others = _others(host, link)
    _check_unused(host, journal)
    if not dry_run:
        journal.begin_undoing()
    for entry in reversed(list(journal.entries)):
        began = time.monotonic()
        result = _take_back(host, journal, entry, others, dry_run)
        report(_about(entry), result, time.monotonic() - began)


def _others(host: Host, link: str) -> list[Journal]:
    """The journals of the other links, without damaged ones."""
    found = []
    for name in Journal.links(host):
        with contextlib.suppress(RslError):
            found += [Journal.load(host, name)] if name != link else []
    return found


def _take_back(
    host: Host, journal: Journal, entry: dict[str, Any], others: list[Journal], dry_run: bool
) -> str:
    """Undo one entry of the journal, or leave it to another link; return the result for the report.

    A module that setup loaded stays loaded while another link is set up.
    """
    step = STEPS.get(entry["step"])
    if step is None:
        raise RslError(f"'{host.where(journal.file)}' has an unknown step {entry['step']!r}")
    left = step is steps.ModuleLoaded and bool(others)
    if left:
        result = f"left to link {others[0].link}"
        if not dry_run:
            # The other journal gets the entry first. If we are killed now, both have it.
            others[0].adopt(entry)
    elif dry_run:
        return "would undo"
    else:
        result = "undone" if _undo(step, journal, entry) else "already undone"
    if not dry_run:
        journal.drop_last()
    return result


def _undo(step: type[Step], journal: Journal, entry: dict[str, Any]) -> bool:
    try:
        return step.undo(journal.host, entry["plan"])
    except (KeyError, TypeError, ValueError) as error:
        raise journal.damaged(f"step {entry['step']} has a plan that is none: {error}") from error


def _check_unused(host: Host, journal: Journal) -> None:
    """Check, before teardown undoes a step, that no daemon uses the link.

    Raises:
        RslError: a process has the link's device or its UIO device open.
    """
    device = mbox.at(host, journal.facts.node) if journal.facts else None
    if device and device.open_files:
        raise RslError(
            f"link {journal.link!r} is in use: {device.node} is open {device.open_files} times",
            hint="stop its daemon first",
        )
    drivers = [each["plan"] for each in journal.entries if each["step"] == DriverBound.name]
    for plan in drivers:
        found = uio.of_device(host, str(plan.get("device")))
        users = uio.users(host, found) if found else []
        if found and users:
            raise RslError(
                f"link {journal.link!r} is in use: {found.path} is open in process "
                f"{', '.join(map(str, users))}",
                hint="stop it first",
            )


def _about(entry: dict[str, Any]) -> str:
    """The description of a journal entry for the report."""
    values = {key: value for key, value in entry["plan"].items() if value not in (None, "")}
    texts = {key: " ".join(v) if isinstance(v, list) else v for key, v in values.items()}
    return f"{entry['step']} ({', '.join(f'{key} {text}' for key, text in texts.items())})"
