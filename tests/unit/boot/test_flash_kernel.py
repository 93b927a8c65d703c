# SPDX-License-Identifier: BSD-3-Clause
"""flash-kernel, which prefers trees of the administrator's."""

from __future__ import annotations

import os

import pytest
from rslctl.boot.flash_kernel import FlashKernel
from rslctl.boot.view import View
from rslctl.devicetree import tree
from rslctl.errors import RslError
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    FLASH_KERNEL,
    TREES,
    install,
    prepare,
    rslctl_install,
    snapshot,
    uninstall,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

OWN = "/etc/flash-kernel/dtbs/board.dtb"


@needs_dtc
def test_it_gets_the_newest_kernels_tree_merged_among_the_administrators(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "flash-kernel")
    status, out, _ = rslctl_install(machine, rslctl)
    assert status == 3
    assert f"to do: run env FLASH_KERNEL_NOTRIGGER=1 flash-kernel in '{machine.root}'\n" in out
    assert "/rsl-mbox@8020040" in tree.from_blob(machine.host.read(OWN), OWN)
    # A newer kernel.
    machine.write("/boot/vmlinuz-6.13.0", "")
    new = dtc(BASE.replace("// more", "new { };"))
    machine.write("/usr/lib/linux-image-6.13.0/vendor/board.dtb", new)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert "/new" in tree.from_blob(machine.host.read(OWN), OWN)


@needs_dtc
def test_a_tree_of_the_administrators_is_merged_and_comes_back(machine: Machine) -> None:
    prepare(machine, "flash-kernel")
    machine.write(OWN, dtc(BASE.replace("// more", "mine { };")))
    before = snapshot(machine)
    install(machine)
    assert "/mine" in tree.from_blob(machine.host.read(OWN), OWN)
    assert "/rsl-mbox@8020040" in tree.from_blob(machine.host.read(OWN), OWN)
    uninstall(machine)
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"/etc/flash-kernel/machine": "None\n"}, "does not know the machine 'None'"),
        ({"/sys/firmware/efi/x": ""}, "does nothing on a machine with EFI"),
        (
            {"/etc/flash-kernel/db": "Machine: X\nMethod: pi\n", "/etc/flash-kernel/machine": "X"},
            "leaves the tree to the firmware (raspberrypi)",
        ),
        ({"/etc/flash-kernel/db": "Machine: X\n", "/etc/flash-kernel/machine": "X"}, "has no tree"),
    ],
)
@needs_dtc
def test_why_it_is_not_the_loader_is_told(
    machine: Machine, files: dict[str, str], reason: str
) -> None:
    prepare(machine, "flash-kernel")
    for path, text in files.items():
        machine.write(path, text)
    assert reason in FlashKernel(View(machine.host)).missing()


@needs_dtc
def test_a_machine_whose_tree_a_script_finds_is_refused(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "flash-kernel")
    table = FLASH_KERNEL.replace("DTB-Id: board.dtb", "DTB-Id: !probe")
    machine.write("/usr/share/flash-kernel/db/all.db", table)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "flash-kernel asks the script 'probe' for this machine's tree" in err


@needs_dtc
def test_what_flash_kernel_copied_is_looked_at(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plays /usr/sbin/flash-kernel (handle_dtb in functions); it leaves out all but the copy."""
    prepare(machine, "flash-kernel")
    copy = machine.write("/boot/dtb-6.12.1", machine.host.read(TREES["flash-kernel"]))
    time = copy.stat().st_mtime_ns
    before = snapshot(machine)
    works = False

    def run(_: Host, command: tuple[str, ...], **__: str) -> str:
        assert command[-1] == "flash-kernel"
        own = machine.host.exists(OWN) and works
        copy.write_bytes(machine.host.read(OWN if own else TREES["flash-kernel"]))
        os.utime(copy, ns=(time, time))
        return ""

    monkeypatch.setattr(Host, "run", run)
    monkeypatch.setattr(Host, "live", True)
    with pytest.raises(RslError, match=r"did not copy the merged tree.*; nothing of the"):
        install(machine)
    assert snapshot(machine) == before
    works = True
    assert install(machine)
    assert copy.read_bytes() == machine.host.read(OWN)
    uninstall(machine)
    assert snapshot(machine) == before
