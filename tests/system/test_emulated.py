# SPDX-License-Identifier: BSD-3-Clause
"""Boots the emulated board and runs the tests of tests/guest in it."""

from __future__ import annotations

import functools
import subprocess
import sys

import pytest

from tests.amp import build, qemu
from tests.amp.machine import REPOSITORY


@functools.cache
def board() -> build.Board:
    return build.board()


def run(booted: build.Board, command: str, timeout: float) -> None:
    outcome = qemu.boot(booted, command, timeout=timeout)
    assert outcome.passed, f"status {outcome.status}\n{outcome.console}"
    # What the tests inside have measured is worth seeing when all is well, too.
    print(outcome.console)


@pytest.mark.parametrize("name", build.guest_tests("6.1", "test_"))
def test_in_the_board(name: str) -> None:
    tests = "/guest/tests/guest"
    command = f"BRIEF=1 python3 -m pytest -p no:cacheprovider -rP --tb=short {tests}/{name}.py"
    run(board().for_test(name), command, 2400)


def test_bad_device_trees_are_refused_each_with_one_line() -> None:
    run(board().with_tree("bad"), "python3 /guest/tests/guest/bad_device_trees.py", 120)


def test_the_nodes_of_the_tests_follow_the_bindings_where_they_should() -> None:
    board()
    program = "import sys; from dtschema.dtb_validate import main; sys.exit(main())"
    found = {}
    for tree in ("merged", *build.TREES):
        bindings = REPOSITORY / "dt-overlays/bindings"
        blob = build.BUILD / f"{tree}.dtb"
        found[tree] = subprocess.run(
            [sys.executable, "-c", program, "-l", "rsl", "-s", bindings, blob],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        ).stdout
    assert found["merged"] == found["sim"] == found["rproc"] == ""
    assert "bad-payload (rsl,mbox-client): rsl,payload" in found["bad"]


def test_the_demo_works() -> None:
    run(board().with_virtio(), "sh /guest/tests/guest/demo.sh", 300)


def test_the_demo_of_two_virtual_machines_works() -> None:
    commands = [f"sh /guest/tests/guest/demo_vm.sh {role}" for role in ("daemon", "remote")]
    for outcome in qemu.boot_linked(board().machine(), commands, timeout=600):
        assert outcome.passed, f"status {outcome.status}\n{outcome.console}"


def test_a_command_that_fails_in_the_board_is_not_taken_for_a_success() -> None:
    outcome = qemu.boot(board(), "echo amp 0; false", timeout=120)
    assert (outcome.status, outcome.passed) == (1, False)


def test_a_board_that_dies_is_not_taken_for_a_success() -> None:
    outcome = qemu.boot(board(), "poweroff -f", timeout=120)
    assert (outcome.status, outcome.passed) == (None, False)
