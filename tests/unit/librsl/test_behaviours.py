# SPDX-License-Identifier: BSD-3-Clause
"""rsl.h and rslctl.client behave as the table of docs/reference/daemon.md says."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command_line import TOOLS
from tests.unit import REPOSITORY
from tests.unit.librsl.support import Link, World, as_bytes, eventfd_names, manifest, memfd, spawn

DOCUMENT = REPOSITORY / "docs/reference/daemon.md"
PYTHON = (sys.executable, Path(__file__).with_name("driver.py"))
LANGUAGES = ("rsl.h", "rslctl.client")


def table() -> dict[str, dict[str, str]]:
    """What happens, and what each language says of it, by the document."""
    text = DOCUMENT.read_text().split("## The two libraries\n")[1].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return {what: dict(zip(LANGUAGES, said, strict=True)) for what, *said in lines[1:]}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def world(
    language: str,
    driver: Path,
    tmp_path: Path,
    fds: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    monkeypatch.setenv("PYTHONPATH", str(TOOLS))
    world = World(driver, tmp_path, fds, *(PYTHON if language == "rslctl.client" else ()))
    yield world
    world.remote.close()
    for link in world.links:
        link.end()


def with_mbox(world: World, **environment: str) -> Link:
    return world.in_environment(manifest(), ["shmem", "mbox"], **environment)


def word(answered: str) -> str:
    """What a call gave: a negative errno by its name, or what there is."""
    number = -int(answered) if re.fullmatch(r"-\d+", answered) else 0
    return f"-{errno.errorcode[number]}" if number else answered


def asked(link: Link, *words: object) -> str:
    return word(link.ask(*words)[0])


def no_link(world: World) -> str:
    link = Link(spawn([*world.program, "link"], []))
    world.links.append(link)
    assert "LISTEN_PID" in link.error or "no descriptors in the environment" in link.error
    return word(link.outcome)


def of_another_process(world: World) -> str:
    link = with_mbox(world, LISTEN_PID="1")
    assert f"the descriptors are for process 1, this is {link.process.pid}" in link.error
    assert link.opened == 0
    return word(link.outcome)


def once_more(world: World) -> str:
    """Also after close(), when the numbers are those of other files."""
    link = with_mbox(world)
    first = asked(link, "again")
    assert asked(link, "kick", 0) == "0"
    open_after = link.ask("close")
    assert asked(link, "again") == first
    assert link.ask("close") == open_after
    return first


def of_another_version(world: World) -> str:
    document = world.keep(memfd(as_bytes(manifest(version=2))))
    link = world.placed([*world.pairs(["shmem", "mbox"]), ("manifest", document)])
    return word(link.outcome)


def lacks_a_descriptor(world: World) -> str:
    link = world.in_environment(manifest(), ["shmem", "x"])
    assert "descriptor mbox is missing, or notify0 of 4 vectors" in link.error
    return word(link.outcome)


def names_what_is_not_open(world: World) -> str:
    names = {"LISTEN_FDNAMES": "x:mbox:manifest:shmem", "LISTEN_FDS": "4"}
    link = with_mbox(world, **names)
    assert link.opened == 0
    return word(link.outcome)


def fails(world: World) -> str:
    """Its descriptors stay: a program that started it by mistake may still use them."""
    link = world.in_environment(manifest(version=2), ["shmem", "mbox"])
    assert word(link.outcome) in ("-EPROTO", "RslError")
    return "as before" if link.opened == 0 else "closed"


def others(world: World) -> str:
    """Among them two of one name, and some with names that another link would have."""
    names = ["http.socket", "http.socket", "kick7", "unknown", "", "notify31"]
    document = world.keep(memfd(as_bytes(manifest())))
    fds = [*world.pairs(["shmem", "mbox"]), *world.pairs(names), ("manifest", document)]
    link = world.placed(fds)
    assert link.outcome == "0"
    inheritable = link.number("cloexec")
    assert link.number("close") == 3 + len(names)
    return "as before" if inheritable == len(names) else "close on exec"


def its_own(world: World) -> str:
    link = world.eventfd_link()
    assert link.number("cloexec") == 0
    return "closed" if link.number("close") == 3 else "left"


def refused(world: World) -> str:
    link = world.by_broker({"version": 1, "error": "not you"}, [])
    assert link.error == "not you"
    return word(link.outcome)


def no_such_vector(world: World) -> str:
    link = with_mbox(world)
    assert asked(link, "ignore", 0b10001) == asked(link, "kick", 0b10001)
    return asked(link, "kick", 0b10001)


def time_is_over(world: World) -> str:
    assert asked(world.eventfd_link(), "wait", 50) == asked(with_mbox(world), "wait", 50)
    return asked(with_mbox(world), "wait", 0)


def notified(world: World) -> str:
    link = world.eventfd_link()
    world.notify(0)
    assert asked(link, "wait", 5000) in ("1", "[0]")
    world.notify(1, 2)
    return asked(link, "wait", -1)


def another_was_told(world: World) -> str:
    """Two processes with one open file: poll() wakes both, and read() serves one.

    A blocking file would keep the other in read() until the next notification.
    """
    links = [with_mbox(world), with_mbox(world)]
    assert fcntl.fcntl(world.mbox, fcntl.F_GETFL) & os.O_NONBLOCK
    for _ in range(20):
        start = time.monotonic()
        for link in links:
            assert link.process.stdin
            print("wait", 200, file=link.process.stdin, flush=True)
        time.sleep(0.05)
        world.remote.send((1).to_bytes(4, "little"))
        answers = sorted(link.line().split()[1] for link in links)
        assert answers in (["0", "1"], ["[0]", "[]"])
        assert 0.2 <= time.monotonic() - start < 5
    return "its time"


def gone(world: World) -> str:
    """A pipe plays the device that hangs up: poll() tells it, and there is nothing to read."""
    reading, writing = os.pipe()
    document = world.keep(memfd(as_bytes(manifest(memory=None, descriptors=["mbox"]))))
    world.keep(reading)
    os.write(writing, b"\x02\0\0\0")
    os.close(writing)
    link = world.placed([("mbox", reading), ("manifest", document)])
    assert asked(link, "wait", 1000) in ("1", "[1]")
    first = asked(link, "wait", -1)
    assert (asked(link, "wait", 0), asked(link, "poll")) == (first, "1")
    return first


def closed(world: World) -> str:
    said = set()
    for link in (with_mbox(world), world.eventfd_link()):
        link.ask("close")
        said |= {asked(link, *each) for each in (
            ("wait", -1), ("wait", 0), ("kick", 1), ("kick", 0), ("ignore", 1), ("map",),
            ("spawn", "true"), ("fd",),
        )}  # fmt: skip
    (one,) = said
    return one


def ignored(world: World) -> str:
    link = world.eventfd_link()
    world.notify(1)
    assert asked(link, "ignore", 0b10) == "0"
    world.notify(0, 1)
    assert asked(link, "wait", 0) in ("1", "[0]")
    assert asked(link, "poll") == "0"
    assert os.eventfd_read(world.eventfds["notify1"]) == 2
    world.notify(1)
    # No more of them, and another instead.
    assert asked(link, "ignore", 0b1) == "0"
    world.notify(0)
    answer = link.ask("wait", 0)
    assert answer[:2] in (["1", "2"], ["[1]"])
    return "in its eventfd" if os.eventfd_read(world.eventfds["notify0"]) == 1 else "lost"


def ignored_by_mbox(world: World) -> str:
    link = with_mbox(world)
    assert asked(link, "ignore", 0b10) == "0"
    world.remote.send((0b10).to_bytes(4, "little"))
    assert asked(link, "wait", 50) in ("0", "[]")
    world.remote.send((0b11).to_bytes(4, "little"))
    assert link.ask("wait", 50)[:2] in (["1", "1"], ["[0]"])
    assert asked(link, "ignore", 0) == "0"
    return "dropped" if asked(link, "wait", 0) in ("0", "[]") else "told"


def handed_on(world: World) -> str:
    """To a child in either language, by either way that the link came."""
    names = ["shmem", *eventfd_names(4)]
    environment = {"LISTEN_ADDRESS": "mine"}
    document = world.keep(memfd(as_bytes(manifest(descriptors=names))))
    fds = [*world.pairs(names), ("unknown", world.memory), ("manifest", document)]
    links = [world.placed(fds, **environment), with_mbox(world)]
    links.append(world.by_broker(manifest(descriptors=names)))
    for link in links:
        for program in ((world.driver,), PYTHON):
            assert asked(link, "spawn", *program, "child") == "0"
    assert os.eventfd_read(world.eventfds["kick1"]) == 4
    assert [world.remote.recv(8)[0] for _ in range(2)] == [2, 2]
    # The rest of the environment is the child's, too, and the parent has the link still.
    assert asked(links[0], "spawn", "sh", "-c", "exit${IFS}${#LISTEN_ADDRESS}") == "4"
    assert [asked(link, "kick", 1) for link in links] == ["0", "0", "0"]
    assert links[0].number("close") == 4
    return "received"


def no_such_program(world: World) -> str:
    link = with_mbox(world)
    said = asked(link, "spawn", "/no/such/program")
    assert link.number("close") == 3
    return said


SCENARIOS: dict[str, Callable[[World], str]] = {
    "receive: the process was given no link": no_link,
    "receive: the link is another process's; both are named": of_another_process,
    "receive once more, also after the link was closed": once_more,
    "receive: the manifest has another version, or is none": of_another_version,
    "receive: a descriptor that the manifest names is missing": lacks_a_descriptor,
    "receive: a descriptor is named that is not open": names_what_is_not_open,
    "receive fails: the descriptors that the process was given": fails,
    "receive, close: descriptors that the manifest does not name": others,
    "close: descriptors that the manifest names": its_own,
    "receive: the broker refuses, in these words": refused,
    "kick, ignore: the link has no such vector": no_such_vector,
    "wait: the time is over": time_is_over,
    "wait: vectors 1 and 2 were notified": notified,
    "wait, while another is told of the only notification": another_was_told,
    "wait: the link is gone; each time": gone,
    "any call but receive and close: the link is closed": closed,
    "ignore: notifications of that vector, with eventfds": ignored,
    "ignore: notifications of that vector, with mbox": ignored_by_mbox,
    "spawn: the link, in the child": handed_on,
    "spawn: there is no such program": no_such_program,
}


def test_the_table_has_every_behaviour_that_is_tested_here() -> None:
    assert list(table()) == list(SCENARIOS)


@pytest.mark.parametrize("what", SCENARIOS)
def test_both_libraries_behave_as_the_table_says(world: World, language: str, what: str) -> None:
    assert SCENARIOS[what](world) == table()[what][language].replace("`", "")
