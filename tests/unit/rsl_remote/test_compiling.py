# SPDX-License-Identifier: BSD-3-Clause
"""rsl_remote.h before compilers, and beside the document."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rslctl.virtio import registers
from rslctl.virtio.registers import Register

from tests.unit import REPOSITORY
from tests.unit.rsl_remote.support import DRIVER, WARNINGS, build

HEADER = REPOSITORY / "tools/librsl/rsl_remote.h"
DOCUMENT = REPOSITORY / "docs/reference/librsl-remote.md"

FREESTANDING = ("-ffreestanding", "-nostdlib", "-c")


def functions() -> list[str]:
    """The names of the functions that are for use from outside."""
    public = HEADER.read_text().split("/* What follows is not for use from outside. */")[0]
    return re.findall(r"^static inline [^;]*?(rsl_\w+)\(", public, re.MULTILINE)


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    """A program that has all functions, so that a compiler makes code of each."""
    source = tmp_path / "firmware.c"
    table = "".join(f"\t(void (*)(void)){name},\n" for name in functions())
    declared = "extern void (*const table[])(void);\n"
    source.write_text(
        f'#include "rsl_remote.h"\n{declared}void (*const table[])(void) = {{\n{table}}};\n'
    )
    return source


@pytest.mark.parametrize(
    "command",
    [
        "gcc -std=c99 -O0",
        "gcc -std=gnu99 -O3",
        "gcc -std=gnu99 -Os -m32",
        "gcc -std=gnu11 -O2 -DRSL_BUFFERS=2 -DRSL_VIRTQ_MAX=4",
        "g++ -x c++ -std=c++11 -O2",
        "g++ -x c++ -std=c++20 -O3",
        "clang -std=gnu99 -O3",
        "clang++ -x c++ -std=c++11",
        "aarch64-linux-gnu-gcc -std=gnu99 -O3 -mstrict-align",
        "arm-none-eabi-gcc -std=gnu99 -O2 -mcpu=cortex-m4 -mthumb",
        "arm-none-eabi-gcc -std=gnu99 -O2 -mcpu=cortex-r5",
    ],
)
def test_compilers_have_nothing_to_say_and_nothing_to_link(
    command: str, firmware: Path, tmp_path: Path
) -> None:
    """No function of libc is called: what compilers make of loops, too."""
    compiler, *flags = command.split()
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing")
    target = tmp_path / "firmware.o"
    flags += ["-fno-stack-protector", "-Wno-cast-function-type"]
    assert build(firmware, target, compiler, *flags, *FREESTANDING) == ""
    undefined = subprocess.run(["nm", "-u", target], capture_output=True, text=True, check=True)
    # The Arm C library ABI's division is the compiler's own (libgcc).
    names = set(undefined.stdout.split()) - {"U", "__aeabi_uldivmod", "__aeabi_uidiv"}
    assert names - {"_GLOBAL_OFFSET_TABLE_", "__udivdi3"} == set()


@pytest.mark.parametrize("command", ["cc -std=gnu99 -O3", "c++ -x c++ -std=c++11 -O2"])
def test_the_program_of_the_tests_compiles(command: str, tmp_path: Path) -> None:
    compiler, *flags = command.split()
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is missing")
    assert build(DRIVER, tmp_path / "program", compiler, *flags) == ""


def test_it_goes_with_the_header_for_daemons(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to build it with")
    source = tmp_path / "both.c"
    source.write_text('#include "rsl.h"\n#include "rsl_remote.h"\nint main(void)\n{ return 0; }\n')
    assert build(source, tmp_path / "both", "cc", "-std=gnu99", "-Wno-conversion") == ""


@pytest.mark.parametrize(
    "define", ["RSL_VIRTQ_MAX=48", "RSL_VIRTQ_MAX=2", "RSL_BUFFERS=33", "RSL_REMOTE_WAIT_MS=0"]
)
def test_sizes_that_cannot_be_are_refused(define: str, tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to build it with")
    source = tmp_path / "one.c"
    source.write_text('#include "rsl_remote.h"\n')
    assert f"{define.split('=')[0]} has to be" in build(
        source, tmp_path / "one.o", "cc", "-c", f"-D{define}"
    )


def test_only_what_is_freestanding_is_included() -> None:
    included = re.findall(r"#include (.*)", HEADER.read_text())
    assert included == ["<stdbool.h>", "<stddef.h>", "<stdint.h>"]


def test_registers_are_those_of_rslctl() -> None:
    defined = dict(re.findall(r"#define RSL_(\w+)\s+(0x[0-9a-f]+)\b", HEADER.read_text()))
    names = {
        "VERSION_REGISTER": "VERSION",
        "QUEUE_DESC": "QUEUE_DESC_LOW",
        "QUEUE_DRIVER": "QUEUE_AVAIL_LOW",
        "QUEUE_DEVICE": "QUEUE_USED_LOW",
        "SHM_LEN": "SHM_LEN_LOW",
        "SHM_BASE": "SHM_BASE_LOW",
    }
    found = {
        name: int(value, 16)
        for name, value in defined.items()
        if names.get(name, name) in Register.__members__
    }
    assert len(found) > 25
    for name, value in found.items():
        assert value == Register[names.get(name, name)], name
    assert int(defined["PFN_ACK"], 16) == registers.PFN_ACK
    assert int(defined["MAGIC_VALUE"], 16) == registers.MAGIC


def test_the_document_names_every_function() -> None:
    text = DOCUMENT.read_text()
    names = functions()
    assert len(names) > 50
    assert [name for name in names if f"`{name}" not in text] == []


def test_the_examples_of_the_document_compile(tmp_path: Path) -> None:
    if not shutil.which("cc"):
        pytest.skip("no C compiler to build it with")
    text = DOCUMENT.read_text()
    (tmp_path / "rpu0.h").write_text(
        "#define RSL_RPU0_MEMORY_BASE 0x70000000UL\n#define RSL_RPU0_MEMORY_SIZE 0x200000UL\n"
        "#define RSL_RPU0_NOTIFY_REGISTER 0x8000000UL\n"
        "#define RSL_RPU0_NOTIFY_VALUES { 0x1, 0x2 }\n"
        "#define RSL_RPU0_KICK_INTERRUPTS { 0x50, 0x51 }\n"
    )
    source = tmp_path / "example.c"
    source.write_text(text.split("```c\n")[1].split("```")[0])
    command = ["cc", "-c", "-ffreestanding", "-std=gnu99", *WARNINGS, f"-I{tmp_path}"]
    done = subprocess.run(
        [*command, "-o", tmp_path / "example.o", source],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
