# SPDX-License-Identifier: BSD-3-Clause
"""rslctl on the libraries and the part of Python that an image of the layer has."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.amp import machine
from tests.unit.yocto.test_layer import baked
from tests.yocto.python3 import PACKAGES

#: The click of each series (openembedded-core).
CLICKS = {"scarthgap": "8.1.7", "wrynose": "8.3.1", "blacksail": "8.4.2"}


@pytest.mark.parametrize("series", CLICKS)
def test_rslctl_runs_on_what_its_recipes_ask_for(tmp_path: Path, series: str) -> None:
    asked = {
        name
        for recipe in ("rslctl", "python3-fdt", "python3-typer-slim")
        for name in baked(tmp_path, recipe, SERIES=series)[f"RDEPENDS:{recipe}"].split()
    }
    standard = {name.removeprefix("python3-") for name in asked} & set(PACKAGES)
    libraries = [
        f"{variables['PN'].removeprefix('python3-')}=={variables['PV']}"
        for variables in (
            baked(tmp_path, recipe, SERIES=series)
            for recipe in ("python3-fdt", "python3-typer-slim")
        )
    ]
    others = ["python-periphery", "pyudev", "shellingham", f"click=={CLICKS[series]}"]
    python = machine.environment(f"the libraries of {series}", [*libraries, *others])
    for without in (None, "mmap"):
        done = subprocess.run(
            [python, "-m", "tests.yocto.python3", *sorted(standard - {without})],
            cwd=machine.REPOSITORY,
            env=os.environ | {"PYTHONPATH": "tools:."},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode == 0) == (without is None), done.stderr
    assert "mmap is in python3-mmap" in done.stderr
