# SPDX-License-Identifier: BSD-3-Clause
"""The errors that a user can cause or meet, each with its exit status."""

from __future__ import annotations

import os


class RslError(Exception):
    """A known error: a message of one line, and a hint that says what to do about it."""

    exit_status = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class SeveralError(RslError):
    """Several known errors that were found together, one line each."""

    def __init__(self, messages: list[str], *, hint: str = "") -> None:
        super().__init__("\nrslctl: ".join(messages), hint=hint)
        self.messages = messages


class UsageError(RslError):
    """The command line is wrong."""

    exit_status = 2


class WaitTimeoutError(RslError):
    """An expected event did not come in time."""

    exit_status = 4


def os_error(action: str, error: OSError, *, hint: str = "") -> RslError:
    """Make an error of one line from *error* and the *action* that failed.

    *action* is a verb and its object, for example "open '/dev/rsl_mbox0'".
    """
    reason = os.strerror(error.errno) if error.errno else str(error)
    if not hint and isinstance(error, PermissionError):
        hint = "run it as root"
    return RslError(f"cannot {action}: {reason}", hint=hint)
