# SPDX-License-Identifier: BSD-3-Clause
"""Machines that boot by each of the loaders, and work on them that is killed."""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rslctl.boot import installer, transaction

from tests.command_line import Rslctl
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

EXTLINUX = """\
# menu of the board
default main
timeout 30

label rescue
\tlinux /vmlinuz
\tfdtdir /dtbs/
\tappend single

label main
\tmenu label Linux
\tlinux /vmlinuz
\tfdt /dtbs/board.dtb
\tappend root=/dev/mmcblk0p2 #x
"""
UENV = """\
#Docs: http://elinux.org/Beagleboard:U-boot_partitioning_layout_2.0
uname_r=6.12.1-ti
enable_uboot_overlays=1
#uboot_overlay_addr4=<file4>.dtbo
uboot_overlay_addr4=/lib/firmware/BB-UART4-00A0.dtbo
"""
ARMBIAN = "verbosity=1\noverlay_prefix=rockchip\nuser_overlays=mine\nrootdev=UUID=1\n"
UPDATE = '. "${file}"  # /etc/u-boot-menu/conf.d/*.conf\n_DTBO=${U_BOOT_FDT_OVERLAYS}\n'
FILE = "rslctl-qemu-virt.dtbo"
LOADERS = ("extlinux", "u-boot-menu", "armbian", "uenv", "dtb")


def prepare(machine: Machine, loader: str) -> None:
    """Make the machine boot by *loader*."""
    if loader == "extlinux":
        machine.write("/boot/extlinux/extlinux.conf", EXTLINUX).chmod(0o640)
    elif loader == "u-boot-menu":
        machine.write("/boot/extlinux/extlinux.conf", EXTLINUX)
        machine.write("/usr/sbin/u-boot-update", UPDATE)
        machine.write(
            "/etc/default/u-boot", '#U_BOOT_UPDATE="true"\nU_BOOT_FDT_OVERLAYS="a.dtbo"\n'
        )
    elif loader == "armbian":
        machine.write("/boot/armbianEnv.txt", ARMBIAN)
    elif loader == "uenv":
        machine.write("/boot/uEnv.txt", UENV)
    else:
        machine.write("/boot/board.dtb", dtc(BASE)).chmod(0o600)


def options(loader: str) -> list[str]:
    return ["--dtb", "/boot/board.dtb"] if loader == "dtb" else []


def how(loader: str) -> installer.How:
    return installer.How(dtb="/boot/board.dtb" if loader == "dtb" else None)


def install(machine: Machine, how: installer.How | None = None) -> bool:
    return installer.install(
        machine.host,
        machine.board,
        how or installer.How(),
        dry_run=False,
        report=lambda _: None,
    )


def uninstall(machine: Machine, *, force: bool = False) -> bool:
    return installer.uninstall(
        machine.host, "qemu-virt", force=force, dry_run=False, report=lambda _: None
    )


def snapshot(machine: Machine) -> dict[str, Any]:
    """All files with their content, mode and time of change; directories with their mode."""
    found: dict[str, Any] = {}
    for path in sorted(machine.root.rglob("*")):
        name = str(path.relative_to(machine.root))
        if name.startswith(("run", "var")):
            continue
        now = path.stat()
        mode = stat.S_IMODE(now.st_mode)
        found[name] = (
            (mode, now.st_mtime_ns, path.read_bytes()) if path.is_file() else (mode, None, None)
        )
    return found


def rslctl_install(machine: Machine, rslctl: Rslctl, *more: str) -> tuple[int, str, str]:
    return rslctl("overlay", "install", "--board", "qemu-virt", "--root", machine.root, *more)


def rslctl_uninstall(machine: Machine, rslctl: Rslctl, *more: str) -> tuple[int, str, str]:
    return rslctl("overlay", "uninstall", "--root", machine.root, *more)


needs_dtc_for_dtb = [
    pytest.param(each, marks=needs_dtc) if each == "dtb" else each for each in LOADERS
]

_EVENTS = {"open", "os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime"}


def killed(machine: Machine, at: int, work: Callable[[], object]) -> bool:
    """Do *work* in a process that is killed before it touches a file for the *at*-th time.

    False if it was done before that.
    """
    child = os.fork()
    if not child:
        left = at

        def touched(event: str, words: tuple[Any, ...]) -> None:
            nonlocal left
            if event in _EVENTS and str(words[0]).startswith(str(machine.root)):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(touched)
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or not status
    return os.WIFSIGNALED(status)


def left_behind(machine: Machine) -> list[Path]:
    return [each for each in machine.host.path(transaction.STATE).rglob("*") if each.is_file()]
