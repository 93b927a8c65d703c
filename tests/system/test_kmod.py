# SPDX-License-Identifier: BSD-3-Clause
"""What kernel maintainers ask of the module's source and of its size."""

from __future__ import annotations

import re
import subprocess

from tests.amp import build, kernels
from tests.amp.architectures import ARM64
from tests.amp.machine import REPOSITORY, run

#: What checkpatch.pl says of every file that does what these two do.
ACCEPTED = {
    "compat.h": "LINUX_VERSION_CODE,CONSTANT_COMPARISON",
    "trace.h": "PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE",
}


def test_checkpatch_finds_nothing() -> None:
    checker = kernels.checkpatch()
    sources = [
        path for name in build.MODULES for path in sorted((REPOSITORY / name).rglob("*.[ch]"))
    ]
    assert len(sources) > 10
    said = ""
    for path in sources:
        command = ["perl", str(checker), "--strict", "--no-tree", "--terse", "--no-summary"]
        if path.name in ACCEPTED:
            command += ["--ignore", ACCEPTED[path.name]]
        done = subprocess.run(
            [*command, "--file", str(path)], stdout=subprocess.PIPE, text=True, check=False
        )
        said += done.stdout
    assert not said, said


def test_the_code_of_the_module_is_below_40_kib() -> None:
    module = build.module("kmod/rsl_mbox", "6.1")
    (text,) = re.findall(r"^ *(\d+)", run([f"{ARM64.cross}size", module]), re.MULTILINE)
    sections = dict(
        re.findall(r"^(\S+) +(\d+)", run([f"{ARM64.cross}size", "-A", module]), re.MULTILINE)
    )
    assert 0 < sum(int(sections[f"{name}.text"]) for name in ("", ".init", ".exit")) < 40 * 1024
    # With messages and the table of mailbox controllers. The kernel reads the versions of
    # symbols when it loads the module, and drops them.
    assert 0 < int(text) - int(sections["__versions"]) < 56 * 1024


def test_a_kick_releases_and_a_notification_acquires() -> None:
    """As instructions of arm64: before the transport is called, and before anybody is woken."""
    module = build.module("kmod/rsl_mbox", "6.1")
    for function, barrier, call in (
        ("rsl_mbox_kick", r"\bdsb\s+st\b", r"\bblr\b"),
        ("rsl_mbox_notify", r"\bdsb\s+ld\b", r"\bbl\b.*<rsl_mbox_deliver>"),
    ):
        dump = [f"{ARM64.cross}objdump", "-d", f"--disassemble={function}", module]
        code = run(dump)
        first, behind = re.search(barrier, code), re.search(call, code)
        assert first, code
        assert behind, code
        assert first.start() < behind.start(), code
