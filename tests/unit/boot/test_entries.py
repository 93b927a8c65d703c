# SPDX-License-Identifier: BSD-3-Clause
"""Menu entries that name a tree: systemd-boot and barebox, GRUB."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.boot.entries import Entries, Grub, version_key
from rslctl.boot.view import View
from rslctl.devicetree import tree

from tests.command_line import Rslctl
from tests.unit.boot.support import (
    ENTRY,
    FILE,
    GRUB,
    TREES,
    install,
    prepare,
    rslctl_install,
    rslctl_uninstall,
    snapshot,
    taken,
)
from tests.unit.devicetree.support import BASE, dtc
from tests.unit.machine import Machine
from tests.unit.programs import needs_dtc

ENTRIES = "/boot/efi/loader/entries"


def merged(machine: Machine, path: str) -> bool:
    return "/rsl-mbox@8020040" in tree.from_blob(machine.host.read(path), path)


@needs_dtc
def test_systemd_boot_gets_a_merged_tree_in_the_entry_that_boots(machine: Machine) -> None:
    prepare(machine, "systemd-boot")
    install(machine)
    text = machine.host.read(f"{ENTRIES}/debian-6.12.1.conf").decode()
    said = "devicetree /debian/6.12.1/"
    assert text == ENTRY.replace(f"{said}board.dtb", f"{said}rslctl-qemu-virt.dtb")
    assert merged(machine, "/boot/efi/debian/6.12.1/rslctl-qemu-virt.dtb")
    assert not merged(machine, TREES["systemd-boot"])


@pytest.mark.parametrize(
    ("conf", "expected"),
    [
        ("timeout 3\n", "debian-6.12.1"),
        ("default debian-6.1.*\n", "debian-6.1.0"),
        ("default debian-6.1.0.conf\n", "debian-6.1.0"),
        ("default none\n", "debian-6.12.1"),
    ],
)
@needs_dtc
def test_the_entry_that_boots_is_that_of_loader_conf_or_the_newest(
    machine: Machine, conf: str, expected: str
) -> None:
    prepare(machine, "systemd-boot")
    machine.write("/boot/efi/loader/loader.conf", conf)
    assert Entries(View(machine.host)).target() == f"{ENTRIES}/{expected}.conf"


@needs_dtc
def test_a_loader_that_reads_devicetree_overlay_gets_the_overlay(
    machine: Machine, rslctl: Rslctl
) -> None:
    """barebox: it has no directory EFI/systemd, and its entries list overlays."""
    text = f"{ENTRY}devicetree-overlay /o/a.dtbo\n"
    machine.write("/boot/loader/entries/a.conf", text)
    machine.write("/boot/debian/6.12.1/board.dtb", dtc(BASE))
    machine.write("/boot/o/a.dtbo", taken())
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err.startswith("rslctl: /boot/debian/6.12.1/board.dtb + a.dtbo: overlap: rpu0: ")
    machine.write("/boot/o/a.dtbo", taken("60000000"))
    assert rslctl_install(machine, rslctl)[0] == 3
    now = machine.host.read("/boot/loader/entries/a.conf").decode()
    assert now == text.replace("a.dtbo\n", f"a.dtbo /debian/6.12.1/{FILE}\n")


@needs_dtc
def test_the_entry_of_a_new_kernel_gets_it_and_that_of_the_old_one_loses_it(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "systemd-boot")
    install(machine)
    # As kernel-install does, with the same tree.
    machine.write(f"{ENTRIES}/debian-6.13.0.conf", ENTRY.replace("6.12.1", "6.13.0"))
    machine.write("/boot/efi/debian/6.13.0/board.dtb", dtc(BASE))
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    status, out, _ = rslctl("overlay", "install", "--root", machine.root)
    assert status == 3
    assert f"the boot loader reads {ENTRIES}/debian-6.13.0.conf now" in out
    assert machine.host.read(f"{ENTRIES}/debian-6.12.1.conf").decode() == ENTRY
    assert merged(machine, "/boot/efi/debian/6.13.0/rslctl-qemu-virt.dtb")
    # The old kernel is removed with all that is its.
    machine.path(f"{ENTRIES}/debian-6.12.1.conf").unlink()
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 0
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    new = machine.host.read(f"{ENTRIES}/debian-6.13.0.conf").decode()
    assert new == ENTRY.replace("6.12.1", "6.13.0")


@needs_dtc
def test_an_entry_that_went_with_its_kernel_is_in_nobodys_way(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "systemd-boot")
    install(machine)
    machine.path(f"{ENTRIES}/debian-6.12.1.conf").unlink()
    machine.write("/boot/efi/debian/6.1.0/board.dtb", dtc(BASE))
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    text = machine.host.read(f"{ENTRIES}/debian-6.1.0.conf").decode()
    assert text == ENTRY.replace("6.12.1", "6.1.0")
    assert not machine.host.exists(f"{ENTRIES}/debian-6.12.1.conf")


NESTED = """\
function load {
  insmod ext2
}
menuentry "it's new" --id new {
\tdevicetree /boot/dtb-6.12.1\t# of the new kernel
}
submenu 'Old ones' $menuentry_id_option 'old' {
\tmenuentry 'Debian, old' {
\t\tdevicetree /boot/dtb-6.1.0
\t}
\tmenuentry 'Older > old' --id older {
\t\tdevicetree '/boot/dtb-5.10.0'
\t}
}
menuentry other --class debian {
\tdevicetree (hd0,1)/boot/dtb-other
}
"""


@pytest.mark.parametrize(
    ("default", "expected"),
    [
        ("", "dtb-6.12.1"),
        ("0", "dtb-6.12.1"),
        ("new", "dtb-6.12.1"),
        ("it's new", "dtb-6.12.1"),
        ("1", "dtb-6.1.0"),
        ("1>1", "dtb-5.10.0"),
        ("old>older", "dtb-5.10.0"),
        ("Old ones>Older >> old", "dtb-5.10.0"),
        ("Old ones>Debian, old", "dtb-6.1.0"),
        ("2", "dtb-other"),
        ("other", "dtb-other"),
        # GRUB takes the first where there is no such entry.
        ("older", "dtb-6.12.1"),
        ("7", "dtb-6.12.1"),
    ],
)
def test_grub_has_the_tree_of_its_default_entry_replaced(
    machine: Machine, default: str, expected: str
) -> None:
    for said in (f'set default="{default}"\n', ""):
        machine.write("/boot/grub/grub.cfg", said + NESTED)
        machine.write("/etc/default/grub", f'GRUB_DEFAULT="{default}"\n' * bool(default))
        machine.write(f"/boot/{expected}", "x")
        assert Grub(View(machine.host)).target() == f"/boot/{expected}"


@pytest.mark.parametrize(
    ("header", "environment", "expected"),
    [
        ('set default="${saved_entry}"\n', "saved_entry=2\n", "dtb-other"),
        ('set default="${saved_entry}"\n', "", "dtb-6.12.1"),
        ('set default="2"\nset default="${next_entry}"\n', "", "dtb-other"),
    ],
)
def test_grub_remembers_an_entry(
    machine: Machine, header: str, environment: str, expected: str
) -> None:
    machine.write("/boot/grub/grub.cfg", header + NESTED)
    machine.write("/boot/grub/grubenv", environment)
    machine.write("/etc/default/grub", "GRUB_DEFAULT=1\n")  # not in grub.cfg yet
    machine.write(f"/boot/{expected}", "x")
    assert Grub(View(machine.host)).target() == f"/boot/{expected}"


def test_a_file_of_its_own_changes_grubs_default(machine: Machine) -> None:
    machine.write("/boot/grub/grub.cfg", NESTED)
    machine.write("/etc/default/grub", "GRUB_DEFAULT=0\n")
    machine.write("/etc/default/grub.d/own.cfg", "GRUB_DEFAULT=2\n")
    machine.write("/boot/dtb-other", "x")
    assert Grub(View(machine.host)).target() == "/boot/dtb-other"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            ("a.conf", "sort-key debian\nversion 6.12.1"),
            ("b.conf", "sort-key debian\nversion 6.12"),
        ),
        (("deb-6.12.0.conf", ""), ("deb-6.1.0.conf", "")),
        # Without a sort-key the version does not count.
        (("b.conf", "version 1"), ("a.conf", "version 2")),
        (("z.conf", "sort-key a"), ("a.conf", "")),
        (("deb-6.12.0.conf", ""), ("deb-6.12.0~rc1.conf", "")),
        (("deb-6.1.0.conf", ""), ("deb-6.12.0+0-3.conf", "")),
        (("deb-6.12.0+2-1.conf", ""), ("deb-6.1.0.conf", "")),
    ],
)
def test_systemd_boot_lists_entries_in_its_own_order(
    machine: Machine, first: tuple[str, str], second: tuple[str, str]
) -> None:
    for name, keys in (first, second):
        machine.write(f"{ENTRIES}/{name}", f"{keys}\nlinux /l\ndevicetree /board.dtb\n")
    assert Entries(View(machine.host)).target() == f"{ENTRIES}/{first[0]}"


def test_the_counter_of_tries_is_no_part_of_an_entrys_name(machine: Machine) -> None:
    for name in ("deb-6.12.0.conf", "deb-6.1.0+2-1.conf"):
        machine.write(f"{ENTRIES}/{name}", "linux /l\ndevicetree /board.dtb\n")
    machine.write("/boot/efi/loader/loader.conf", "default deb-6.1.0.conf\n")
    assert Entries(View(machine.host)).target() == f"{ENTRIES}/deb-6.1.0+2-1.conf"


@needs_dtc
def test_a_tree_that_a_kernel_update_replaced_is_merged_anew_and_stays_at_the_end(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "grub")
    install(machine)
    new = dtc(BASE.replace("// more", "new { };"))
    machine.write(TREES["grub"], new)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl_install(machine, rslctl)[0] == 3
    assert merged(machine, TREES["grub"])
    assert "/new" in tree.from_blob(machine.host.read(TREES["grub"]), "now")
    machine.write(TREES["grub"], new)
    before = snapshot(machine, records=False)
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before


def test_grub_without_a_tree_of_its_own_is_told(machine: Machine, rslctl: Rslctl) -> None:
    machine.write("/boot/grub/grub.cfg", GRUB.replace("\tdevicetree", "\t#"))
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert (
        "rslctl: grub: /boot/grub/grub.cfg has no devicetree in its default entry: the firmware's "
        "tree is used" in err
    )


_VERSIONS = st.lists(st.integers(0, 40), min_size=1, max_size=4)


@given(_VERSIONS, _VERSIONS)
def test_versions_sort_by_their_numbers(one: list[int], other: list[int]) -> None:
    texts = [".".join(map(str, each)) for each in (one, other)]
    assert (version_key(texts[0]) < version_key(texts[1])) == (one < other)


@needs_dtc
def test_an_entry_that_was_changed_names_no_tree_that_is_gone(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "systemd-boot")
    install(machine)
    path = f"{ENTRIES}/debian-6.12.1.conf"
    machine.write(path, machine.host.read(path).decode() + "# mine\n")
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert machine.host.read(path).decode() == ENTRY + "# mine\n"
    assert not machine.host.exists("/boot/efi/debian/6.12.1/rslctl-qemu-virt.dtb")


@needs_dtc
def test_an_entry_that_was_changed_gets_it_again(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "systemd-boot")
    install(machine)
    path = f"{ENTRIES}/debian-6.12.1.conf"
    changed = machine.host.read(path).decode() + "# mine\n"
    machine.write(path, changed)
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert machine.host.read(path).decode() == changed
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert machine.host.read(path).decode() == ENTRY + "# mine\n"


@needs_dtc
def test_an_entry_whose_tries_were_counted_is_the_same_entry(
    machine: Machine, rslctl: Rslctl
) -> None:
    """systemd-boot renames it before each try, and systemd-bless-boot when it has booted."""
    prepare(machine, "systemd-boot")
    path = machine.path(f"{ENTRIES}/debian-6.12.1.conf")
    counted = path.rename(path.with_name("debian-6.12.1+3.conf"))
    install(machine)
    blessed = counted.rename(path)
    assert '"stale"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 3
    assert merged(machine, "/boot/efi/debian/6.12.1/rslctl-qemu-virt.dtb")
    assert rslctl("overlay", "install", "--root", machine.root)[0] == 0
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert blessed.read_text() == ENTRY
    assert not machine.host.exists("/boot/efi/debian/6.12.1/rslctl-qemu-virt.dtb")
