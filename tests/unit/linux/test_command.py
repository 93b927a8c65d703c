# SPDX-License-Identifier: BSD-3-Clause
"""Commands that are run, and fail."""

from __future__ import annotations

import pytest
from rslctl.errors import RslError
from rslctl.linux.command import run


def test_a_command_that_fails_is_told_by_the_last_line_of_its_errors() -> None:
    assert run(["echo", "yes"]) == "yes\n"
    with pytest.raises(RslError, match=r"^'sh -c .*' failed: second$"):
        run(["sh", "-c", "echo first >&2; echo second >&2; exit 3"])
    with pytest.raises(RslError, match=r"^'sh -c exit 3' failed: exit status 3$"):
        run(["sh", "-c", "exit 3"])
    with pytest.raises(RslError, match="cannot run 'no-such': No such file") as error:
        run(["no-such"], hint="install it")
    assert error.value.hint == "install it"
