# SPDX-License-Identifier: BSD-3-Clause
"""The command line on machines made of files: results, exit statuses and messages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.machine import Machine


def test_boards_lists_every_profile(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    status, out, _ = rslctl("boards", "--json")
    assert [each["name"] for each in json.loads(out)] == reader.built_in()


def test_kick_writes_the_mask_of_the_vector(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    assert rslctl("kick", "3", "--root", machine.root) == (0, "rpu0: kicked vector 3\n", "")
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b"\x08\0\0\0"


def test_a_dry_kick_writes_nothing(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    out = "rpu0: would kick vector 3\n"
    assert rslctl("kick", "3", "--dry-run", "--root", machine.root) == (0, out, "")
    assert (machine.root / "dev/rsl_mbox0").read_bytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["kick", "x"],
        ["kick"],
        ["kick", "1", "2"],
        ["wait", "x"],
        ["wait", "--timeout", "-1"],
        ["wait", "--timeout", "nan"],
        ["wait", "--timeout", "inf"],
        ["setup"],
        ["setup", "--board", "qemu-virt", "--mode", "999"],
        ["run"],
        ["no-such-command"],
        ["status", "--root", "/no/such/directory"],
    ],
)
def test_a_command_line_that_makes_no_sense_ends_with_2(
    rslctl: Rslctl, arguments: list[str]
) -> None:
    status, out, err = rslctl(*arguments)
    assert (status, out) == (2, "")
    assert "Traceback" not in err


def test_status_shows_all_links(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link().with_link("rpu1", number=1, vectors=1)
    status, out, _ = rslctl("status", "--root", machine.root)
    assert status == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:3] == ["link", "rpu0:", "/dev/rsl_mbox0,"]
    assert ["3", "13", "0", "23"] in lines
    status, out, _ = rslctl("status", "--root", machine.root, "--json")
    assert [(each["name"], each["vectors"]) for each in json.loads(out)] == [
        ("rpu0", 4),
        ("rpu1", 1),
    ]


def test_status_without_a_link_ends_with_1(rslctl: Rslctl, machine: Machine) -> None:
    status, out, err = rslctl("status", "--root", machine.root, "--json")
    assert (status, json.loads(out)) == (1, [])
    assert "no link is up" in err


def test_run_refuses_an_unknown_user_or_program_before_anything(
    rslctl: Rslctl, machine: Machine
) -> None:
    machine.with_link()
    status, _, err = rslctl("run", "--root", machine.root, "--user", "nosuch", "--", "true")
    assert (status, err.splitlines()[0]) == (1, "rslctl: unknown user 'nosuch'")
    status, _, err = rslctl("run", "--root", machine.root, "--user", "root", "--", "true")
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: user 'root' has user id 0 and would not be without privilege",
    )
    status, _, err = rslctl("run", "--root", machine.root, "--", "no-such-program")
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: cannot find the program 'no-such-program'",
    )


def test_a_dry_run_says_what_it_would_execute(rslctl: Rslctl, machine: Machine) -> None:
    machine.with_link()
    status, out, _ = rslctl("run", "--root", machine.root, "--dry-run", "--", "sh", "-c", "exit 3")
    assert (status, out.split()[:3]) == (0, ["rpu0:", "would", "execute"])


def test_a_full_disk_is_told_in_a_line() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rslctl", "boards"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "rslctl: cannot write the result: No space left on device\n",
    )


def test_the_version_is_told(rslctl: Rslctl) -> None:
    assert rslctl("--version")[1].startswith("rslctl 0.")


def test_a_profile_may_be_named_by_its_file(rslctl: Rslctl, tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    profile.write_text((Path(reader.__file__).parent / "boards/qemu-virt.toml").read_text())
    status, out, _ = rslctl("overlay", "--board", profile)
    assert status == 0
    assert "--board mine" in out
