# SPDX-License-Identifier: BSD-3-Clause
"""What is handed out: wheel and source archive, and the Debian packages."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests import checkout
from tests.amp import cache
from tests.amp.machine import REPOSITORY, python, run
from tests.amp.say import say, step


def _packed(kind: str, target: Path, interpreter: Path) -> Path:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        made = Path(directory) / "made"
        program = f"from setuptools import build_meta; build_meta.build_{kind}('{made}')"
        # Packing writes beside what it packs.
        source = checkout.copy(REPOSITORY, Path(directory) / "sources")
        run([interpreter, "-c", program], cwd=source)
        (file,) = made.iterdir()
        return Path(shutil.move(file, target))


def wheel(target: Path, interpreter: Path) -> Path:
    """The wheel, made in the directory *target* without the network by setuptools there."""
    return _packed("wheel", target, interpreter)


def sdist(target: Path, interpreter: Path) -> Path:
    """The source archive, made likewise."""
    return _packed("sdist", target, interpreter)


def _wheels() -> Path:
    """The libraries that the Debian package brings along, as their authors packed them."""
    listed = REPOSITORY / "debian/wheels.txt"

    def make(target: Path) -> None:
        say(f"downloading from PyPI into {cache.root()}: what debian/wheels.txt names")
        pip = [python(), "-m", "pip", "--disable-pip-version-check", "download", "-q"]
        only = ["--no-deps", "--only-binary", ":all:", "--require-hashes"]
        run([*pip, *only, "-d", target, "-r", listed])

    return cache.kept("wheels", cache.digest(listed), make)


def debs(target: Path) -> list[Path]:
    """Make the Debian packages in *target*, and the source package that makes them again."""
    shutil.rmtree(target, ignore_errors=True)
    source = checkout.copy(REPOSITORY, target / "rslctl")
    shutil.copytree(_wheels(), source / "debian/wheels")
    with step("building the Debian packages"):
        # With Debian's Python, whatever the user's is.
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        run(["env", path, "dpkg-buildpackage", "--no-sign"], cwd=source)
    shutil.rmtree(source)
    return sorted(target.glob("*.deb"))
