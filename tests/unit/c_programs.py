# SPDX-License-Identifier: BSD-3-Clause
"""C of this project and of the kernel's headers, compiled on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

#: Unoptimized, for gcc leaves checks out otherwise.
SANITIZERS = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


def build(source: Path, target: Path, compiler: str, *flags: str) -> str:
    """What a compiler says of a program; the empty string where it built it."""
    command = [compiler, *flags, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"status {done.returncode}")


def built(source: Path, directory: Path, *flags: str) -> Path:
    """A program for this machine, with sanitizers where they work."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler for this machine: install gcc")
    probe = directory / "probe.c"
    probe.write_text("int main(void)\n{\n\treturn 0;\n}\n")
    works = build(probe, directory / "probe", compiler, *SANITIZERS, *flags) == ""
    works = works and subprocess.run([directory / "probe"], check=False).returncode == 0
    target = directory / source.stem
    used = ["-std=gnu99", *(SANITIZERS if works else ["-O0"]), *flags]
    assert build(source, target, compiler, *used) == ""
    return target


def check_constants(
    compiler: str, headers: Sequence[str], facts: Mapping[str, int], *flags: str
) -> None:
    """Check that C expressions have the values that *facts* says, by the *headers*."""
    lines = [f"#include <{each}>" for each in headers]
    lines += [f'_Static_assert({name} == {value}ull, "");' for name, value in facts.items()]
    done = subprocess.run(
        [compiler, "-fsyntax-only", "-Wall", "-Werror", *flags, "-x", "c", "-"],
        input="\n".join(lines) + "\n",
        text=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
