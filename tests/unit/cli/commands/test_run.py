# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl run``."""

from __future__ import annotations

import pytest

from tests.command_line import Rslctl
from tests.unit.machine import Machine


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
    options = ("--root", machine.root, "--dry-run", "--open", "/none:x")
    status, out, _ = rslctl("run", *options, "--", "sh", "-c", "exit 3")
    assert (status, out.split()[:3]) == (0, ["rpu0:", "would", "execute"])
    assert out.splitlines()[1:] == ["rpu0: would open /none as x"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--group", "daemon"), "--group and --groups go with --user"),
        (("--board", "sim"), "--board and --remote go together"),
        (("--remote", "true"), "--board and --remote go together"),
        (("--once-ready",), "--once-ready and --with-remote go with --remote"),
        (("--legacy", "--eventfd"), "--legacy passes no descriptors"),
        (("--legacy", "--open", "/dev/null:x"), "--legacy passes no descriptors"),
        (("--open", "/dev/null"), "is not PATH:NAME"),
        (("--legacy", "--board", "sim", "--remote", "x"), "--legacy passes no descriptors"),
        (("--board", "sim", "--remote", "'"), "No closing quotation"),
        (("--board", "sim", "--remote", ""), "the command is empty"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    rslctl: Rslctl, arguments: tuple[str, ...], text: str
) -> None:
    status, _, err = rslctl("run", *arguments, "--", "true")
    assert status == 2
    assert text in err
