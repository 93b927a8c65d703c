# SPDX-License-Identifier: BSD-3-Clause
"""The conditions of the machine for any board: its device tree, its modules, its /run.

The checks only read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from rslctl.devicetree.tree import Tree
from rslctl.errors import RslError
from rslctl.linux import modules
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile import reader
from rslctl.profile.model import Board
from rslctl.setup.checks import Finding
from rslctl.setup.journal import RUN, TMPFS


def device_tree(host: Host, tree: Tree) -> Iterator[Finding]:
    """Check that the machine has a device tree that says which machine it is.

    A machine that was booted by ACPI may have one with an empty root.
    """
    if tree.texts("/", "compatible"):
        return
    if host.exists("/sys/firmware/acpi"):
        why = "ACPI describes its hardware"
        remedy = (
            "boot it with a device tree, on arm64 with the kernel's argument acpi=off if the "
            "firmware has one; a PC has none: there, rslctl run --board sim plays a link, and "
            "--board ivshmem is one to another virtual machine"
        )
    elif not host.exists("/sys/kernel"):
        why, remedy = "sysfs is not mounted", "mount -t sysfs sysfs /sys"
    else:
        why = "the boot loader gave the kernel none"
        remedy = "have the boot loader load the board's .dtb, and run this on the board"
    yield Finding(
        "no-tree",
        "error",
        f"this machine has no device tree in '{host.where(DEVICE_TREE)}': {why}",
        remedy,
    )


def board(host: Host, wanted: Board, tree: Tree) -> Iterator[Finding]:
    """Check that the machine is the board, whether or not it has the board's overlay."""
    names = tree.texts("/", "compatible")
    if set(names) & set(wanted.compatible):
        return
    fitting = [name for name in reader.known(host) if _fits(name, host, names)]
    yield Finding(
        "board",
        "error",
        f"this machine is not board {wanted.name!r}: its compatible is {names}, the profile says "
        f"{' or '.join(map(repr, wanted.compatible))}",
        f"give the board that it is: --board {' or '.join(fitting)}"
        if fitting
        else "write a profile of the board that it is; no profile here has its compatible",
    )


def _fits(name: str, host: Host, names: list[str]) -> bool:
    try:
        return bool(set(reader.load(name, host).compatible) & set(names))
    except RslError:
        return False


def signature(host: Host, module: str) -> Iterator[Finding]:
    """Check that the kernel can load the module, if it takes only signed ones."""
    why = modules.signatures_wanted(host)
    if not why or modules.loaded(host, module):
        return
    state = modules.signature(host, module)
    if state in ("unsigned", "unknown key"):
        yield Finding(
            "signature",
            "error",
            f"the kernel loads only modules that are signed ({why}), and {module} "
            + ("is not" if state == "unsigned" else "is by a key that the kernel does not have"),
            modules.how_to_sign(host),
        )


def run_directory(host: Host) -> Iterator[Finding]:
    """Check that setup's journal can be written."""
    try:
        fd = host.open(RUN, os.O_PATH)
        try:
            found = os.statvfs(fd)
        finally:
            os.close(fd)
    except FileNotFoundError:
        if host.live:
            yield Finding(
                "run", "error", f"there is no {RUN}, where setup keeps its journal", TMPFS
            )
        return
    why = ""
    if found.f_flag & os.ST_RDONLY:
        why = "cannot be written"
    elif found.f_blocks and not found.f_bfree:
        why = "is full"
    if why:
        yield Finding("run", "error", f"{RUN} {why}, and setup keeps its journal there", TMPFS)
