# SPDX-License-Identifier: BSD-3-Clause
"""Overlays on a running kernel whose interface is a directory, error paths above all."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from rslctl.boot import live, transaction
from rslctl.devicetree import nodes, overlay, tree
from rslctl.errors import SeveralError
from rslctl.linux.host import DEVICE_TREE, Host
from rslctl.profile import model, reader
from rslctl.profile.model import NodeRef

from tests.command_line import Rslctl
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

OVERLAYS = "/sys/kernel/config/device-tree/overlays"
#: What the tree of board qemu-virt has without its overlay, its memory reserved.
TREE: dict[str, dict[str, bytes]] = {
    "": {
        "compatible": b"linux,dummy-virt\0",
        "#address-cells": bytes([0, 0, 0, 2]),
        "#size-cells": bytes([0, 0, 0, 2]),
        "interrupt-parent": bytes([0, 0, 0, 1]),
    },
    "/intc@8000000": {
        "phandle": bytes([0, 0, 0, 1]),
        "compatible": b"arm,gic-400\0",
        "#interrupt-cells": bytes([0, 0, 0, 3]),
        "#address-cells": bytes([0, 0, 0, 2]),
        "#size-cells": bytes([0, 0, 0, 2]),
        "ranges": b"",
    },
    "/intc@8000000/v2m@8020000": {"reg": bytes.fromhex("00000000080200000000000000001000")},
    "/reserved-memory": {
        "#address-cells": bytes([0, 0, 0, 2]),
        "#size-cells": bytes([0, 0, 0, 2]),
        "ranges": b"",
    },
    "/reserved-memory/a@70000000": {
        "reg": bytes.fromhex("00000000700000000000000001000000"),
        "no-map": b"",
        "phandle": bytes([0, 0, 0, 9]),
    },
    "/reserved-memory/b@50000000": {
        "reg": bytes.fromhex("00000000500000000000000000200000"),
        "no-map": b"",
    },
}


@dataclass
class Kernel:
    """Plays the interface of a vendor's kernel, tests/kmod/rsl_of_configfs: overlays_make(),
    and the removal of an overlay's directory. *answers* is what a new overlay says of itself.

    It leaves out that "dtbo" is applied at its close, and that an applied overlay takes no other.
    """

    directory: Path
    answers: str = "applied"
    dtbo: bool = True
    keeps: bool = False

    def mkdir(self, path: Path) -> None:
        path.mkdir()
        (path / "status").write_text(f"{self.answers}\n")
        if self.dtbo:
            (path / "dtbo").touch()

    def rmdir(self, path: Path) -> None:
        if not self.keeps:
            shutil.rmtree(path)


@pytest.fixture
def kernel(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    for path, properties in TREE.items():
        for key, value in properties.items():
            machine.write(f"{DEVICE_TREE}{path}/{key}", value)
    made = Kernel(machine.path(OVERLAYS))
    made.directory.mkdir(parents=True)
    make_directory = Host.make_directory

    def mkdir(host: Host, name: str, mode: int = 0o777) -> None:
        if name.startswith(f"{OVERLAYS}/"):
            made.mkdir(Path(host.where(name)))
        else:
            make_directory(host, name, mode)

    monkeypatch.setattr(Host, "make_directory", mkdir)
    monkeypatch.setattr(
        Host, "remove_directory", lambda host, name: made.rmdir(Path(host.where(name)))
    )
    return made


def run(rslctl: Rslctl, machine: Machine, command: str, *more: str) -> tuple[int, str, str]:
    return rslctl("overlay", command, "--board", "qemu-virt", "--root", machine.root, *more)


def test_an_overlay_is_applied_listed_and_removed(
    machine: Machine, kernel: Kernel, rslctl: Rslctl
) -> None:
    assert run(rslctl, machine, "apply") == (0, "overlay qemu-virt: applied\n", "")
    assert run(rslctl, machine, "apply") == (0, "overlay qemu-virt: already applied\n", "")
    status, out, _ = rslctl("overlay", "list", "--json", "--root", machine.root)
    assert (status, json.loads(out)) == (
        0,
        [{"name": "qemu-virt", "where": "kernel", "state": "applied", "files": []}],
    )
    assert run(rslctl, machine, "remove") == (0, "overlay qemu-virt: removed\n", "")
    assert not list(kernel.directory.iterdir())
    assert run(rslctl, machine, "remove") == (0, "overlay qemu-virt: already removed\n", "")


def test_what_the_kernel_gets_refers_to_the_memory_that_boot_reserved(
    machine: Machine, kernel: Kernel
) -> None:
    live.apply(machine.host, machine.board)
    blob = tree.from_blob((kernel.directory / "qemu-virt/dtbo").read_bytes(), "blob")
    assert "/__symbols__" not in blob  # a tree without labels takes none
    root = "/fragment@0/__overlay__"
    assert blob.texts("/fragment@0", "target-path") == ["/"]
    assert blob.cells(f"{root}/rsl-mbox@8020040", "memory-region") == (9,)
    assert f"{root}/reserved-memory" not in blob
    assert blob.nodes[root] == {}
    assert "/__local_fixups__" not in blob
    assert blob.texts("/fragment@1/__overlay__", "status") == ["disabled"]


@needs_dtc
def test_what_the_kernel_gets_makes_the_tree_that_the_profile_asks_for(machine: Machine) -> None:
    reserved = """reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges;
        memory@70000000 { reg = <0 0x70000000 0 0x1000000>; no-map; phandle = <7>; };
        firmware@50000000 { reg = <0 0x50000000 0 0x200000>; no-map; }; };"""
    base = dtc(BASE.replace("// more", reserved))
    for path, properties in tree.from_blob(base, "base").nodes.items():
        for key, value in properties.items():
            machine.write(f"{DEVICE_TREE}{path}/{key}", value)
    made = live.make(machine.host, machine.board)
    merged = tree.from_blob(overlay.merge(made, base), "merged")
    assert overlay.unlike(machine.board, merged) == []
    assert overlay.unlike(machine.board, tree.from_machine(machine.host)) != []


def test_a_status_that_the_tree_has_already_is_not_changed(
    machine: Machine, kernel: Kernel
) -> None:
    machine.write(f"{DEVICE_TREE}/intc@8000000/v2m@8020000/status", b"disabled\0")
    made = live.make(machine.host, machine.board)
    assert [each.path for each in made.fragments] == ["/"]
    assert kernel.directory.is_dir()


def test_a_dry_run_writes_nothing(machine: Machine, kernel: Kernel, rslctl: Rslctl) -> None:
    assert run(rslctl, machine, "apply", "--dry-run")[:2] == (0, "overlay qemu-virt: would apply\n")
    assert not list(kernel.directory.iterdir())
    run(rslctl, machine, "apply")
    assert run(rslctl, machine, "remove", "--dry-run")[1] == "overlay qemu-virt: would remove\n"
    assert (kernel.directory / "qemu-virt").is_dir()


def test_a_kernel_without_the_interface_is_told_with_its_path(
    machine: Machine, rslctl: Rslctl
) -> None:
    for command in ("apply", "remove"):
        status, _, err = run(rslctl, machine, command)
        assert status == 1
        assert f"there is no '{machine.path(OVERLAYS)}'\nhint: rslctl overlay install" in err


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("/reserved-memory/a@70000000/no-map", "link 'rpu0': memory at 0x70000000, 0x1000000 byte"),
        ("/reserved-memory/b@50000000/reg", "link 'rpu0': firmware at 0x50000000, 0x200000 bytes"),
        ("/reserved-memory/a@70000000/phandle", "/reserved-memory/a@70000000 has no phandle, and"),
    ],
)
def test_what_is_only_done_at_boot_is_refused_before_anything_is_written(
    machine: Machine, kernel: Kernel, rslctl: Rslctl, file: str, message: str
) -> None:
    machine.path(DEVICE_TREE + file).unlink()
    status, _, err = run(rslctl, machine, "apply")
    assert status == 1
    assert err.startswith(f"rslctl: {message}")
    assert "hint: rslctl overlay install --board qemu-virt, and reboot\n" in err
    assert not list(kernel.directory.iterdir())


def bind(machine: Machine, path: str) -> None:
    device = machine.write("/sys/bus/platform/devices/x/uevent", "").parent
    (device / "of_node").symlink_to(machine.path(DEVICE_TREE + path))
    (device / "driver").symlink_to(machine.root)


def test_a_node_whose_device_has_a_driver_is_not_disabled(
    machine: Machine, kernel: Kernel, rslctl: Rslctl
) -> None:
    bind(machine, "/intc@8000000/v2m@8020000")
    status, _, err = run(rslctl, machine, "apply")
    assert status == 1
    assert err.startswith("rslctl: /intc@8000000/v2m@8020000 has a driver already, and would have")
    assert not list(kernel.directory.iterdir())


def test_a_mailbox_controller_that_has_a_driver_gets_no_sub_nodes(machine: Machine) -> None:
    am64 = reader.load("am642-evm")
    (link,) = am64.links
    assert isinstance(link.by, model.Fifos)
    path = link.by.controller.paths[0]
    machine.write(f"{DEVICE_TREE}{path}/status", b"okay\0")
    bind(machine, path)
    with pytest.raises(SeveralError) as error:
        live.make(machine.host, am64)
    assert any(
        f"mailbox controller {path} has a driver al" in each for each in error.value.messages
    )


def test_a_node_of_the_tree_without_a_phandle_cannot_be_given_one(
    machine: Machine, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = overlay.build(machine.board)
    target = NodeRef(paths=("/intc@8000000",))
    label = nodes.Fragment(target, nodes.Node("", (), label="_base0"))
    given = nodes.Overlay("", (*made.fragments, label))
    monkeypatch.setattr(overlay, "for_base", lambda *_: given)
    with pytest.raises(SeveralError, match="/intc@8000000 has no phandle, and a run-t"):
        live.make(machine.host, machine.board)
    assert kernel.directory.is_dir()


def test_what_does_not_fit_the_running_tree_is_refused(
    machine: Machine, kernel: Kernel, rslctl: Rslctl
) -> None:
    machine.write(f"{DEVICE_TREE}/dev/interrupts", bytes.fromhex("000000000000005100000004"))
    status, _, err = run(rslctl, machine, "apply")
    assert status == 1
    assert "the running device tree: interrupt: rpu0: SPI 81 is used by /dev" in err
    assert not list(kernel.directory.iterdir())


@pytest.mark.parametrize("dtbo", [True, False])
def test_an_overlay_that_the_kernel_does_not_take_leaves_nothing(
    machine: Machine, kernel: Kernel, rslctl: Rslctl, dtbo: bool
) -> None:
    kernel.answers, kernel.dtbo = "unapplied", dtbo
    status, _, err = run(rslctl, machine, "apply")
    assert status == 1
    assert ("status' is 'unapplied'" if dtbo else "dtbo': No such file") in err
    assert "hint: the kernel log (dmesg) says why\n" in err
    assert not list(kernel.directory.iterdir())


def test_what_a_killed_apply_left_is_in_nobodys_way(
    machine: Machine, kernel: Kernel, rslctl: Rslctl
) -> None:
    kernel.answers = "unapplied"
    kernel.mkdir(kernel.directory / "qemu-virt")
    kernel.answers = "applied"
    assert run(rslctl, machine, "apply")[:2] == (0, "overlay qemu-virt: applied\n")


def test_an_overlay_that_stays_is_told(machine: Machine, kernel: Kernel, rslctl: Rslctl) -> None:
    run(rslctl, machine, "apply")
    kernel.keeps = True
    status, _, err = run(rslctl, machine, "remove")
    assert status == 1
    assert "rslctl: the kernel still has" in err


def test_an_overlay_whose_link_is_up_is_not_removed(
    machine: Machine, kernel: Kernel, rslctl: Rslctl
) -> None:
    run(rslctl, machine, "apply")
    machine.write("/run/rslctl/rpu0.json", '{"link": "rpu0", "entries": []}')
    status, _, err = run(rslctl, machine, "remove")
    assert status == 1
    assert "link 'rpu0' of the overlay is set up\nhint: rslctl teardown --link rpu0" in err
    assert (kernel.directory / "qemu-virt").is_dir()


def test_a_machine_that_was_booted_with_the_overlay_needs_none(
    tmp_path: Path, rslctl: Rslctl
) -> None:
    machine = Machine(tmp_path).with_device_tree()
    machine.path(OVERLAYS).mkdir(parents=True)
    assert run(rslctl, machine, "apply")[:2] == (0, "overlay qemu-virt: already applied\n")
    assert machine.host.names(OVERLAYS) == []
    assert transaction.names(machine.host) == []
