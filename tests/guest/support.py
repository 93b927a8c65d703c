# SPDX-License-Identifier: BSD-3-Clause
"""What tests in the board do to the link behind rslctl's back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

#: Runs rslctl in this process: exit status, stdout, stderr.
Rslctl = Callable[..., tuple[int, str, str]]

DRIVER = Path("/sys/bus/platform/drivers/rsl_mbox_doorbell")


def device_name() -> str:
    """The platform device of the link."""
    (name,) = [path.name for path in Path("/sys/bus/platform/devices").glob("*.rsl-mbox")]
    return name


def unbind() -> None:
    (DRIVER / "unbind").write_text(device_name())
