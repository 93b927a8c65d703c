# SPDX-License-Identifier: BSD-3-Clause
"""rsl.h before compilers, and beside the kernel's header."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit import REPOSITORY
from tests.unit.librsl.support import DRIVER, EXAMPLE, build

#: A function of this name, and a program that compares two of them.
WHERE = "int *%s(void)\n{\n\treturn &rsl_received;\n}\n"
MAIN = "int main(void)\n{\n\treturn one() != two();\n}\n"


@pytest.mark.parametrize("source", [EXAMPLE, DRIVER], ids=["example", "driver"])
@pytest.mark.parametrize(
    "command",
    [
        "cc -std=gnu99",
        "cc -std=c99 -D_DEFAULT_SOURCE -O3 -Wshadow -Wconversion -Wno-sign-conversion",
        "c++ -x c++ -std=c++11 -O2",
        "c++ -x c++ -std=c++20",
        "aarch64-linux-gnu-gcc -std=gnu99 -O2 -static",
    ],
)
def test_compilers_have_nothing_to_say(command: str, source: Path, tmp_path: Path) -> None:
    compiler, *flags = command.split()
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing")
    assert build(source, tmp_path / "program", compiler, *flags) == ""


def test_the_example_of_the_document_compiles(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to build it with")
    text = (REPOSITORY / "docs/reference/librsl.md").read_text()
    source = tmp_path / "example.c"
    source.write_text(text.split("```c\n")[1].split("```")[0])
    assert build(source, tmp_path / "example", "cc", "-std=gnu99") == ""


@pytest.mark.parametrize("compiler", ["cc", "c++ -x c++"])
def test_a_program_of_several_files_receives_its_link_once(tmp_path: Path, compiler: str) -> None:
    """What is received in one file is known in the other."""
    program, *language = compiler.split()
    if not shutil.which(program):
        pytest.skip(f"{program} is missing")
    (tmp_path / "one.c").write_text("#include <rsl.h>\nint *one(void);\n" + WHERE % "one")
    (tmp_path / "two.c").write_text(
        "#include <rsl.h>\nint *one(void);\nint *two(void);\n" + WHERE % "two" + MAIN
    )
    for name in ("one", "two"):
        flags = [*language, "-c"]
        assert build(tmp_path / f"{name}.c", tmp_path / f"{name}.o", program, *flags) == ""
    parts = [str(tmp_path / f"{name}.o") for name in ("one", "two")]
    subprocess.run([program, "-o", str(tmp_path / "both"), *parts], check=True)
    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0


def test_constants_are_those_of_the_kernel(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to read the headers with")
    source = tmp_path / "same.c"
    source.write_text(
        "#include <rsl.h>\n#include <linux/rsl_mbox.h>\n"
        '_Static_assert(RSL_MAX_VECTORS == RSL_MBOX_MAX_VECTORS, "vectors");\n'
        '_Static_assert(RSL_NAME_SIZE == RSL_MBOX_LABEL_SIZE, "name");\n'
        "int main(void) { return 0; }\n"
    )
    uapi = REPOSITORY / "kmod/rsl_mbox/uapi"
    assert build(source, tmp_path / "same", "cc", "-std=gnu11", f"-I{uapi}") == ""
