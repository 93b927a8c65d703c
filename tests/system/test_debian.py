# SPDX-License-Identifier: BSD-3-Clause
"""The Debian packages: made, installed in a clean root, used and removed."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tests.amp import packages, roots
from tests.amp.machine import REPOSITORY

INSIDE = REPOSITORY / "tests/system/clean_root.py"


@functools.cache
def debs() -> list[Path]:
    return packages.debs()


def test_lintian_finds_no_error() -> None:
    assert [path.name.partition("_")[0] for path in debs()] == ["rsl-mbox-dkms", "rslctl"]
    (changes,) = packages.DEBS.glob("*.changes")
    done = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", changes],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_a_clean_root_takes_the_packages_and_is_clean_after_them(tmp_path: Path) -> None:
    root = roots.clean(debs())
    place = tmp_path / "root"
    place.mkdir()
    inside = tmp_path / "inside"
    inside.mkdir()
    for path in (*debs(), INSIDE):
        shutil.copy(path, inside)
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
