# SPDX-License-Identifier: BSD-3-Clause
"""Where each boot loader takes overlays from."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.boot import loaders, transaction
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    ARMBIAN,
    EXTLINUX,
    FILE,
    UENV,
    UPDATE,
    install,
    prepare,
    rslctl_install,
    snapshot,
    uninstall,
)
from tests.unit.machine import Machine


def test_extlinux_loads_it_for_the_default_label_alone(machine: Machine) -> None:
    prepare(machine, "extlinux")
    install(machine)
    text = machine.host.read("/boot/extlinux/extlinux.conf").decode()
    fdt = "\tfdt /dtbs/board.dtb\n"
    assert text == EXTLINUX.replace(fdt, f"\tfdtoverlays {FILE}\n{fdt}")
    blob = tree.from_blob(machine.host.read(f"/boot/extlinux/{FILE}"), "blob")
    assert "/fragment@0/__overlay__/rsl-mbox@8020040" in blob
    (backup,) = machine.host.path("/var/lib/rslctl/overlay/qemu-virt").glob("[0-9]*")
    assert backup.read_text() == EXTLINUX
    # Who may not read the file may not read what it was either.
    for path in (backup, machine.host.path("/boot/extlinux/extlinux.conf")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_u_boot_menu_gets_a_file_and_a_fragment_that_names_it_in_a_list(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "u-boot-menu")
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert f"to do: run u-boot-update in '{machine.root}'\n" in out
    assert machine.host.exists(f"/boot/dtbo/{FILE}")
    fragment = machine.host.path("/etc/u-boot-menu/conf.d/zz-rslctl-qemu-virt.conf")
    for named, expected in (("", ""), ("a.dtbo b.dtbo", f"a.dtbo b.dtbo {FILE}")):
        script = f'U_BOOT_FDT_OVERLAYS="{named}"; . {fragment}; printf %s "$U_BOOT_FDT_OVERLAYS"'
        assert Host().run(["sh", "-euc", script]) == expected


def test_u_boot_menu_is_asked_where_its_overlays_are(machine: Machine) -> None:
    prepare(machine, "u-boot-menu")
    machine.write("/etc/u-boot-menu/conf.d/1.conf", "U_BOOT_FDT_OVERLAYS_DIR=/boot/x/ # mine\n")
    machine.write("/etc/default/u-boot", 'U_BOOT_FDT_OVERLAYS_DIR="/boot/y"\n')
    install(machine)
    assert machine.host.exists(f"/boot/x/{FILE}")


def test_u_boot_menu_that_is_turned_off_leaves_extlinux_to_its_owner(machine: Machine) -> None:
    prepare(machine, "u-boot-menu")
    machine.write("/etc/default/u-boot", "U_BOOT_UPDATE=false\n")
    assert loaders.choose(loaders.View(machine.host), None).name == "extlinux"


def test_armbian_names_it_among_the_users_own(machine: Machine) -> None:
    prepare(machine, "armbian")
    install(machine)
    text = machine.host.read("/boot/armbianEnv.txt").decode()
    assert text == ARMBIAN.replace("=mine", "=mine rslctl-qemu-virt")
    assert machine.host.exists(f"/boot/overlay-user/{FILE}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", "a=1\nuser_overlays=rslctl-qemu-virt\n"),
        ("a=1\r\n", "a=1\r\nuser_overlays=rslctl-qemu-virt\r\n"),
        ("user_overlays=\r\n", "user_overlays=rslctl-qemu-virt\r\n"),
        ("#user_overlays=x\n", "#user_overlays=x\nuser_overlays=rslctl-qemu-virt\n"),
        ("", "user_overlays=rslctl-qemu-virt\n"),
    ],
)
def test_armbian_gets_the_variable_where_it_has_none(
    machine: Machine, text: str, expected: str
) -> None:
    machine.write("/boot/armbianEnv.txt", text)
    install(machine)
    assert machine.host.read("/boot/armbianEnv.txt").decode() == expected
    uninstall(machine)
    assert machine.host.read("/boot/armbianEnv.txt").decode() == text


def test_uenv_gets_the_first_free_of_the_variables_for_own_overlays(machine: Machine) -> None:
    prepare(machine, "uenv")
    install(machine)
    text = machine.host.read("/boot/uEnv.txt").decode()
    assert text == f"{UENV}uboot_overlay_addr5=/lib/firmware/{FILE}\n"
    assert machine.host.exists(f"/lib/firmware/{FILE}")


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


def test_an_overlay_that_u_boot_makes_no_room_for_is_refused(machine: Machine) -> None:
    prepare(machine, "extlinux")
    loader = loaders.Extlinux(loaders.View(machine.host))
    loader.edit(FILE, bytes(8192))
    with pytest.raises(RslError, match=r"8193 bytes, U-Boot makes room for 8192 \(FDT_ERR_NOSPAC"):
        loader.edit(FILE, bytes(8193))


_WORDS = st.text("abcXYZ019./=-", min_size=1, max_size=8)
_BLANK = st.sampled_from([" ", "\t", "  ", "\t\t"])
_NOISE = st.sampled_from(["", "# fdt no", "\t# label x", "   "])


@st.composite
def _confs(draw: st.DrawFn) -> tuple[str, str]:
    """An extlinux.conf, and the same with the overlay in its default label."""
    names = draw(st.lists(_WORDS, min_size=1, max_size=4, unique=True))
    default = draw(st.sampled_from([None, *names]))
    chosen = default or names[0]
    end = draw(st.sampled_from(["\n", "\r\n"]))
    lines: list[str] = draw(st.lists(_NOISE, max_size=2))
    if default:
        lines.append(f"DEFAULT{draw(_BLANK)}{default}")
    expected = list(lines)
    for name in names:
        both = [f"label{draw(_BLANK)}{name}"]
        keys = draw(st.permutations(["linux", "append", "initrd", "menu label"]))
        at = draw(st.integers(0, 4))
        overlays = draw(st.booleans())
        for number, key in enumerate([*keys[:at], "fdt", *keys[at:]]):
            indent = draw(st.sampled_from(["", "\t", "  "]))
            word = draw(st.sampled_from(["fdt", "fdtdir", "FDT", "devicetree"]))
            both.append(f"{indent}{word if key == 'fdt' else key}{draw(_BLANK)}{draw(_WORDS)}")
            if number == at and overlays:
                both.append(f"{indent}fdtoverlays{draw(_BLANK)}{draw(_WORDS)}.dtbo")
            if number == at:
                here, own = len(both), indent
            both += draw(st.lists(_NOISE, max_size=1))
        lines += both
        if name == chosen and overlays:
            both = [*both[: here - 1], f"{both[here - 1]} {FILE}", *both[here:]]
        elif name == chosen:
            both = [*both[: here - 1], f"{own}fdtoverlays {FILE}", *both[here - 1 :]]
        expected += both
    last = draw(st.sampled_from(["", end]))
    return end.join(lines) + last, end.join(expected) + last


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(_confs())
def test_any_extlinux_conf_gets_one_file_and_is_back_byte_for_byte(confs: tuple[str, str]) -> None:
    given, expected = confs
    with tempfile.TemporaryDirectory() as directory:
        machine = Machine(Path(directory))
        conf = machine.write("/boot/extlinux/extlinux.conf", given)
        before = snapshot(machine)
        install(machine)
        assert conf.read_bytes().decode() == expected
        uninstall(machine)
        assert snapshot(machine) == before
