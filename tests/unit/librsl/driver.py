# SPDX-License-Identifier: BSD-3-Clause
"""Plays driver.c with rslctl.client: the same commands, and answers of the same form.

Instead of a negative errno an answer has the name of the exception.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable

from rslctl import client


def outcome(call: Callable[[], object]) -> str:
    """What a call gave, as one word; or its exception."""
    try:
        given = call()
    except Exception as error:
        return type(error).__name__
    return "0" if given is None else str(given).replace(" ", "")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1


def vectors(mask: str) -> list[int]:
    return [n for n in range(64) if int(mask, 0) >> n & 1]


def spawned(link: client.Link, command: list[str]) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(link.spawn(command), 0)[1])


def poll(link: client.Link) -> int:
    return len(select.select([link], [], [], 0)[0])


def inherited() -> int:
    """How many descriptors a program would inherit."""
    fds = [int(name) for name in os.listdir("/proc/self/fd")]
    return sum(fd > 2 and os.path.exists(f"/proc/self/fd/{fd}") and os.get_inheritable(fd)
               for fd in fds)  # fmt: skip


def close(link: client.Link) -> int:
    link.close()
    link.close()
    return open_descriptors()


def answer(link: client.Link, verb: str, *words: str) -> str:
    calls: dict[str, Callable[[], object]] = {
        "map": lambda: link.memory and None,
        "kick": lambda: link.kick(*vectors(words[0])),
        "wait": lambda: link.wait(int(words[0]) / 1000 if int(words[0]) >= 0 else None),
        "poll": lambda: poll(link),
        "fd": lambda: link.fileno() and None,
        "ignore": lambda: link.ignore(*vectors(words[0])),
        "again": client.receive,
        "spawn": lambda: spawned(link, list(words)),
        "cloexec": inherited,
        "close": lambda: close(link),
    }
    return outcome(calls[verb])


def with_link(path: str | None) -> None:
    before = open_descriptors()
    try:
        link = client.receive(path)
    except Exception as error:
        print("receive", type(error).__name__, open_descriptors() - before, error, flush=True)
        sys.stdin.read()
        return
    print("receive 0", open_descriptors() - before, "")
    print("link", link.name, link.vectors, flush=True)
    for line in sys.stdin:
        verb, *words = line.split()
        print(verb, answer(link, verb, *words), flush=True)
    link.close()


if __name__ == "__main__":
    if sys.argv[1] == "child":
        client.receive().kick(1)
    else:
        with_link(sys.argv[2] if len(sys.argv) > 2 else None)
