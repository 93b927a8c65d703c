# SPDX-License-Identifier: BSD-3-Clause
"""A profile to be made mistakes in."""

from __future__ import annotations

from pathlib import Path

from rslctl.profile import model, reader, toml

PROFILE = """\
description = "a board"
compatible = "vendor,board"

[[link]]
name = "rpu0"

[link.memory]
base = 0x70000000
size = 0x1000000

[link.doorbell]
register = 0x8020040
kick-values = [80, 81]
spis = [90, 91]
trigger = "edge-rising"
"""


def parse(text: str) -> model.Board:
    return reader.parse(toml.read(text, "test.toml"), "test")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


MAILBOX = PROFILE[: PROFILE.index("[link.doorbell]")] + "[link.mailbox]\n"
DOORBELL = PROFILE + "size = 0x20\nstatus-offset = 0x10\nstatus-masks = [1, 2]\n"
