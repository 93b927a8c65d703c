# SPDX-License-Identifier: BSD-3-Clause
"""Machines that boot by each of the loaders, and work on them that is killed."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rslctl.boot import installed, installer, transaction

from tests.command_line import Rslctl
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc, needs_mkimage

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
L4T = """\
TIMEOUT 30
DEFAULT primary

MENU TITLE L4T boot options

LABEL primary
      MENU LABEL primary kernel
      LINUX /boot/Image
      FDT /boot/dtb/board.dtb
      INITRD /boot/initrd
      APPEND ${cbootargs} root=/dev/nvme0n1p1 rw
"""
ENTRY = """\
title Debian
version 6.12.1
linux /debian/6.12.1/linux
devicetree /debian/6.12.1/board.dtb
options root=/dev/vda2
"""
GRUB = """\
set default="0"
menuentry 'Debian' --class debian $menuentry_id_option 'simple' {
\tlinux /boot/vmlinuz-6.12.1 root=/dev/vda2
\tinitrd /boot/initrd.img-6.12.1
\tdevicetree /boot/dtb-6.12.1
}
submenu 'Others' {
\tmenuentry 'Debian, old' {
\t\tlinux /boot/vmlinuz-6.1.0 root=/dev/vda2
\t\tdevicetree /boot/dtb-6.1.0
\t}
}
"""
FLASH_KERNEL = """\
Machine: Other
DTB-Id: other.dtb

Machine: QEMU virt
Kernel-Flavors: arm64
DTB-Id: board.dtb
Boot-Script-Path: /boot/boot.scr
"""
#: As mkimage takes it: one kernel, two trees.
FIT = """\
/dts-v1/;
/ {
\tdescription = "kernel and trees";
\timages {
\t\tkernel-1 {
\t\t\tdata = /incbin/("kernel"); type = "kernel"; arch = "arm64"; os = "linux";
\t\t\tcompression = "none"; load = <0x40000000>; entry = <0x40000000>;
\t\t\thash-1 { algo = "sha256"; };
\t\t};
\t\tfdt-other {
\t\t\tdata = /incbin/("other.dtb"); type = "flat_dt"; arch = "arm64";
\t\t\tcompression = "none"; hash-1 { algo = "crc32"; };
\t\t};
\t\tfdt-board {
\t\t\tdata = /incbin/("board.dtb"); type = "flat_dt"; arch = "arm64";
\t\t\tcompression = "none"; hash-1 { algo = "sha256"; }; hash-2 { algo = "crc32"; };
\t\t};
\t};
\tconfigurations {
\t\tdefault = "conf-other";
\t\tconf-other { kernel = "kernel-1"; fdt = "fdt-other"; };
\t\tconf-board { kernel = "kernel-1"; fdt = "fdt-board"; };
\t};
};
"""
#: An overlay that uses what the overlay of board qemu-virt does.
TAKEN = """\
/dts-v1/;
/plugin/;
&{/} {
\t#address-cells = <2>;
\t#size-cells = <2>;
\treserved-memory {
\t\t#address-cells = <2>;
\t\t#size-cells = <2>;
\t\tranges;
\t\tother@70000000 { reg = <0 0x70000000 0 0x1000000>; no-map; };
\t};
};
"""
#: The source of the image fdt-other.
OTHER = BASE.replace("linux,dummy-virt", "x,y")
#: The files that tell each loader.
_FILES: dict[str, dict[str, str]] = {
    "extlinux": {"/boot/extlinux/extlinux.conf": EXTLINUX},
    "u-boot-menu": {
        "/boot/extlinux/extlinux.conf": EXTLINUX,
        "/usr/sbin/u-boot-update": UPDATE,
        "/etc/default/u-boot": '#U_BOOT_UPDATE="true"\nU_BOOT_FDT_OVERLAYS="a.dtbo"\n',
    },
    "l4t": {"/boot/extlinux/extlinux.conf": L4T},
    "armbian": {"/boot/armbianEnv.txt": ARMBIAN},
    "uenv": {"/boot/uEnv.txt": UENV},
    "ti": {"/run/media/boot-mmcblk1p1/uEnv.txt": "# TI\nname_overlays=ti/a.dtbo\n"},
    "toradex": {"/media/BOOT/overlays.txt": "fdt_overlays=a.dtbo\n"},
    "raspberrypi": {
        "/boot/firmware/config.txt": "arm_64bit=1\n[pi4]\narm_boost=1\n",
        "/boot/firmware/start4.elf": "",
    },
    "systemd-boot": {
        "/boot/efi/loader/entries/debian-6.12.1.conf": ENTRY,
        "/boot/efi/loader/entries/debian-6.1.0.conf": ENTRY.replace("6.12.1", "6.1.0"),
        "/boot/efi/EFI/systemd/systemd-bootaa64.efi": "",
    },
    "grub": {"/boot/grub/grub.cfg": GRUB},
    "flash-kernel": {
        "/usr/sbin/flash-kernel": "",
        "/usr/share/flash-kernel/db/all.db": FLASH_KERNEL,
        "/etc/flash-kernel/machine": "QEMU virt\n",
        "/boot/vmlinuz-6.12.1": "",
        "/boot/vmlinuz-6.2.0": "",
    },
    "fit": {},
    "dtb": {},
}
#: Where each has the tree that it loads.
TREES = {
    "extlinux": "/boot/dtbs/board.dtb",
    "u-boot-menu": "/boot/dtbs/board.dtb",
    "l4t": "/boot/dtb/board.dtb",
    "armbian": "/boot/dtb/rockchip/board.dtb",
    "uenv": "/boot/dtbs/6.12.1-ti/board.dtb",
    "ti": "/boot/dtb/ti/board.dtb",
    "toradex": "/media/BOOT/board.dtb",
    "raspberrypi": "/boot/firmware/bcm2711-board.dtb",
    "systemd-boot": "/boot/efi/debian/6.12.1/board.dtb",
    "grub": "/boot/dtb-6.12.1",
    "flash-kernel": "/usr/lib/linux-image-6.12.1/vendor/board.dtb",
    "fit": "/boot/fitImage",
    "dtb": "/boot/board.dtb",
}
LOADERS = tuple(_FILES)
#: Those that get a merged tree.
MERGING = ("systemd-boot", "grub", "flash-kernel", "fit", "dtb")


def prepare(machine: Machine, loader: str) -> None:
    """Make the machine boot by *loader*."""
    for path, text in _FILES[loader].items():
        machine.write(path, text).chmod(0o640)
    if loader in MERGING:
        put_tree(machine, loader, dtc(BASE)).chmod(0o600)


def put_tree(machine: Machine, loader: str, tree: bytes) -> Path:
    """Give the loader's tree another content, as a kernel update does."""
    return machine.write(TREES[loader], fit(tree) if loader == "fit" else tree)


