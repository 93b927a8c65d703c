# SPDX-License-Identifier: BSD-3-Clause
"""Where each boot loader takes overlays from."""

from __future__ import annotations

import pytest
from rslctl.boot import transaction

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    EXTLINUX,
    UENV,
    UPDATE,
    rslctl_install,
    snapshot,
)
from tests.unit.machine import Machine


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, [], "rslctl: extlinux: there is no /boot/extlinux/extlinux.conf, /boot/firmware/ext"),
        (
            {"/boot/uEnv.txt": "a=1\n"},
            [],
            "has no boot loader that takes overlays or a merged tree\nrslctl: extlinux: there is",
        ),
        (
            {"/boot/uEnv.txt": "a=1\n"},
            [],
            "rslctl: uenv: /boot/uEnv.txt has no enable_uboot_overlays= (BeagleBoard.org); "
            "there is no /boot/firmware/uEnv.txt,",
        ),
        (
            {"/boot/armbianEnv.txt": "", "/boot/extlinux/extlinux.conf": EXTLINUX},
            [],
            "several boot loaders fit: extlinux, armbian\nhint: say with --loader NAME",
        ),
        ({}, ["--loader", "armbian"], "does not boot by armbian: there is no /boot/armbianE"),
        (
            {"/boot/extlinux/extlinux.conf": EXTLINUX.replace("\tfdt /", "\t#fdt /")},
            [],
            "label 'main' has neither fdt nor fdtdir: U-Boot ignores overlays without",
        ),
        (
            {"/boot/extlinux/extlinux.conf": "default x\n"},
            [],
            "extlinux.conf' has no label",
        ),
        (
            {"/boot/uEnv.txt": "#enable_uboot_overlays=1\n"},
            [],
            "overlays are not enabled\nhint: enable_uboot_overlays=1",
        ),
        (
            {"/boot/uEnv.txt": UENV + "".join(f"uboot_overlay_addr{n}=x\n" for n in range(8))},
            [],
            "uboot_overlay_addr4 to uboot_overlay_addr7 are all in use",
        ),
        (
            {"/usr/sbin/u-boot-update": "#!/bin/sh\n"},
            [],
            "u-boot-update' is too old for overlays",
        ),
        (
            {
                "/usr/sbin/u-boot-update": UPDATE,
                "/etc/default/u-boot": "U_BOOT_FDT_OVERLAYS_DIR=$HOME/x\n",
            },
            [],
            "cannot tell U_BOOT_FDT_OVERLAYS_DIR from 'U_BOOT_FDT_OVERLAYS_DIR=$HOME/x'",
        ),
        ({}, ["--dtb", "/boot/no.dtb"], "--dtb: there is no '"),
        ({"/boot/x.dtb": "no tree"}, ["--dtb", "/boot/x.dtb"], "is not a device tree blob"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    machine: Machine, rslctl: Rslctl, files: dict[str, str], arguments: list[str], message: str
) -> None:
    for name, text in files.items():
        machine.write(name, text)
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl, *arguments)
    assert status == 1
    assert message in err
    assert snapshot(machine) == before
    assert transaction.names(machine.host) == []
