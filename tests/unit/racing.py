# SPDX-License-Identifier: BSD-3-Clause
"""Another process that changes files while a test works on them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def racing(program: str, *words: Path) -> Iterator[None]:
    """Run the body of an endless loop in another process; *words* are its sys.argv[1:].

    What fails with an OSError is tried again.
    """
    lines = "".join(f"        {line}\n" for line in program.splitlines())
    text = (
        "import ctypes, os, sys\nprint(flush=True)\nwhile True:\n"
        f"    try:\n{lines}    except OSError:\n        pass\n"
    )
    with subprocess.Popen([sys.executable, "-c", text, *words], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield
            assert process.poll() is None
        finally:
            process.kill()
