# SPDX-License-Identifier: BSD-3-Clause
"""Measure the time of kicks and notifications of a link, and the speed of its memory.

Times are CLOCK_MONOTONIC in nanoseconds. They include the interpreter's own time, which is the same
for all paths.
"""

from __future__ import annotations

import contextlib
import errno
import math
import mmap
import os
import platform
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from rslctl.bench.paths import PATHS, NotificationPath, Uio, check_unused
from rslctl.errors import RslError, UsageError, WaitTimeoutError
from rslctl.linux import mbox
from rslctl.linux.host import Host
from rslctl.setup import journal, kickable

#: Seconds without an answer after which the remote counts as silent.
ANSWER_TIMEOUT = 2
#: Seconds between two checks for an answer.
_LOOK = 0.5
#: Size of a copied block, in bytes.
BLOCK = 64 * 1024
#: Seconds of copying, per direction and round.
_COPYING = 0.1
#: Kicks in a row whose rate is measured, per round.
_BURST = 1000
#: Steps of the histogram per doubling.
_STEPS = 2

#: The measures: the call of a kick; a kick until its answer; and the interrupt of a notification
#: until a sleeping process is awake.
MEASURES = ("kick", "round_trip", "wake")


@dataclass(frozen=True)
class Settings:
    """What to measure, and how long."""

    paths: tuple[str, ...]
    vector: int = 0
    #: Kicks per path and round. If *seconds* is not None, it counts instead.
    count: int = 1000
    seconds: float | None = None
    rounds: int = 5
    #: Kicks before each round that are not measured.
    warm_up: int = 50
    #: Offset of a block that may be overwritten, in bytes; None: nothing is written.
    write_at: int | None = None


@dataclass
class Samples:
    """What was measured on one path, in nanoseconds."""

    #: By measure: one list per round.
    times: dict[str, list[list[int]]] = field(
        default_factory=lambda: {measure: [] for measure in MEASURES}
    )
    kicks: int = 0
    #: None if it is not known.
    coalesced: int | None = None
    seconds: float = 0.0
    #: Notifications that were not answers to our kicks.
    others: int = 0


def run(
    host: Host, link: mbox.LinkDevice, settings: Settings, note: Callable[[str], None]
) -> dict[str, Any]:
    """Measure an unused link, and return the document that docs/reference/bench.md describes.

    Raises:
        WaitTimeoutError: the remote does not answer.
        RslError: the link is in use or does not have a path, or its remote does not run.
    """
    link.vector(settings.vector)
    check_unused(host, link.name, [settings.vector])
    at = settings.write_at
    if at is not None and at % 4:
        raise UsageError(f"--write-at: {at:#x} is not a multiple of 4")
    if at is not None and (at < 0 or at + BLOCK > link.memory_size):
        raise UsageError(
            f"--write-at: {at:#x} leaves no {BLOCK:#x} bytes of the memory's {link.memory_size:#x}"
        )
    # Once, and before: output on the terminal would be measured, too.
    note(f"measuring link {link.name}: {settings.rounds} rounds of {', '.join(settings.paths)}")
    samples = {name: Samples() for name in settings.paths}
    for _ in range(settings.rounds):
        for name, found in samples.items():
            with _gone(host, link, name):
                _round(host, link, name, settings, found)
    return {
        "link": link.name,
        "vector": settings.vector,
        "transport": link.transport,
        "board": _board(host, link),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": _machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rounds": settings.rounds,
        "paths": [_path(name, found) for name, found in samples.items()],
        "memory": _memory(host, link, settings) if link.memory_size else [],
    }


def _machine() -> str:
    cpus = os.cpu_count()
    return f"{platform.machine()} with {cpus} CPU{'' if cpus == 1 else 's'}"


def _board(host: Host, link: mbox.LinkDevice) -> str | None:
    """The profile with which the link was set up; None if it was not, or that is not known."""
    with contextlib.suppress(RslError):
        facts = journal.facts(host, link.name)
        return facts.board if facts else None
    return None


def _round(
    host: Host, link: mbox.LinkDevice, name: str, settings: Settings, found: Samples
) -> None:
    """Measure one round of one path."""
    # A kick that is pending when the remote starts may hang the start.
    kickable.check_running(host, link.name)
    with PATHS[name](host, link, settings.vector) as path:
        with _watchdog(link, settings.vector) as alive:
            _sample(path, settings, found, alive)
            if path.stamps:
                _sample_wakes(path, settings, found, alive)
        path.drain()
        _burst(host, link, path, found)
        _settle(host, link, settings.vector)
        path.drain()


