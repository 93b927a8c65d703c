# SPDX-License-Identifier: BSD-3-Clause
"""What bitbake's parser leaves behind where it runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.unit import REPOSITORY


def test_where_the_environment_is_not_writable_nothing_is_left_in_the_checkout(
    tmp_path: Path,
) -> None:
    """bitbake's parser of shell keeps its tables where it is installed, or where it runs.

    To root every directory is writable, so the answer of access(2) is played here; and the tables
    that an earlier run has made are not found.
    """
    program = (
        "import os, runpy, sys; sys.path[0] = os.getcwd(); real = os.access; "
        "os.access = lambda path, mode: not str(path).endswith('/pysh') and real(path, mode); "
        "sys.modules['bb.pysh.pyshtables'] = None; "
        "runpy.run_module('tests.yocto.bake', run_name='__main__', alter_sys=True)"
    )
    settings = {"SERIES": "blacksail", "MACHINE": "zcu102-zynqmp", "DISTRO_FEATURES": "systemd"}
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", program, tmp_path, json.dumps(settings), "rslctl"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
        )
    assert (tmp_path / "pyshtables.py").exists()
    assert not (REPOSITORY / "pyshtables.py").exists()
