# SPDX-License-Identifier: BSD-3-Clause
"""Linters and licence tags."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import checkout
from tests.unit import REPOSITORY


def files() -> list[Path]:
    """The files of the project that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    known = {REPOSITORY / name for name in listed}
    return [path for path in checkout.sources(REPOSITORY) if path in known]


def python() -> list[str]:
    return [str(path) for path in files() if path.suffix == ".py"]


def clean(command: list[str]) -> None:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def module(*words: str) -> list[str]:
    return [sys.executable, "-m", *words]


def test_ruff_finds_nothing() -> None:
    clean(module("ruff", "check", *python()))


def test_ruff_would_format_nothing_else() -> None:
    clean(module("ruff", "format", "--check", *python()))


def test_mypy_finds_nothing() -> None:
    clean(module("mypy"))


def test_codespell_finds_nothing() -> None:
    clean(module("codespell_lib", *map(str, files())))


def test_shellcheck_finds_nothing() -> None:
    scripts = [
        path
        for path in files()
        if path.suffix == ".sh"
        or path.read_bytes().startswith((b"#!/bin/sh", b"#!/bin/busybox sh"))
    ]
    assert len(scripts) > 10
    bundled = Path(sys.executable).with_name("shellcheck")
    program = str(bundled) if bundled.exists() else shutil.which("shellcheck")
    if not program:
        pytest.skip("shellcheck is missing")
    clean([program, "-x", *map(str, scripts)])


def test_every_source_file_names_its_licence() -> None:
    licences = {
        "kmod": "GPL-2.0-only",
        "uapi": "GPL-2.0-only WITH Linux-syscall-note",
        "": "BSD-3-Clause",
    }
    for path in files():
        parts = path.relative_to(REPOSITORY).parts
        prose = parts[0] in ("docs", "LICENSE", "LICENSES") or path.suffix == ".md"
        # Formats of Debian's that have no comments.
        bare = parts[0] == "debian" and path.name in ("changelog", "copyright", "format")
        if prose or bare or path.name == ".gitignore":
            continue
        place = "uapi" if "uapi" in parts else "kmod" if "kmod" in parts else ""
        head = path.read_text().split("\n", 3)[:3]
        tags = [line.split("SPDX-License-Identifier: ")[1] for line in head if "SPDX-" in line]
        found = [tag.replace("*/", "").replace("-->", "").strip() for tag in tags]
        assert found == [licences[place]], path


def test_no_python_file_grows_past_what_one_reads() -> None:
    for path in (REPOSITORY / "tools").rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 450, path
