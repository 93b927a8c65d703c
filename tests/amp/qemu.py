# SPDX-License-Identifier: BSD-3-Clause
"""Boots the emulated board, runs a command in it and says how that ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.amp import ivshmem
from tests.amp.build import BUILD, LINUX_ENTRY, Board, archive, join
from tests.amp.say import say


@dataclass(frozen=True)
class Outcome:
    """How a command in the board ended."""

    #: Exit status of the command; None where the board never told it.
    status: int | None
    #: Everything that came on the console.
    console: str

    @property
    def passed(self) -> bool:
        return self.status == 0


def boot(board: Board, command: str, *, timeout: float, show: bool = False) -> Outcome:
    """Boot, run the shell *command* and power off.

    The board prints a token that no other output can contain, with the exit status; *timeout*
    is in seconds and includes the boot. With *show* the console is copied to stdout.
    """
    token = f"amp-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as stack:
        initramfs = stack.enter_context(_initramfs(board, command, token))
        if board.ivshmem:
            more = ivshmem.emulator(stack.enter_context(ivshmem.served()))
            board = replace(board, emulator=(*board.emulator, *more))
        process = subprocess.Popen(
            _command(board, initramfs, serial="stdio"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            return _watch(process, token, timeout, show)
        finally:
            process.kill()
            process.wait()


def boot_linked(
    board: Board, commands: Sequence[str], *, timeout: float, links: int = 1, show: bool = False
) -> list[Outcome]:
    """As :func:`boot`, of a machine for each command at once, with ivshmem links between them.

    With *show* the first machine's console is copied to stdout.
    """
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(commands)))
        more: list[str] = []
        for number in range(links):
            path = stack.enter_context(ivshmem.served(remote=False))
            more += ivshmem.emulator(path, number)
        linked = replace(board, emulator=(*board.emulator, *more))
        booted = [
            pool.submit(boot, linked, command, timeout=timeout, show=show and not number)
            for number, command in enumerate(commands)
        ]
        return [each.result() for each in booted]


def shell(board: Board) -> None:
    """Boot and let the user look around, until they leave the shell."""
    say("leave with 'exit'; Ctrl-A X ends the emulator")
    with _initramfs(board, "TERM=linux setsid -c sh -i", "left") as initramfs:
        subprocess.run(_command(board, initramfs, serial="mon:stdio"), check=False)


def _command(board: Board, initramfs: Path, *, serial: str) -> list[str]:
    image = board.image.resolve()
    kernel = ["-kernel", str(image)]
    if board.shim:
        kernel = [
            *("-kernel", str(board.shim)),
            *("-device", f"loader,file={board.firmware},addr={board.firmware_base:#x}"),
            *("-device", f"loader,file={image},addr={LINUX_ENTRY:#x},force-raw=on"),
        ]
    arguments = [
        *board.architecture.arguments,
        f"maxcpus={board.cores}",
        "panic=-1",
        "quiet",
        "loglevel=4",
    ]
    return [
        board.architecture.emulator,
        *board.architecture.machine,
        *board.emulator,
        *(("-dtb", str(board.dtb)) if board.dtb else ()),
        *("-initrd", str(initramfs)),
        *kernel,
        # Linux stays off core 1, which the remote has.
        *("-append", " ".join([*arguments, *board.arguments])),
        *("-serial", serial, "-no-reboot"),
    ]


@contextlib.contextmanager
def _initramfs(board: Board, command: str, token: str) -> Iterator[Path]:
    """The board's initramfs with one archive more: what to run, and the token."""
    with tempfile.TemporaryDirectory(dir=BUILD) as name:
        directory = Path(name)
        guest = directory / "root/guest"
        guest.mkdir(parents=True)
        (guest / "command").write_text(f"{command}\n")
        (guest / "token").write_text(f"{token}\n")
        archive(directory / "root", directory / "last.cpio")
        whole = directory / "initramfs.cpio"
        join([board.initramfs, directory / "last.cpio"], whole)
        yield whole


def _watch(process: subprocess.Popen[bytes], token: str, timeout: float, show: bool) -> Outcome:
    assert process.stdout is not None
    output = process.stdout
    deadline = time.monotonic() + timeout
    console = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(min(1.0, max(0.0, deadline - time.monotonic()))):
                continue
            data = os.read(output.fileno(), 65536)
            if not data:
                console += f"\namp: the emulator ended with status {process.wait()}\n".encode()
                return Outcome(_status(console, token), _text(console))
            console += data
            if show:
                visible = b"".join(
                    line for line in data.splitlines(True) if token.encode() not in line
                )
                sys.stdout.buffer.write(visible)
                sys.stdout.buffer.flush()
    # Even a board that told of its success has to power off.
    return Outcome(None, f"{_text(console)}\namp: no end after {timeout:.0f} s\n")


def _text(console: bytes) -> str:
    return console.decode(errors="replace").replace("\r", "")


def _status(console: bytes, token: str) -> int | None:
    for line in _text(console).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == token and words[1].isdecimal():
            return int(words[1])
    return None