@contextlib.contextmanager
def _gone(host: Host, link: mbox.LinkDevice, name: str) -> Iterator[None]:
    """Report a link that went away. An eventfd does not report that."""
    gone = mbox.GoneError(
        f"link {link.name!r} went away", hint="rslctl doctor says what is wrong with it"
    )
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENODEV, errno.ENXIO, errno.EPIPE, errno.EIO):
            raise
        raise gone from error
    except WaitTimeoutError as error:
        if name != Uio.name and not host.exists(f"{mbox.CLASS}/{link.device}"):
            raise gone from error
        raise


@contextlib.contextmanager
def _watchdog(link: mbox.LinkDevice, vector: int) -> Iterator[list[int]]:
    """End a wait that takes too long. The caller increments the yielded counter at each answer."""
    progress, last = [0], [0]
    quiet = [0]

    def look(_: int, __: FrameType | None) -> None:
        quiet[0] = quiet[0] + 1 if progress == last else 0
        if quiet[0] * _LOOK >= ANSWER_TIMEOUT:
            raise WaitTimeoutError(
                f"the remote did not answer a kick of vector {vector} of link {link.name!r} in "
                f"{ANSWER_TIMEOUT} s",
                hint="bench needs a remote that answers each kick with a notification of the same "
                "vector; --vector says which",
            )
        last[:] = progress

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    try:
        yield progress
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _sample(path: NotificationPath, settings: Settings, found: Samples, alive: list[int]) -> None:
    """Measure one round of kicks that the remote answers."""
    path.drain()
    for _ in range(settings.warm_up):
        path.kick()
        path.wait()
        path.ready()
        alive[0] += 1
    kick, wait, ready, clock = path.kick, path.wait, path.ready, time.monotonic_ns
    rows: list[tuple[int, int, int]] = []
    count = path.stamp().count
    for _ in _turns(settings):
        began = clock()
        kick()
        kicked = clock()
        wait()
        rows.append((began, kicked, clock()))
        ready()
        alive[0] += 1
    found.others += max(0, path.stamp().count - count - len(rows))
    found.times["kick"].append([kicked - began for began, kicked, _ in rows])
    found.times["round_trip"].append([woken - began for began, _, woken in rows])


def _turns(settings: Settings) -> Iterator[None]:
    """Yield once per turn of a round: a number of turns, or as many as fit into its time."""
    began, done = time.monotonic(), 0
    while not done or (
        done < settings.count
        if settings.seconds is None
        else time.monotonic() - began < settings.seconds
    ):
        yield
        done += 1


def _sample_wakes(
    path: NotificationPath, settings: Settings, found: Samples, alive: list[int]
) -> None:
    """Measure one round of notifications that wake a sleeping process.

    The answer to a kick may arrive before the call of the kick returns. So another process kicks,
    for each byte of a pipe, while this process sleeps.
    """
    asked, ask = os.pipe()
    kicker = os.fork()
    if kicker == 0:
        os._exit(_kick_when_told(path, asked, ask))
    os.close(asked)
    wakes = []
    try:
        count = path.stamp().count
        for _ in _turns(settings):
            os.write(ask, b"k")
            path.wait()
            woken = time.monotonic_ns()
            last = path.stamp()
            path.ready()
            # If another one came, the time of ours is lost.
            if last.count == count + 1:
                wakes.append(woken - last.time)
            found.others += max(0, last.count - count - 1)
            count = last.count
            alive[0] += 1
    finally:
        os.close(ask)
        failed = os.waitstatus_to_exitcode(os.waitpid(kicker, 0)[1])
        if failed > 0:
            raise OSError(failed, os.strerror(failed))
    found.times["wake"].append(wakes)


