# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl boards``."""

from __future__ import annotations

import json
from pathlib import Path

from rslctl.profile import reader

from tests.command_line import Rslctl
from tests.unit.profile.support import PROFILE, write


def test_boards_lists_every_profile(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    status, out, _ = rslctl("boards", "--json")
    assert [each["name"] for each in json.loads(out)] == reader.built_in()


def test_boards_are_shown_and_checked(tmp_path: Path, rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards", "show", "zcu102")
    assert status == 0
    assert "offers: mailbox, doorbell" in out
    assert "  remote: zynqmp-r5-0\n  remoteproc: /remoteproc-split@ffe00000/r5f@0 " in out
    bad = write(tmp_path / "bad.toml", PROFILE.replace("trigger", "tiger"))
    worse = write(tmp_path / "worse.toml", "")
    status, out, err = rslctl("boards", "check", "kv260", bad, worse)
    assert (status, out) == (1, "kv260: 1 link(s), no mistake found\n")
    assert [line.split(": ")[1] for line in err.splitlines()] == [f"{bad}:15", f"{worse}:1"]
    assert rslctl("boards", "check")[0] == 0


def test_a_broken_profile_hides_no_other(tmp_path: Path, rslctl: Rslctl) -> None:
    write(tmp_path / "etc/rslctl/boards/mine.toml", "oops")
    status, out, err = rslctl("boards", "--root", tmp_path)
    assert status == 1
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    assert "mine.toml:1: is not TOML" in err
