# SPDX-License-Identifier: BSD-3-Clause
"""The same with a remote that setup starts, or that it keeps the kernel from restarting."""

from __future__ import annotations

import functools
import json
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rslctl.cli.commands import setup
from rslctl.linux.host import Host
from rslctl.setup import lock

from tests.guest.test_setup_killed import (
    TEARDOWN,
    run,
    setup_killed_everywhere,
    snapshot,
    teardown_killed_everywhere,
)
from tests.guest.test_setup_killed import what_never_changes as what_never_changes
from tests.guest.test_setup_remote import PROFILE, RPROC

FIRMWARE = Path("/lib/firmware/other.elf")
JOURNAL = Path("/run/rslctl/rpu0.json")


@pytest.fixture(params=["setup", "daemon"])
def up(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], None]:
    """A setup with a remote processor that starts it, or leaves it to the daemon."""
    file = tmp_path / "board.toml"
    file.write_text(f'{PROFILE}start = "{request.param}"\n')
    return functools.partial(setup.setup, str(file), firmware=FIRMWARE.name)


@pytest.fixture
def before() -> Iterator[dict[str, object]]:
    pwd.getpwnam("nobody")
    with lock.locked(Host(), 0, print):
        pass
    shutil.copy(FIRMWARE.with_name("rsl-remote.elf"), FIRMWARE)
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    (RPROC / "recovery").write_text("enabled")
    yield snapshot()
    run(TEARDOWN)
    subprocess.run(["modprobe", "-r", "rsl_remoteproc_psci"], check=True)


def remote_is_up() -> bool:
    """Whether setup's journal has something to undo about the remote."""
    entries = json.loads(JOURNAL.read_text())["entries"] if JOURNAL.exists() else []
    return any(each["step"] in ("recovery", "remote") for each in entries)


def test_setup_of_a_remote_killed_at_any_point_converges_and_is_undone(
    up: Callable[[], None], before: dict[str, object]
) -> None:
    first = functools.partial(setup.setup, "qemu-virt")
    assert setup_killed_everywhere(up, before, first) > 5


def test_teardown_of_a_remote_killed_at_any_point_can_be_repeated(
    up: Callable[[], None], before: dict[str, object]
) -> None:
    assert teardown_killed_everywhere(up, before, remote_is_up) > 2
