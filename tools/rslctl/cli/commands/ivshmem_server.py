# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl ivshmem-server``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import typer

from rslctl.cli import options
from rslctl.cli.output import note
from rslctl.ivshmem import server
from rslctl.linux import listening


def ivshmem_server(
    socket: Annotated[
        Path, typer.Argument(metavar="SOCKET", help="The path of the socket to make.")
    ],
    size: Annotated[
        str,
        typer.Option(
            metavar="BYTES",
            help="Size of the shared memory: a power of two, at least 128K.",
        ),
    ] = "4M",
    vectors: Annotated[
        int, typer.Option(metavar="COUNT", help="Vectors of each machine, 1 to 32.")
    ] = 4,
) -> None:
    """Connect virtual machines by the shared memory and the doorbells of QEMU's ivshmem.

    Each machine gets -chardev socket,path=SOCKET,id=ID and
    -device ivshmem-doorbell,chardev=ID,vectors=COUNT. Runs until SIGTERM or SIGINT. The
    memory goes with the last machine and the server.

    Example: rslctl ivshmem-server /tmp/link.sock
    """

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # nobody reads it
            note(text)

    length = options.size(size)
    if length is None:
        raise typer.BadParameter(f"{size!r} is not a number of bytes, as 0x400000 or 4M")
    memory = server.memory(length)
    try:
        served = server.Server(memory, vectors, say)
        listening.have_many_descriptors()
        # Who connects shares all of the memory: the user of this process, and its group.
        with (
            listening.until_told_to_end(),
            listening.listening(socket, 0o660) as listener,
        ):
            say(f"serving {length:#x} bytes and {vectors} vectors at {listener.getsockname()}")
            served.serve(listener)
    finally:
        os.close(memory)
