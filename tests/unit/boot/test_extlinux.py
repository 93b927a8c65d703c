# SPDX-License-Identifier: BSD-3-Clause
"""extlinux.conf: whose label gets the overlay, and how."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.boot import loaders
from rslctl.boot.extlinux import Extlinux
from rslctl.boot.view import View
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    EXTLINUX,
    FILE,
    L4T,
    install,
    prepare,
    rslctl_install,
    snapshot,
    taken,
    uninstall,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc


def test_extlinux_loads_it_for_the_default_label_alone(machine: Machine) -> None:
    prepare(machine, "extlinux")
    install(machine)
    text = machine.host.read("/boot/extlinux/extlinux.conf").decode()
    fdt = "\tfdt /dtbs/board.dtb\n"
    assert text == EXTLINUX.replace(fdt, f"\tfdtoverlays {FILE}\n{fdt}")
    blob = tree.from_blob(machine.host.read(f"/boot/extlinux/{FILE}"), "blob")
    assert "/fragment@0/__overlay__/rsl-mbox@8020040" in blob
    (backup,) = machine.path("/var/lib/rslctl/overlay/qemu-virt").glob("[0-9]*")
    assert backup.read_text() == EXTLINUX
    # Who may not read the file may not read what it was either.
    for path in (backup, machine.path("/boot/extlinux/extlinux.conf")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_u_boot_menu_gets_a_file_and_a_fragment_that_names_it_in_a_list(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "u-boot-menu")
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert f"to do: run u-boot-update in '{machine.root}'\n" in out
    assert machine.host.exists(f"/boot/dtbo/{FILE}")
    fragment = machine.path("/etc/u-boot-menu/conf.d/zz-rslctl-qemu-virt.conf")
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
    assert loaders.choose(View(machine.host), None).name == "extlinux"


def test_an_overlay_that_u_boot_makes_no_room_for_is_refused(machine: Machine) -> None:
    prepare(machine, "extlinux")
    loader = Extlinux(View(machine.host))
    loader.edit(FILE, bytes(8192))
    with pytest.raises(RslError, match=r"8193 bytes, U-Boot makes room for 8192 \(FDT_ERR_NOSPAC"):
        loader.edit(FILE, bytes(8193))


@pytest.mark.parametrize("folder", ["/boot/firmware", "/efi", "/media/BOOT", "/run/media/mmc"])
@needs_dtc
def test_extlinux_is_found_wherever_its_partition_is_mounted(
    machine: Machine, rslctl: Rslctl, folder: str
) -> None:
    conf = machine.write(f"{folder}/extlinux/extlinux.conf", EXTLINUX)
    machine.write(f"{folder}/dtbs/board.dtb", dtc(BASE.replace("linux,dummy-virt", "x,y")))
    machine.write("/dtbs/board.dtb", dtc(BASE))
    status, _, err = rslctl_install(machine, rslctl)
    assert (status, err.splitlines()[0]) == (
        1,
        f"rslctl: {folder}/dtbs/board.dtb: compatible: it is for x,y, board 'qemu-virt' is "
        "linux,dummy-virt",
    )
    machine.write(f"{folder}/dtbs/board.dtb", dtc(BASE))
    assert rslctl_install(machine, rslctl)[0] == 3
    assert f"fdtoverlays {FILE}\n" in conf.read_text()
    assert machine.host.exists(f"{folder}/extlinux/{FILE}")


@needs_dtc
def test_overlays_that_the_label_has_are_applied_before_the_check(
    machine: Machine, rslctl: Rslctl
) -> None:
    fdt = "\tfdt /dtbs/board.dtb\n"
    conf = EXTLINUX.replace(fdt, f"{fdt}\tfdtoverlays /o/a.dtbo b.dtbo\n")
    machine.write("/boot/extlinux/extlinux.conf", conf)
    machine.write("/dtbs/board.dtb", dtc(BASE))
    machine.write("/boot/o/a.dtbo", taken())
    before = snapshot(machine)
    status, out, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert (
        "rslctl: /dtbs/board.dtb + a.dtbo: overlap: rpu0: memory at 0x70000000, 0x1000000 bytes, "
        "overlaps /reserved-memory/other@70000000" in err
    )
    assert snapshot(machine) == before
    machine.path("/boot/o/a.dtbo").unlink()
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert (
        "note: /boot/extlinux/extlinux.conf names an overlay that is not there: /o/a.dtbo\n" in out
    )


@needs_dtc
def test_an_overlay_of_the_label_that_cannot_be_applied_is_told(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    machine.write(
        "/boot/extlinux/extlinux.conf", EXTLINUX.replace("\tfdt /", "\tfdtoverlays b.dtbo\n\tfdt /")
    )
    machine.write("/dtbs/board.dtb", dtc(BASE))
    by_label = '/dts-v1/; /plugin/; &mu { status = "okay"; };'
    machine.write("/boot/extlinux/b.dtbo", dtc(by_label))
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err.startswith(
        "rslctl: /boot/extlinux/b.dtbo cannot be applied to /dtbs/board.dtb, which has no "
        "__symbols__ (dtc -@): FDT_ERR_NOTFOUND\nhint: the boot loader is told to apply it"
    )


def test_l4t_gets_the_path_in_overlays_beside_fdt(machine: Machine) -> None:
    prepare(machine, "l4t")
    install(machine)
    text = machine.host.read("/boot/extlinux/extlinux.conf").decode()
    fdt = "      FDT /boot/dtb/board.dtb\n"
    assert text == L4T.replace(fdt, f"      OVERLAYS /boot/{FILE}\n{fdt}")
    uninstall(machine)
    machine.write(
        "/boot/extlinux/extlinux.conf", L4T.replace(fdt, f"{fdt}      OVERLAYS /boot/a.dtbo\n")
    )
    install(machine)
    text = machine.host.read("/boot/extlinux/extlinux.conf").decode()
    assert f"      OVERLAYS /boot/a.dtbo,/boot/{FILE}\n" in text
    assert "fdtoverlays" not in text


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"/etc/nv_tegra_release": "# R35 (release), REVISION: 4.1"}, ""),
        ({"/etc/nv_tegra_release": "# R32 (release), REVISION: 7.1"}, "L4T R32 (/etc/nv_tegra_r"),
        ({"/boot/extlinux/extlinux.conf": L4T.replace("FDT", "fdt")}, "label 'primary' has no FDT"),
        ({"/boot/extlinux/extlinux.conf.sig": ""}, "extlinux.conf' is signed"),
        ({"/sys/firmware/devicetree/base/compatible": "x,y\0nvidia,tegra234\0"}, ""),
    ],
)
def test_l4t_is_known_by_its_release_and_refused_where_it_would_take_nothing(
    machine: Machine, rslctl: Rslctl, files: dict[str, str], told: str
) -> None:
    text = L4T if told else L4T.replace("${cbootargs} ", "")
    for path, content in {"/boot/extlinux/extlinux.conf": text, **files}.items():
        machine.write(path, content)
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    assert (status, told in err) == (1 if told else 3, True)
    if told:
        assert snapshot(machine) == before
    else:
        assert b"OVERLAYS /boot/rslctl" in machine.host.read("/boot/extlinux/extlinux.conf")


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


def test_an_empty_list_gets_its_first_name_as_a_word_of_its_own(machine: Machine) -> None:
    prepare(machine, "extlinux")
    for before, after in (("fdtoverlays", ""), ("fdtoverlays \t", " \t"), ("fdtoverlays\r", "\r")):
        text = EXTLINUX.replace("\tfdt /", f"\t{before}\n\tfdt /")
        machine.write("/boot/extlinux/extlinux.conf", text)
        install(machine)
        now = machine.host.read("/boot/extlinux/extlinux.conf").decode()
        assert now == text.replace(before, f"fdtoverlays {FILE}{after}")
        uninstall(machine)


@needs_dtc
def test_another_default_label_gets_it_and_the_one_before_loses_it(
    machine: Machine, rslctl: Rslctl
) -> None:
    """As a kernel update does that adds a label."""
    conf = "/boot/extlinux/extlinux.conf"
    label = "label {0}\n\tlinux /v\n\tfdt /dtbs/board.dtb\n"
    machine.write("/boot/dtbs/board.dtb", dtc(BASE))
    machine.write(conf, "default l1\n" + label.format("l1"))
    install(machine)
    new = "default l2\n" + label.format("l1") + label.format("l2")
    text = machine.host.read(conf).decode().replace("default l1", "default l2")
    machine.write(conf, text + label.format("l2"))
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    status, out, _ = rslctl("overlay", "install", "--root", machine.root)
    assert status == 3
    assert f"{conf} does not have it loaded any more" in out
    wanted = label.replace("\tfdt /", f"\tfdtoverlays {FILE}\n\tfdt /").format("l2")
    assert machine.host.read(conf).decode() == new.replace(label.format("l2"), wanted)
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 0
    uninstall(machine)
    assert machine.host.read(conf).decode() == new