def _kick_when_told(path: NotificationPath, asked: int, ask: int) -> int:
    """Kick for each byte of a pipe. Returns 0 at its end, or the errno of a failed kick."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.close(ask)
        while os.read(asked, 1):
            path.kick()
    except OSError as error:
        return error.errno or errno.EIO
    except BaseException:  # a signal that ends us all
        return 0
    return 0


def _burst(host: Host, link: mbox.LinkDevice, path: NotificationPath, found: Samples) -> None:
    """Measure how many kicks in a row are possible in a second."""
    there = host.exists(f"{mbox.CLASS}/{link.device}")
    before = mbox.counters(host, link)[path.vector].kicks_coalesced if there else 0
    began = time.monotonic()
    for _ in range(_BURST):
        path.kick()
    found.seconds += time.monotonic() - began
    found.kicks += _BURST
    if there:
        after = mbox.counters(host, link)[path.vector].kicks_coalesced
        found.coalesced = (found.coalesced or 0) + after - before


def _settle(host: Host, link: mbox.LinkDevice, vector: int) -> None:
    """Wait until the remote has answered the kicks in a row.

    Raises:
        WaitTimeoutError: the remote does not stop to notify.
    """
    seen = -1
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while host.exists(f"{mbox.CLASS}/{link.device}"):
        now = mbox.counters(host, link)[vector].notifications
        if now == seen:
            return
        if time.monotonic() > deadline:
            raise WaitTimeoutError(
                f"the remote does not stop to notify vector {vector} of link {link.name!r}",
                hint="bench needs a vector on which it answers kicks, and says nothing else",
            )
        seen = now
        time.sleep(0.02)
    time.sleep(0.05)  # UIO has the device, so nothing is counted


def percentile(values: Iterable[float], share: float) -> float:
    """The percentile of *values* by the nearest rank. *share* is from 0 to 1."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def step(value: int) -> int:
    """The number of the histogram's step that has a time in nanoseconds."""
    return int(_STEPS * math.log2(value)) if value > 0 else 0


def lower(number: int) -> int:
    """The lower end of a step of the histogram, in nanoseconds."""
    return round(2 ** (number / _STEPS))


def summary(rounds: list[list[int]]) -> dict[str, Any] | None:
    """The summary of one measure; None if there are no samples."""
    ordered = sorted(value for each in rounds for value in each)
    if not ordered:
        return None
    steps: dict[int, int] = {}
    for value in ordered:
        steps[step(value)] = steps.get(step(value), 0) + 1
    return {
        "samples": len(ordered),
        "min": ordered[0],
        "p50": percentile(ordered, 0.5),
        "p90": percentile(ordered, 0.9),
        "p99": percentile(ordered, 0.99),
        "p99.9": percentile(ordered, 0.999),
        "max": ordered[-1],
        "mean": round(sum(ordered) / len(ordered)),
        "p50_of_rounds": [percentile(each, 0.5) for each in rounds if each],
        "histogram": [[lower(number), count] for number, count in sorted(steps.items())],
    }


def _path(name: str, found: Samples) -> dict[str, Any]:
    return {
        "path": name,
        **{measure: summary(found.times[measure]) for measure in MEASURES},
        "kicks_per_second": round(found.kicks / found.seconds),
        "kicks": found.kicks,
        "kicks_coalesced": found.coalesced,
        "other_notifications": found.others,
    }


def _memory(host: Host, link: mbox.LinkDevice, settings: Settings) -> list[dict[str, Any]]:
    """Copy blocks out of the shared memory, into it if wanted, and within private memory."""
    own, other = bytearray(BLOCK), bytearray(BLOCK)
    with mbox.Mailbox(host, link) as mailbox:
        size = min(BLOCK, link.memory_size)
        shared = mmap.mmap(mailbox.fileno(), link.memory_size)
        at = settings.write_at or 0
        with memoryview(shared) as whole, whole[at : at + size] as there:
            ways = {
                "private": (memoryview(other), memoryview(own)),
                "read": (memoryview(own), there),
            }
            kept = bytes(there)
            if settings.write_at is not None:
                ways["write"] = (there, memoryview(kept))
            rates: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(settings.rounds):
                for name, (target, source) in ways.items():
                    rates[name].append(_copy(target[:size], source[:size]))
        shared.close()
    return [
        {
            "copy": name,
            "block": size,
            "bytes_per_second": round(percentile(each, 0.5)),
            "of_rounds": [round(rate) for rate in each],
        }
        for name, each in rates.items()
    ]


def _copy(target: memoryview, source: memoryview) -> float:
    """Copy a block repeatedly, and return the bytes per second."""
    began = now = time.monotonic()
    copied = 0
    while now - began < _COPYING:
        target[:] = source
        copied += len(source)
        now = time.monotonic()
    return copied / (now - began)
