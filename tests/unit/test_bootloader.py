# SPDX-License-Identifier: BSD-3-Clause
"""Overlays put where each boot loader takes them, killed at every write, and taken out again."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rslctl.boot import installer, loaders, transaction
from rslctl.devicetree import overlay, tree
from rslctl.errors import RslError, SeveralError
from rslctl.linux.host import Host
from rslctl.profile import reader

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


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no disk: a kill, unlike a loss of power, does not show the difference."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


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


@pytest.mark.parametrize("loader", needs_dtc_for_dtb)
def test_an_installation_can_be_repeated_and_undone(
    machine: Machine, rslctl: Rslctl, loader: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    assert rslctl_install(machine, rslctl, "--dry-run", *options(loader))[0] == 0
    assert snapshot(machine) == before
    status, out, err = rslctl_install(machine, rslctl, *options(loader))
    assert (status, err.splitlines()[-1]) == (3, "rslctl: reboot to have it applied")
    after = snapshot(machine)
    changed = {name for name in after if after[name] != before.get(name)}
    for name in changed:
        if (machine.root / name).is_file():
            assert f"wrote {machine.root / name}\n" in out
    status, out, _ = rslctl_install(machine, rslctl)
    assert (status, out.splitlines()[-1]) == (
        0,
        "the overlay of board qemu-virt is installed already",
    )
    assert snapshot(machine) == after
    status, out, _ = rslctl("overlay", "list", "--json", "--root", machine.root)
    (row,) = json.loads(out)
    assert (row["name"], row["where"], row["state"]) == ("qemu-virt", loader, "installed")
    assert rslctl_uninstall(machine, rslctl, "--dry-run")[0] == 0
    assert snapshot(machine) == after
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before
    assert machine.host.names(transaction.STATE) == []
    assert rslctl_uninstall(machine, rslctl)[::2] == (
        0,
        "rslctl: no overlay is installed: nothing to undo\n",
    )


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


def test_u_boot_update_is_run_and_what_it_made_is_looked_at(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(machine, "u-boot-menu")
    before = snapshot(machine)
    ran: list[list[str]] = []
    conf = machine.host.path("/boot/extlinux/extlinux.conf")

    def update(_: Host, command: list[str] | tuple[str, ...], **__: str) -> str:
        ran.append(list(command))
        there = machine.host.exists(f"/boot/dtbo/{FILE}") and len(ran) != 1
        line = f"fdtoverlays  /boot/dtbo/a.dtbo /boot/dtbo/{FILE}\n" if there else ""
        conf.write_text(EXTLINUX + line)
        os.utime(conf, ns=(before["boot/extlinux/extlinux.conf"][1],) * 2)
        return ""

    monkeypatch.setattr(Host, "run", update)
    monkeypatch.setattr(Host, "live", True)
    with pytest.raises(RslError, match="u-boot-update did not put rslctl-qemu-virt"):
        install(machine)
    assert install(machine)
    assert not install(machine)
    assert uninstall(machine)
    # The failure, what it takes to undo that, the second try, and undoing it.
    assert ran == [["u-boot-update"]] * 4
    assert snapshot(machine) == before


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


@needs_dtc
def test_a_tree_is_replaced_by_the_merged_one_also_behind_a_link(machine: Machine) -> None:
    prepare(machine, "dtb")
    machine.host.path("/boot/current.dtb").symlink_to("/boot/board.dtb")
    install(machine, installer.How(dtb="/boot/current.dtb"))
    merged = tree.from_blob(machine.host.read("/boot/board.dtb"), "merged")
    assert "/rsl-mbox@8020040" in merged
    assert machine.host.link_target("/boot/current.dtb") == "/boot/board.dtb"
    assert stat.S_IMODE(machine.host.path("/boot/board.dtb").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        ({}, [], "has no boot loader that takes overlays; looked for /boot/extlinux/extlinux.conf"),
        ({"/boot/uEnv.txt": "a=1\n"}, [], "has no boot loader that takes overlays"),
        (
            {"/boot/armbianEnv.txt": "", "/boot/extlinux/extlinux.conf": EXTLINUX},
            [],
            "several boot loaders fit: extlinux, armbian\nhint: say with --loader NAME",
        ),
        ({}, ["--loader", "armbian"], "does not boot by armbian\nhint: looked for /boot/armbian"),
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


def test_options_that_make_no_sense_are_told(machine: Machine, rslctl: Rslctl) -> None:
    assert (
        "'grub' is not one of extlinux, u-boot-menu, armbian, uenv"
        in (rslctl_install(machine, rslctl, "--loader", "grub")[2])
    )
    assert rslctl_install(machine, rslctl, "--dtb", "/x", "--loader", "uenv")[0] == 2
    status, _, err = rslctl("overlay", "--board", "qemu-virt", "install", "--board", "zcu102")
    assert (status, err.splitlines()[0]) == (
        2,
        "rslctl: options of 'overlay install' go behind it",
    )
    assert rslctl("overlay")[::2] == (
        2,
        "rslctl: overlay needs --board\nhint: rslctl boards lists the boards\n",
    )


@needs_dtc
@pytest.mark.parametrize("place", ["/dtbs/board.dtb", "/boot/dtbs/board.dtb"])
def test_the_tree_of_the_label_is_checked_before_anything_is_written(
    machine: Machine, rslctl: Rslctl, place: str
) -> None:
    prepare(machine, "extlinux")
    machine.write(place, dtc(BASE.replace("linux,dummy-virt", "x,y")))
    before = snapshot(machine)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert err == (
        f"rslctl: {place}: compatible: it is for x,y, board 'qemu-virt' is linux,dummy-virt\n"
    )
    assert snapshot(machine) == before
    machine.write(place, dtc(BASE))
    status, out, _ = rslctl_install(machine, rslctl)
    assert (status, "was not checked" in out) == (3, False)


@needs_dtc
def test_labels_that_the_tree_lacks_are_told_now_and_not_at_boot(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    machine.write("/boot/dtbs/board.dtb", dtc(BASE))
    status, _, err = rslctl(
        "overlay", "install", "--board", "stm32mp157c-dk2", "--root", machine.root
    )
    assert status == 1
    assert "label: there is no node &" in err


def test_an_overlay_that_u_boot_makes_no_room_for_is_refused(machine: Machine) -> None:
    prepare(machine, "extlinux")
    loader = loaders.Extlinux(loaders.View(machine.host))
    loader.edit(FILE, bytes(8192))
    with pytest.raises(RslError, match=r"8193 bytes, U-Boot makes room for 8192 \(FDT_ERR_NOSPAC"):
        loader.edit(FILE, bytes(8193))


def test_another_overlay_of_the_board_is_not_put_over_one(
    machine: Machine, rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(machine, "extlinux")
    install(machine)
    after = snapshot(machine)
    other = overlay.build(reader.load("zcu102"))
    monkeypatch.setattr(overlay, "build", lambda *_: other)
    status, _, err = rslctl_install(machine, rslctl)
    assert status == 1
    assert "another overlay of board 'qemu-virt' is installed, by extlinux" in err
    assert snapshot(machine) == after


def test_what_somebody_else_changed_since_is_not_overwritten(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    conf = machine.write("/boot/extlinux/extlinux.conf", EXTLINUX + "# edited\n")
    edited = snapshot(machine)
    for status, _, err in (rslctl_install(machine, rslctl), rslctl_uninstall(machine, rslctl)):
        assert status == 1
        assert str(conf) in err
        assert "somebody else" in err
    assert snapshot(machine) == edited
    assert '"changed"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    assert rslctl_uninstall(machine, rslctl, "--force")[0] == 3
    assert snapshot(machine) == before


def test_a_file_that_went_since_comes_back_by_force_as_it_was(machine: Machine) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    install(machine)
    machine.host.path("/boot/extlinux/extlinux.conf").unlink()
    with pytest.raises(SeveralError, match="was changed by somebody else since"):
        uninstall(machine)
    assert uninstall(machine, force=True)
    assert snapshot(machine) == before


def test_a_directory_that_somebody_else_uses_by_now_stays(machine: Machine) -> None:
    prepare(machine, "armbian")
    install(machine)
    other = machine.write("/boot/overlay-user/other.dtbo", "x")
    uninstall(machine)
    assert machine.host.names("/boot/overlay-user") == [other.name]


def test_several_installations_have_to_be_told_apart(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "extlinux")
    before = snapshot(machine)
    for name in ("qemu-virt", "zcu102"):
        assert rslctl("overlay", "install", "--board", name, "--root", machine.root)[0] == 3
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: several overlays are installed: qemu-virt, zcu102",
    )
    for name in ("zcu102", "qemu-virt"):
        assert rslctl_uninstall(machine, rslctl, "--board", name)[0] == 3
    assert snapshot(machine) == before


def test_the_list_is_a_table_or_says_that_there_is_nothing(
    machine: Machine, rslctl: Rslctl
) -> None:
    assert rslctl("overlay", "list", "--root", machine.root) == (
        0,
        "",
        "rslctl: no overlay is installed or applied\n",
    )
    prepare(machine, "armbian")
    install(machine)
    status, out, _ = rslctl("overlay", "list", "--root", machine.root)
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["overlay", "where", "state"],
        ["qemu-virt", "armbian", "installed"],
    ]


def test_an_unfinished_installation_is_listed_and_a_dry_run_leaves_it(
    machine: Machine, rslctl: Rslctl
) -> None:
    prepare(machine, "armbian")
    before = snapshot(machine)
    at = 0
    while killed(machine, at, lambda: install(machine)) and snapshot(machine) == before:
        uninstall(machine)
        at += 1
    half = snapshot(machine)
    assert half != before
    assert '"unfinished"' in rslctl("overlay", "list", "--json", "--root", machine.root)[1]
    status, out, _ = rslctl_install(machine, rslctl, "--dry-run")
    assert (status, out.splitlines()[0]) == (0, "would take back an unfinished installation")
    assert snapshot(machine) == half
    assert rslctl_uninstall(machine, rslctl)[0] == 3
    assert snapshot(machine) == before


def test_a_damaged_record_is_told(machine: Machine, rslctl: Rslctl) -> None:
    prepare(machine, "extlinux")
    install(machine)
    record = machine.write("/var/lib/rslctl/overlay/qemu-virt/record.json", '{"name": 1}')
    status, _, err = rslctl_uninstall(machine, rslctl)
    assert status == 1
    assert f"'{record}' is damaged" in err


# Killed in between


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


@pytest.mark.parametrize("loader", needs_dtc_for_dtb)
@pytest.mark.parametrize("then", ["install", "uninstall"])
def test_an_installation_that_is_killed_anywhere_can_be_gone_on_from(
    machine: Machine, loader: str, then: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    install(machine, how(loader))
    after = {name: content for name, (_, _, content) in snapshot(machine).items()}
    uninstall(machine)
    at = 0
    while killed(machine, at, lambda: install(machine, how(loader))):
        if then == "install":
            install(machine, how(loader))
            contents = {name: content for name, (_, _, content) in snapshot(machine).items()}
            assert contents == after
            assert not install(machine, how(loader))
        uninstall(machine)
        assert snapshot(machine) == before
        assert left_behind(machine) == []
        at += 1
    assert at > 10


@pytest.mark.parametrize("loader", needs_dtc_for_dtb)
def test_an_uninstallation_that_is_killed_anywhere_can_be_gone_on_from(
    machine: Machine, loader: str
) -> None:
    prepare(machine, loader)
    before = snapshot(machine)
    at = 0
    install(machine, how(loader))
    while killed(machine, at, lambda: uninstall(machine)):
        uninstall(machine)
        assert snapshot(machine) == before
        assert left_behind(machine) == []
        install(machine, how(loader))
        at += 1
    assert at > 10


# Any extlinux.conf

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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
