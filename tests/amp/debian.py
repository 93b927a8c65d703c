# SPDX-License-Identifier: BSD-3-Clause
"""Debian packages for the board: downloaded and unpacked, never installed here.

apt gets a state directory of its own with nothing installed in it, and arm64 as its
architecture; where packages come from is what /etc/apt of this machine says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from tests.amp import cache
from tests.amp.machine import run
from tests.amp.say import die, say, step

_CONFIG = """\
APT::Architecture "arm64";
APT::Architectures {{ "arm64"; "amd64"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "{0}/state";
Dir::State::status "{0}/status";
Dir::Cache "{0}/cache";
"""


class Apt:
    """An apt of our own below *directory*, with fresh package lists."""

    def __init__(self, directory: Path) -> None:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (directory / name).mkdir(parents=True)
        (directory / "status").touch()
        self._config = directory / "apt.conf"
        self._config.write_text(_CONFIG.format(directory))
        self._archives = directory / "cache/archives"
        self._run("apt-get", "-q", "update")

    def _run(self, *command: str) -> str:
        return run(["env", f"APT_CONFIG={self._config}", *command])

    def depends(self, package: str, pattern: str) -> str:
        """The newest package that *package* depends on and that matches *pattern*."""
        shown = self._run("apt-cache", "--no-all-versions", "show", package)
        found = re.search(rf"^Depends:.*?\b({pattern})", shown, re.MULTILINE)
        if not found:
            die(f"package {package} depends on nothing like {pattern}:\n{shown}")
        return found[1]

    def unpack(self, packages: Sequence[str], target: Path, *, dependencies: bool) -> None:
        """Download *packages*, perhaps with all that they depend on, and unpack them."""
        if dependencies:
            self._run("apt-get", "-qy", "install", "--download-only", *packages)
        else:
            for package in packages:
                run(
                    ["env", f"APT_CONFIG={self._config}", "apt-get", "-q", "download", package],
                    cwd=self._archives,
                )
        for archive in sorted(self._archives.glob("*.deb")):
            run(["dpkg-deb", "-x", archive, target])
            archive.unlink()


def kernel() -> Path:
    """Debian's 6.1 kernel for arm64: ``image`` and, to build modules against, ``headers``."""
    return cache.kept("kernel-6.1-arm64", cache.digest(_CONFIG), _make_kernel)


def _make_kernel(target: Path) -> None:
    say(f"downloading about 75 MB of Debian packages into {cache.root()}: the arm64 kernel")
    with step("fetching the kernel"):
        apt = Apt(target / "apt")
        image = apt.depends("linux-image-arm64", r"linux-image-\S+-arm64")
        release = image.removeprefix("linux-image-")
        apt.unpack([image], target / "root", dependencies=False)
        common = re.sub("arm64$", "common", release)
        version = ".".join(release.split(".")[:2])
        names = [f"linux-headers-{release}", f"linux-headers-{common}"]
        apt.unpack([*names, f"linux-kbuild-{version}:amd64"], target / "root", dependencies=False)
        # Debian's headers name their place as if they were installed.
        (target / "root/usr/src" / names[0] / "Makefile").write_text(
            f"include $(dir $(lastword $(MAKEFILE_LIST)))../{names[1]}/Makefile\n"
        )
    os.symlink(f"root/boot/vmlinuz-{release}", target / "image")
    os.symlink(f"root/usr/src/{names[0]}", target / "headers")
    (target / "release").write_text(release)
    run(["rm", "-r", target / "apt", target / f"root/lib/modules/{release}/kernel"])


#: What the board's root file system has, beside what these depend on.
PACKAGES = ("busybox-static", "kmod", "libc-bin", "libudev1", "python3")

#: What no test needs, relative to the root.
_UNUSED = (
    "usr/share",
    "usr/include",
    "usr/lib/python3.11/*/__pycache__",
    "usr/lib/python3.11/test",
    "usr/lib/python3.11/distutils",
    "usr/lib/python3.11/lib2to3",
    "usr/lib/python3.11/idlelib",
    "usr/lib/aarch64-linux-gnu/libdb-*",
    "usr/lib/dpkg",
    "usr/bin/dpkg*",
    "usr/bin/localedef",
    "usr/lib/locale",
    "usr/lib/python3.11/pydoc_data",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/perl*",
    "var",
)


def userland() -> Path:
    """A root file system for arm64 with Python and busybox."""
    return cache.kept("userland-arm64", cache.digest(_CONFIG, *PACKAGES, *_UNUSED), _make_userland)


def _make_userland(target: Path) -> None:
    say(f"downloading about 15 MB of Debian packages into {cache.root()}: Python for arm64")
    with step("fetching the board's root file system"):
        apt = Apt(target / "apt")
        apt.unpack(PACKAGES, target / "root", dependencies=True)
        for pattern in _UNUSED:
            for path in (target / "root").glob(pattern):
                run(["rm", "-r", path])
        run(["rm", "-r", target / "apt"])
