# SPDX-License-Identifier: BSD-3-Clause
"""FIT images: a merged tree put into a configuration."""

from __future__ import annotations

import hashlib

import pytest
from rslctl.devicetree import tree
from rslctl.errors import RslError

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    FIT,
    TAKEN,
    TREES,
    fit,
    install,
    prepare,
    rslctl_install,
    snapshot,
    uninstall,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc, needs_mkimage

pytestmark = [needs_dtc, needs_mkimage]
IMAGE = TREES["fit"]
NEW = "/images/fdt-rslctl-qemu-virt"


def images(blob: bytes) -> dict[str, bytes]:
    """The images of a FIT image, inside or behind it, whose sums were checked."""
    parsed = tree.from_blob(blob, "image")
    end = (int.from_bytes(blob[4:8], "big") + 3) & ~3
    found = {}
    for path, properties in parsed.nodes.items():
        if "data-offset" in properties:
            assert "data" not in properties
            at = end + parsed.cell(path, "data-offset", 0)
            found[path] = blob[at : at + parsed.cell(path, "data-size", 0)]
        elif "data" in properties:
            found[path] = properties["data"]
        if parsed.texts(f"{path}/hash-1", "algo") == ["sha256"]:
            assert parsed.nodes[f"{path}/hash-1"]["value"] == hashlib.sha256(found[path]).digest()
    return found


@pytest.mark.parametrize("options", [(), ("-E",)])
def test_the_configuration_of_the_board_gets_the_merged_tree(
    machine: Machine, options: tuple[str, ...]
) -> None:
    machine.write(IMAGE, fit(dtc(BASE), *options))
    old = images(machine.host.read(IMAGE))
    install(machine)
    blob = machine.host.read(IMAGE)
    new = images(blob)
    assert "/rsl-mbox@8020040" in tree.from_blob(new.pop(NEW), "merged")
    assert new == old
    parsed = tree.from_blob(blob, "image")
    assert parsed.texts("/configurations/conf-board", "fdt") == ["fdt-rslctl-qemu-virt"]
    assert parsed.texts("/configurations/conf-other", "fdt") == ["fdt-other"]
    assert parsed.texts(NEW, "arch") == ["arm64"]
    assert ("data-offset" in parsed.nodes[NEW]) == bool(options)


def test_an_image_of_a_new_kernel_gets_it_again(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "fit")
    install(machine)
    machine.write(IMAGE, fit(dtc(BASE)))
    before = snapshot(machine, records=False)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert NEW in images(machine.host.read(IMAGE))
    uninstall(machine)
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'fdt = "fdt-board"; }',
            'fdt = "fdt-board"; signature-1 { }; }',
            "fitImage' is signed (/co",
        ),
        (
            "linux,dummy-virt",
            "a,b",
            "no configuration has a tree of this board; it has those of a,b, ",
        ),
        ('kernel = "kernel-1";', "", "has no configuration with a kernel and a tree"),
    ],
)
def test_an_image_that_cannot_have_it_is_refused(
    machine: Machine,
    rslctl: Rslctl,
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    message: str,
) -> None:
    monkeypatch.setattr("tests.unit.boot.support.FIT", FIT.replace(old, new))
    machine.write(IMAGE, fit(dtc(BASE.replace(old, new))))
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert message in err
    assert snapshot(machine) == before


def test_overlays_of_the_configuration_are_applied_before_the_check(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FIT.replace('fdt = "fdt-board";', 'fdt = "fdt-board", "fdt-other";')
    monkeypatch.setattr("tests.unit.boot.support.FIT", other)
    monkeypatch.setattr("tests.unit.boot.support.OTHER", TAKEN)
    machine.write(IMAGE, fit(dtc(BASE)))
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err.startswith("rslctl: /boot/fitImage#conf-board + fitImage#fdt-other: overlap: rpu0: ")


def test_an_extlinux_conf_that_boots_the_image_leaves_the_tree_to_it(machine: Machine) -> None:
    prepare(machine, "fit")
    conf = machine.write("/boot/extlinux/extlinux.conf", "label a\n\tkernel /fitImage#conf-board\n")
    before = snapshot(machine)
    install(machine)
    assert NEW in images(machine.host.read(IMAGE))
    uninstall(machine)
    assert snapshot(machine) == before
    conf.write_text("label a\n\tkernel /fitImage\n\tfdt /x.dtb\n")
    with pytest.raises(RslError, match="several boot loaders fit: extlinux, fit"):
        install(machine)


def test_a_file_of_another_kind_is_told(machine: Machine, rslctl: Rslctl) -> None:
    machine.write(IMAGE, b"\x27\x05\x19\x56")
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "rslctl: fit: /boot/fitImage is no FIT image; there is no /boot/firmware/fitI" in err


@pytest.mark.parametrize(
    ("options", "left", "said"),
    [
        ((), 4, "fit: /boot/fitImage is cut short: its header says 40 bytes, it has 4; there is"),
        ((), 600, "fit: /boot/fitImage is cut short: its header says {size} bytes, it has 600; "),
        ((), -1, "fit: /boot/fitImage is cut short: its header says {size} bytes, it has {left};"),
        (("-E",), -1, "/boot/fitImage' is cut short: /images/fdt-board ends at byte {whole}, it "),
    ],
)
def test_an_image_that_is_cut_short_is_told(
    machine: Machine, rslctl: Rslctl, options: tuple[str, ...], left: int, said: str
) -> None:
    data = fit(dtc(BASE), *options)
    whole = len(data)
    if options:
        parsed, path = tree.from_blob(data, "image"), "/images/fdt-board"
        start = int.from_bytes(data[4:8], "big") + 3 & ~3
        whole = start + parsed.cell(path, "data-offset", 0) + parsed.cell(path, "data-size", 0)
    machine.write(IMAGE, data[:whole][:left])
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    text = said.format(size=int.from_bytes(data[4:8], "big"), whole=whole, left=whole - 1)
    assert (status, text in err) == (1, True), err
    assert snapshot(machine) == before


def test_of_configurations_with_the_same_tree_the_default_one_gets_it(machine: Machine) -> None:
    same = FIT.replace('default = "conf-other"', 'default = "conf-board"').replace(
        "conf-board { kernel",
        'conf-again { kernel = "kernel-1"; fdt = "fdt-board"; };\n\t\tconf-board { kernel',
    )
    last = same.replace("conf-again", "conf-zz")
    for source in (same, last):
        machine.write(IMAGE, fit(dtc(BASE), source=source))
        install(machine)
        parsed = tree.from_blob(machine.host.read(IMAGE), "image")
        for path in parsed.nodes:
            if path.startswith("/configurations/"):
                ours = parsed.texts(path, "fdt") == ["fdt-rslctl-qemu-virt"]
                assert ours == path.endswith("/conf-board")
        uninstall(machine)


def test_of_two_configurations_that_boot_neither_by_default_none_is_chosen(
    machine: Machine, rslctl: Rslctl
) -> None:
    source = FIT.replace(
        "conf-board { kernel",
        'conf-again { kernel = "kernel-1"; fdt = "fdt-board"; };\n\t\tconf-board { kernel',
    )
    machine.write(IMAGE, fit(dtc(BASE), source=source))
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "several configurations are for this board: conf-again, conf-board" in err


def test_images_at_fixed_positions_are_told(machine: Machine, rslctl: Rslctl) -> None:
    machine.write(IMAGE, fit(dtc(BASE), "-E", "-p", "0x20000"))
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "has images at fixed positions (/images/" in err
    assert "hint: make the image without -p" in err
