# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl serve``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl import client

from tests.command_line import TOOLS, Rslctl
from tests.unit.machine import Machine


def test_serve_without_a_link_says_how_to_get_one(rslctl: Rslctl, machine: Machine) -> None:
    status, _, err = rslctl("serve", "--root", machine.root)
    assert (status, "bring it up with: rslctl setup" in err) == (1, True)


def test_a_link_is_served_until_the_broker_is_told_to_end(machine: Machine, tmp_path: Path) -> None:
    machine.with_link()
    path = tmp_path / "rpu0.sock"
    command = [sys.executable, "-m", "rslctl", "serve", "--root", machine.root, "--socket", path]
    process = subprocess.Popen(
        list(map(str, [*command, "--verbose"])),
        env={**os.environ, "PYTHONPATH": str(TOOLS)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    assert process.stderr.readline() == f"rslctl: serving link rpu0 at {path}\n"
    # The file that stands for the device is none of a link.
    with pytest.raises(client.RefusedError, match="cannot ask the name of '/dev/rsl_mbox0'"):
        client.receive(path)
    refused = f"rslctl: refused process {os.getpid()} of user {os.getuid()}: cannot ask the name"
    assert process.stderr.readline().startswith(refused)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=30)[1] == ""
    assert (process.returncode, path.exists()) == (0, False)


def test_a_socket_that_cannot_be_made_is_named(
    rslctl: Rslctl, machine: Machine, tmp_path: Path
) -> None:
    machine.with_link()
    (tmp_path / "file").write_text("")
    place = tmp_path / "file/rpu0.sock"
    status, _, err = rslctl("serve", "--root", machine.root, "--socket", place)
    assert status == 1
    assert f"rslctl: cannot listen at '{place}': " in err
