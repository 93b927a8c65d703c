# SPDX-License-Identifier: BSD-3-Clause
"""The Debian packages: made, installed in a clean root, used and removed."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.amp import build, kernels, packages, qemu, roots
from tests.amp.machine import REPOSITORY, run
from tests.unit.devicetree.support import BASE, dtc

#: The tree with sizes of one cell, which needs another overlay.
ONE_CELL = (
    BASE.replace("#size-cells = <2>;", "#size-cells = <1>;")
    .replace("0 0x40000000>", "0x40000000>")
    .replace("0 0x10000>", "0x10000>")
    .replace("0 0x1000>", "0x1000>")
)
INSIDE = REPOSITORY / "tests/system/clean_root.py"


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return packages.debs(tmp_path_factory.mktemp("debian") / "deb")


def test_lintian_finds_no_error(debs: list[Path]) -> None:
    assert [path.name.partition("_")[0] for path in debs] == ["rsl-mbox-dkms", "rslctl"]
    (changes,) = debs[0].parent.glob("*.changes")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", changes],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_clean_root_takes_the_packages_and_is_clean_after_them(
    debs: list[Path], tmp_path: Path
) -> None:
    root = roots.clean(debs)
    place = tmp_path / "root"
    place.mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    for path in (*debs, INSIDE):
        shutil.copy(path, inside)
    # The trees of a kernel, of the next, and of one that leaves no room for the overlay.
    for name, tree in (
        ("old", BASE),
        ("new", ONE_CELL),
        ("other", BASE.replace("0 0x40000000>;", "0 0x10000000>;")),
    ):
        (inside / f"{name}.dtb").write_bytes(dtc(tree))
    # All of it is in memory and in namespaces of its own, which end with the first process there.
    script = f"""
        set -eu
        mount -t tmpfs -o mode=755 tmpfs {shlex.quote(str(place))}
        cd {shlex.quote(str(place))}
        tar --exclude './dev/*' -xf {shlex.quote(str(root))}
        mkdir -p debs
        cp {shlex.quote(str(inside))}/* debs
        mount -t proc proc proc
        mount --rbind /dev dev
        exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LANG=C.UTF-8 \
            python3 /debs/{INSIDE.name}
    """
    user = [] if os.geteuid() == 0 else ["--map-root-user", "--map-auto"]
    namespaces = ["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
    done = subprocess.run(
        ["unshare", *user, *namespaces, "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (
        0,
        ["installed, tried and removed"],
    ), done.stdout


def _documented(section: str) -> str:
    """The commands that a section of docs/how-to/debian.md shows."""
    text = (REPOSITORY / "docs/how-to/debian.md").read_text()
    commands = re.search(
        rf"^## {section}\n.*?^```sh debian\n(.*?)^```$", text, re.DOTALL | re.MULTILINE
    )
    assert commands
    return commands[1]


def _modules(root: Path) -> None:
    """The module as dkms would install it, beside those of the kernel that the board has."""
    kernel = kernels.kernel()
    release = (kernel / "release").read_text()
    place = root / "usr/lib/modules" / release
    shutil.copytree(kernel / "modules/kernel", place / "kernel")
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copy(kernel / "modules" / name, place)
    (place / "updates/dkms").mkdir(parents=True)
    made = build.BUILD / "root/lib/modules" / release / "updates/rsl_mbox.ko"
    shutil.copy(made, place / "updates/dkms")
    run(["depmod", "-b", root / "usr", release])


def _booted(deb: Path, directory: Path) -> build.Board:
    """The board with a root of Debian, into which rslctl is installed when it boots."""
    board = build.board()
    root = directory / "root"
    guest, units = root / "guest", root / "etc/systemd/system"
    guest.mkdir(parents=True)
    (units / "graphical.target.wants").mkdir(parents=True)
    tests = REPOSITORY / "tests/guest"
    shutil.copy(deb, guest)
    for name in ("roundtrips.py", "debian_served.sh"):
        shutil.copy(tests / name, guest)
    shutil.copy(tests / "debian_first.sh", guest / "first")
    shutil.copy(tests / "init", root)
    shutil.copy(tests / "guest.service", units)
    (units / "graphical.target.wants/guest.service").symlink_to("../guest.service")
    (units / "guest.service.d").mkdir()
    last = "[Unit]\nAfter=multi-user.target\n[Service]\nType=exec\n"
    (units / "guest.service.d/last.conf").write_text(last)
    commands = _documented("At boot").replace("zcu102", "qemu-virt")
    daemon = "/usr/bin/python3 /guest/roundtrips.py 1000 --stay"
    (guest / "at_boot.sh").write_text(commands.replace("/usr/bin/my-daemon", daemon))
    _modules(root)
    build.archive(root, directory / "own.cpio")
    initramfs = build.BUILD / "debian.cpio"
    build.join([roots.booted([deb]), directory / "own.cpio"], initramfs)
    return dataclasses.replace(board, initramfs=initramfs)


def test_a_root_of_debian_has_its_daemon_served_once_it_has_booted(
    debs: list[Path], tmp_path: Path
) -> None:
    # A bare "sh" would be busybox's, which has a dpkg of its own.
    command = "/bin/sh /guest/debian_served.sh"
    outcome = qemu.boot(_booted(debs[-1], tmp_path), command, timeout=600)
    assert outcome.passed, f"status {outcome.status}\n{outcome.console}"
    print(outcome.console)
