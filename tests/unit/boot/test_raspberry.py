# SPDX-License-Identifier: BSD-3-Clause
"""Raspberry Pi's config.txt."""

from __future__ import annotations

import pytest
from rslctl.boot.raspberry import Raspberry
from rslctl.boot.view import View

from tests.command_line import Rslctl
from tests.unit.boot.support import FILE, install, prepare, rslctl_install, uninstall
from tests.unit.devicetree.support import dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

CONFIG = "/boot/firmware/config.txt"
COMPATIBLE = "/sys/firmware/devicetree/base/compatible"
PI4 = "raspberrypi,4-model-b\0brcm,bcm2711\0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1\n", "a=1\ndtoverlay=rslctl-qemu-virt\n"),
        ("[pi4]\na=1", "[pi4]\na=1\n[all]\ndtoverlay=rslctl-qemu-virt\n"),
        ("[pi4]\na=1\n[all]\n", "[pi4]\na=1\n[all]\ndtoverlay=rslctl-qemu-virt\n"),
    ],
)
def test_it_gets_a_line_that_counts_for_every_model(
    machine: Machine, text: str, expected: str
) -> None:
    prepare(machine, "raspberrypi")
    machine.write(CONFIG, text)
    install(machine)
    assert machine.host.read(CONFIG).decode() == expected
    assert machine.host.exists(f"/boot/firmware/overlays/{FILE}")


def test_a_config_txt_without_firmware_beside_it_is_no_raspberry_pis(
    machine: Machine, rslctl: Rslctl
) -> None:
    machine.write("/boot/config.txt", "a=1\n")
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "rslctl: raspberrypi: /boot/config.txt has no firmware or trees of a Raspberry" in err


def test_settings_of_other_models_do_not_count(machine: Machine) -> None:
    machine.write(COMPATIBLE, PI4)
    prepare(machine, "raspberrypi")
    machine.write(
        CONFIG,
        "device_tree=a.dtb\n[pi5]\ndevice_tree=b.dtb\n[pi4]\ndtoverlay=four\n[pi3]\n"
        "dtoverlay=three\n[gpio4=1]\ndtoverlay=x\n[all]\n#dtoverlay=no\ndtoverlay=every,p=1\n"
        "dtoverlay=\n",
    )
    for name in ("a.dtb", "b.dtb", *(f"overlays/{x}.dtbo" for x in ("four", "three", "every"))):
        machine.write(f"/boot/firmware/{name}", name)
    loader = Raspberry(View(machine.host))
    assert [part.path for part in loader.trees()] == ["/boot/firmware/a.dtb"]
    assert [part.path for part in loader.overlays(FILE)] == [
        "/boot/firmware/overlays/four.dtbo",
        "/boot/firmware/overlays/every.dtbo",
    ]
    assert f"{CONFIG}: what is under [gpio4=1] was not looked at" in loader.notes
    assert f"{CONFIG}: parameters of every were not applied" in loader.notes


@needs_dtc
def test_the_map_of_overlays_and_the_prefixes_are_followed(machine: Machine) -> None:
    machine.write(COMPATIBLE, PI4)
    prepare(machine, "raspberrypi")
    machine.write(CONFIG, "os_prefix=six/\ndtoverlay=old\ndtoverlay=kms\ndtoverlay=plain\n")
    maps = '/dts-v1/; / { kms { bcm2711 = "kms-pi4"; }; old { renamed = "new"; }; plain { }; };'
    machine.write("/boot/firmware/six/overlays/README", "")
    machine.write("/boot/firmware/six/overlays/overlay_map.dtb", dtc(maps))
    for name in ("kms-pi4", "new", "plain"):
        machine.write(f"/boot/firmware/six/overlays/{name}.dtbo", name)
    found = [part.data for part in Raspberry(View(machine.host)).overlays(FILE)]
    assert found == [b"new", b"kms-pi4", b"plain"]


@needs_dtc
def test_a_line_under_a_filter_of_another_model_does_not_load_it(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "raspberrypi")
    machine.write(COMPATIBLE, PI4)
    before = machine.host.read(CONFIG).decode()
    install(machine)
    line = "dtoverlay=rslctl-qemu-virt\n"
    written = f"{before}[cm5]\n{line}"
    machine.write(CONFIG, written)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert machine.host.read(CONFIG).decode() == f"{before}[cm5]\n[all]\n{line}"
    uninstall(machine)
    assert machine.host.read(CONFIG).decode() == f"{before}[cm5]\n"
