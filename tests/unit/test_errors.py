# SPDX-License-Identifier: BSD-3-Clause
"""What a user can run into: one line each, and the status that it ends in."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from rslctl.errors import RslError, SeveralError, UsageError, WaitTimeoutError, os_error

from tests.unit import REPOSITORY


def test_several_errors_are_a_line_each_that_begins_like_the_first() -> None:
    error = SeveralError(["one", "two"], hint="do this")
    assert f"rslctl: {error}".splitlines() == ["rslctl: one", "rslctl: two"]
    assert (error.messages, error.hint) == (["one", "two"], "do this")


def test_an_error_of_the_system_is_told_with_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        os.stat(tmp_path / "none")
    error = os_error("open '/x'", raised.value)
    assert (str(error), error.hint) == ("cannot open '/x': No such file or directory", "")


def test_an_error_without_a_number_keeps_its_own_words() -> None:
    assert str(os_error("read it", OSError("too far away"))) == "cannot read it: too far away"


@pytest.mark.parametrize("hint", ["", "ask its owner"])
def test_who_lacks_the_right_is_told_to_be_root_where_nothing_else_helps(hint: str) -> None:
    refused = PermissionError(errno.EACCES, "refused")
    assert os_error("open it", refused, hint=hint).hint == (hint or "run it as root")


def test_the_document_has_the_status_of_each_kind_of_error() -> None:
    text = (REPOSITORY / "docs/reference/exit-status.md").read_text()
    for kind in (RslError, UsageError, WaitTimeoutError):
        assert f"| {kind.exit_status} |" in text
