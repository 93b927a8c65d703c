# SPDX-License-Identifier: BSD-3-Clause
"""Setup and teardown killed at every point where they change something."""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
import pwd
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rslctl.cli.commands import setup
from rslctl.devicetree import overlay, tree
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.setup import lock

from tests.guest.support import BRIEF

#: Every so many points one is tried, from one of the first on.
STEP = 3 if BRIEF else 1

# The commands as functions: it is not the command line that can be killed in a wrong moment.
SETUP = functools.partial(setup.setup, "qemu-virt", owner="nobody:nogroup", mode="0640")
TEARDOWN = functools.partial(setup.teardown)
SAID = Path("/guest/said")

#: Whatever changes something outside the process. A kill before one is a kill after the last.
CHANGES = (
    *((os, name) for name in ("open", "write", "replace", "unlink", "chown", "chmod", "mkdir")),
    *((os, name) for name in ("fsync", "fchmod", "fchown")),
    (subprocess, "run"),
)


def _count(kill_at: int) -> None:
    """Kill this process at the point number *kill_at*: before a change, or amid a write."""
    passed = 0

    def point(amid: Callable[[], object] | None = None) -> None:
        nonlocal passed
        passed += 1
        if passed == kill_at:
            if amid:
                amid()
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(change: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            # Files are opened by os.open() to be read, too, which changes nothing.
            if name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR):
                return change(*arguments, **more)
            point()
            if name == "write":
                # Of a file a part may be there; an attribute takes all or nothing.
                fd, data = arguments
                regular = stat.S_ISREG(os.fstat(fd).st_mode)
                in_sys = os.readlink(f"/proc/self/fd/{fd}").startswith("/sys/")
                if regular and not in_sys:
                    point(lambda: change(fd, data[: len(data) // 2]))
            return change(*arguments, **more)

        return call

    for module, name in CHANGES:
        setattr(module, name, watched(getattr(module, name), name))


def run(command: Callable[[], None], kill_at: int = 0) -> int:
    """Run a command in a process of its own; its status, -9 where it was killed."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        null = os.open(SAID, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(null, 1)
        os.dup2(null, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
        status = 99
        try:
            _count(kill_at)
            command()
            status = 0
        except RslError as error:
            print(error)
            status = error.exit_status
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def done(command: Callable[[], None]) -> None:
    status = run(command)
    assert status == 0, SAID.read_text()


def _states() -> Iterator[tuple[str, object]]:
    for module in sorted(os.listdir("/sys/module")):
        yield f"module {module}", Path(f"/sys/module/{module}/initstate").exists()
    for device in sorted(Path("/sys/bus/platform/devices").iterdir()):
        driver = device / "driver"
        yield f"{device.name} driver", driver.exists() and os.path.basename(os.readlink(driver))
        yield f"{device.name} override", (device / "driver_override").read_text()
    for remote in Path("/sys/class/remoteproc").glob("*"):
        for name in ("state", "firmware", "recovery"):
            yield f"{remote.name} {name}", (remote / name).read_text()
    for name in ("rsl_mbox", "uio"):
        directory = Path(f"/sys/class/{name}")
        yield name, sorted(os.listdir(directory)) if directory.exists() else None
    for top in ("/dev", "/run", "/etc", "/var/lib/rslctl"):
        for folder, _, files in os.walk(top):
            for name in files:
                path = Path(folder, name)
                now = path.lstat()
                about: list[object] = [now.st_mode, now.st_uid, now.st_gid]
                if stat.S_ISREG(now.st_mode):
                    about.append(hashlib.sha256(path.read_bytes()).hexdigest())
                yield str(path), about


def snapshot() -> dict[str, object]:
    """The state of all that setup could change."""
    return dict(_states())


@pytest.fixture(autouse=True)
def what_never_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The running device tree, read once for all the processes."""
    machine = tree.from_machine(Host())
    monkeypatch.setattr(tree, "from_machine", lambda _: machine)
    monkeypatch.setattr(overlay, "style_of", lambda *_: "rsl")
    monkeypatch.setattr(overlay, "unlike", lambda *_: [])


@pytest.fixture
def before() -> Iterator[dict[str, object]]:
    pwd.getpwnam("nobody")  # what looking that up loads is loaded once
    with lock.locked(Host(), 0, print):  # the directory and the lock stay
        pass
    yield snapshot()
    run(TEARDOWN)


def changed(now: dict[str, object], then: dict[str, object]) -> dict[str, object]:
    return {
        key: (then.get(key), now.get(key))
        for key in now.keys() | then.keys()
        if now.get(key) != then.get(key)
    }


def _without_inodes(state: dict[str, object]) -> dict[str, object]:
    """What the journal says of a state depends on how it came about."""
    return {key: value for key, value in state.items() if not key.startswith("/run/rslctl")}


def _points() -> Iterator[int]:
    """The numbers of the points to kill at."""
    return itertools.count(random.randint(1, STEP), STEP)  # noqa: S311


def setup_killed_everywhere(
    up: Callable[[], None],
    before: dict[str, object],
    first: Callable[[], None] = lambda: None,
) -> int:
    """Kill *up* at each of its points, which come after *first*; the last of them."""
    done(first)
    done(up)
    whole = _without_inodes(snapshot())
    assert changed(whole, _without_inodes(before))
    done(TEARDOWN)
    assert not changed(snapshot(), before)
    reached, began = 0, time.monotonic()
    done(first)
    for number, point in enumerate(_points()):
        if run(up, point) != -signal.SIGKILL:
            break
        reached = point
        if number % 2 == 0:
            done(up)
            assert not changed(_without_inodes(snapshot()), whole), f"at point {point}"
        done(TEARDOWN)
        assert not changed(snapshot(), before), f"at point {point}"
        done(first)
    # The last one was not killed, so it has to have come to its end.
    assert not changed(_without_inodes(snapshot()), whole), SAID.read_text()
    print(f"setup was killed up to point {reached}, {time.monotonic() - began:.0f} s")
    return reached


def teardown_killed_everywhere(
    up: Callable[[], None],
    before: dict[str, object],
    goes_on: Callable[[], bool] = lambda: True,
) -> int:
    """Kill the teardown after *up* at each of its points while it *goes_on* to be of interest;
    the last of them.
    """
    reached = 0
    done(up)
    for point in _points():
        if run(TEARDOWN, point) != -signal.SIGKILL or not goes_on():
            break
        reached = point
        done(TEARDOWN)
        assert not changed(snapshot(), before), f"at point {point}"
        done(up)
    done(TEARDOWN)
    assert not changed(snapshot(), before), SAID.read_text()
    print(f"teardown was killed up to point {reached}")
    return reached


def test_setup_killed_at_any_point_converges_and_is_undone(before: dict[str, object]) -> None:
    assert setup_killed_everywhere(SETUP, before) > 25


def test_teardown_killed_at_any_point_can_be_repeated(before: dict[str, object]) -> None:
    assert teardown_killed_everywhere(SETUP, before) > 10
