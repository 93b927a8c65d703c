# SPDX-License-Identifier: BSD-3-Clause
"""What a user can do wrong or run into, each with the exit status it ends in."""

from __future__ import annotations

import os


class RslError(Exception):
    """A known error: one line that says what, and a hint what to do about it."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SeveralError(RslError):
    """Several known errors that were found in one go, a line each."""

    def __init__(self, messages: list[str], *, hint: str = "") -> None:
        super().__init__("\nrslctl: ".join(messages), hint=hint)
        self.messages = messages


class UsageError(RslError):
    """The command line makes no sense."""

    exit_status = 2


class WaitTimeoutError(RslError):
    """What was waited for did not come in time."""

    exit_status = 4


def os_error(action: str, error: OSError, *, hint: str = "") -> RslError:
    """Say in one line what could not be done and why.

    *action* names what was tried and on what, as "open '/dev/rsl_mbox0'".
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    if not hint and isinstance(error, PermissionError):
        hint = "run it as root"
    return RslError(f"cannot {action}: {reason}", hint=hint)