def taken(address: str = "70000000") -> bytes:
    """The overlay TAKEN, or one that reserves memory at another address."""
    return dtc(TAKEN.replace("70000000", address), "-q")


def fit(tree: bytes, *options: str, source: str = "") -> bytes:
    """A FIT image with *tree* in the configuration conf-board."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "kernel").write_bytes(bytes(range(256)) * 8)
        (folder / "board.dtb").write_bytes(tree)
        (folder / "other.dtb").write_bytes(dtc(OTHER, "-q"))
        (folder / "image.its").write_text(source or FIT)
        command = ["mkimage", *options, "-f", "image.its", "image.fit"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "image.fit").read_bytes()


def options(loader: str) -> list[str]:
    return ["--dtb", "/boot/board.dtb"] if loader == "dtb" else []


def how(loader: str) -> installed.How:
    return installed.How(dtb="/boot/board.dtb" if loader == "dtb" else None)


def install(machine: Machine, how: installed.How | None = None) -> bool:
    return installer.install(
        machine.host,
        machine.board,
        how or installed.How(),
        dry_run=False,
        report=lambda _: None,
    )


def uninstall(machine: Machine, *, force: bool = False) -> bool:
    return installer.uninstall(
        machine.host, "qemu-virt", force=force, dry_run=False, report=lambda _: None
    )


def snapshot(machine: Machine, *, records: bool = True) -> dict[str, Any]:
    """All files with their content, mode and time of change; directories with their mode.

    Without rslctl's *records*, what is in /var is left out.
    """
    found: dict[str, Any] = {}
    for path in sorted(machine.root.rglob("*")):
        name = str(path.relative_to(machine.root))
        if name.partition("/")[0] == "var" and not records:
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


_MARKS = {each: [needs_dtc] for each in MERGING} | {"fit": [needs_dtc, needs_mkimage]}
every_loader = [pytest.param(each, marks=_MARKS.get(each, [])) for each in LOADERS]
#: After how many changes of files a work is killed the next time: each one for two loaders.
STEPS = {each: 1 if each in ("extlinux", "dtb") else 2 for each in LOADERS}

_EVENTS = {"os.chmod", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime"}
_WRITES = os.O_WRONLY | os.O_RDWR


def killed(at: int, work: Callable[[], object]) -> bool:
    """Do *work* in a process that is killed before it changes a file for the *at*-th time.

    False if it was done before that.
    """
    child = os.fork()
    if not child:
        left = at

        def touched(event: str, words: tuple[Any, ...]) -> None:
            nonlocal left
            # Host names a file by its last part and its directory's descriptor.
            if event in _EVENTS or (event == "open" and words[2] & _WRITES):
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
    return [each for each in machine.path(transaction.STATE).rglob("*") if each.is_file()]
