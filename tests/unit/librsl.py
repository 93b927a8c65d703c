# SPDX-License-Identifier: BSD-3-Clause
"""C programs with rsl.h, built on this machine, and links to hand to them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
DRIVER = REPOSITORY / "tests/unit/librsl_driver.c"
EXAMPLE = REPOSITORY / "tools/examples/daemon.c"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wpedantic", f"-I{REPOSITORY / 'tools/librsl'}"]
#: Unoptimized, for gcc leaves checks out otherwise.
SANITIZERS = ["-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

#: The size of the memory, and where it begins in the descriptor shmem.
SIZE, OFFSET = 64 * 1024, 4096


def build(source: Path, target: Path, compiler: str, *flags: str) -> str:
    """What a compiler says of a program; the empty string where it built it."""
    command = [compiler, *flags, *WARNINGS, "-o", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"status {done.returncode}")


def built(source: Path, directory: Path) -> Path:
    """A program for this machine, with sanitizers where they work."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler for this machine: install gcc")
    probe = directory / "probe.c"
    probe.write_text("int main(void)\n{\n\treturn 0;\n}\n")
    works = build(probe, directory / "probe", compiler, *SANITIZERS) == ""
    works = works and subprocess.run([directory / "probe"], check=False).returncode == 0
    target = directory / source.stem
    said = build(source, target, compiler, "-std=gnu99", *(SANITIZERS if works else ()))
    assert said == ""
    return target


def manifest(**changes: Any) -> dict[str, Any]:
    """A manifest of four vectors and memory, with other values for some keys."""
    return {
        "version": 1,
        "role": "daemon",
        "link": "rpu0",
        "board": None,
        "transport": "doorbell",
        "vectors": 4,
        "memory": {"base": 0x70000000, "size": SIZE, "offset": OFFSET},
        "descriptors": ["shmem", "mbox"],
        "virtio": {"device_tree": False, "devices": [{"kind": "rng", "header": 512}]},
        "remote_dt": None,
        "of-tomorrow": [{"x": 1e3}],
        **changes,
    }


def eventfd_names(vectors: int) -> list[str]:
    return [f"{kind}{n}" for kind in ("notify", "kick") for n in range(vectors)]


def as_bytes(document: dict[str, Any] | str | bytes) -> bytes:
    text = json.dumps(document) if isinstance(document, dict) else document
    return text.encode() if isinstance(text, str) else text


def memfd(content: bytes = b"") -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


def spawn(command: list[str | Path], fds: list[int], **environment: str) -> subprocess.Popen[str]:
    """A program with nothing in its environment of who started this one."""
    foreign = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET")
    kept = {key: value for key, value in os.environ.items() if key not in foreign}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=fds,
        env=kept | environment,
    )
    # One that hangs is to fail its test, not to keep it.
    watchdog = threading.Timer(60, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def hand_over(
    driver: Path, fds: list[tuple[str, int]], *program: str | Path, **environment: str
) -> subprocess.Popen[str]:
    """A program whose descriptors from 3 on are these, by these names, and no others."""
    numbers = [fd for _, fd in fds]
    listen = {"LISTEN_FDS": str(len(fds)), "LISTEN_FDNAMES": ":".join(name for name, _ in fds)}
    command = [driver, "place", ",".join(map(str, numbers)), *program]
    return spawn(command, numbers, **listen | environment)


class Link:
    """A process of the driver that was to receive a link, and does what it is asked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        #: The errno, how many more descriptors are open than before, and the text.
        word, rc, opened, self.error = self.line().split(" ", 3)
        assert word == "receive"
        self.errno, self.opened = -int(rc), int(opened)
        self.facts = self.line().split()[1:] if self.errno == 0 else []

    def line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            pytest.fail(f"the driver ended: {self.process.communicate()[1]}")
        return line.rstrip("\n")

    def ask(self, *words: object) -> list[str]:
        """The words of the answer after the first, which is the command's."""
        assert self.process.stdin
        print(*words, file=self.process.stdin, flush=True)
        verb, *answer = self.line().split()
        assert verb == words[0]
        return answer

    def number(self, *words: object) -> int:
        (answer,) = self.ask(*words)
        return int(answer)

    def wait(self, timeout_ms: int) -> tuple[int, int]:
        """What rsl_wait() returned, and the mask."""
        rc, mask, _ = map(int, self.ask("wait", timeout_ms))
        return rc, mask

    def end(self) -> None:
        """Let it end, which a sanitizer makes a failure of if it has seen one."""
        out, err = self.process.communicate(timeout=20)
        assert (self.process.returncode, out, err) == (0, "", "")
