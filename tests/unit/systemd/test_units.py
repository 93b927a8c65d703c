# SPDX-License-Identifier: BSD-3-Clause
"""The units of tools/systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit import REPOSITORY

UNITS = REPOSITORY / "tools/systemd"


@pytest.mark.parametrize(
    ("unit", "most"), [("setup", 29), ("watch", 19), ("daemon", 19), ("broker", 19)]
)
def test_the_units_have_no_more_rights_than_they_need(unit: str, most: int) -> None:
    """In tenths of what systemd-analyze calls exposure: 0 is the safest, 100 no hardening."""
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is missing (package systemd)")
    options = ("--no-pager", "--offline=yes", f"--threshold={most}")
    done = subprocess.run(
        [analyze, "security", *options, UNITS / f"rsl-{unit}@.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges no files (systemd 250 is the first that does)")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("drop_in", ["", "legacy.conf"])
def test_the_units_are_such_that_systemd_takes_them(tmp_path: Path, drop_in: str) -> None:
    directory = tmp_path / "rsl-daemon@.service.d"
    directory.mkdir()
    for unit in [each for each in UNITS.iterdir() if each.is_file()]:
        if unit.suffix == ".conf" and unit.name != drop_in:
            continue
        # Where rslctl and the manual are is the installation's.
        text = unit.read_text().replace("rslctl ", "/bin/true ").replace("sh -c", "/bin/sh -c")
        lines = [line for line in text.splitlines() if not line.startswith("Documentation")]
        place = directory if unit.suffix == ".conf" else tmp_path
        (place / unit.name).write_text("\n".join(lines))
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is missing (package systemd)")
    done = subprocess.run(
        [analyze, "verify", *sorted(str(each) for each in tmp_path.iterdir() if each.is_file())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
