# SPDX-License-Identifier: BSD-3-Clause
"""The bring-up scripts, where a board cannot be had to go wrong: with what stands for rslctl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command_line import write_starter
from tests.unit import REPOSITORY
from tests.unit.machine import REAL_BOARDS

SCRIPTS = REPOSITORY / "tools/bringup"

Run = Callable[..., tuple[int, str]]

#: Says of the link rpu0 that it is up and open, and becomes its daemon.
RSLCTL = """\
#!/bin/sh
case $1 in
boards) echo '{"links": [{"name": "rpu0"}]}' ;;
setup) echo '[{"link": "rpu0", "steps": []}]' ;;
status) [ "$2" != --link ] || { sleep 1 && echo '[{"open_files": 1}]'; } ;;
run)
	echo "$@"
	while [ "$1" != -- ]; do shift; done
	shift
	exec "$@"
	;;
teardown) echo taken down ;;
esac
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A script, whose files are below *tmp_path*."""
    for name in ("etc", "run", "log", "bin"):
        (tmp_path / name).mkdir()
    text = (SCRIPTS / "common.sh").read_text()
    for name, place in (("CONFIG", "etc"), ("RUN", "run"), ("LOG", "log")):
        text, count = re.subn(f"^{name}=.*$", f"{name}={tmp_path / place}", text, flags=re.M)
        assert count == 1
    (tmp_path / "common.sh").write_text(re.sub("^(TIMEOUT|READY)=.*$", r"\1=2", text, flags=re.M))
    shutil.copy(SCRIPTS / "zcu102", tmp_path)
    starter = tmp_path / "bin/rslctl"
    starter.write_text(RSLCTL)
    starter.chmod(0o755)

    def script(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            ["sh", tmp_path / "zcu102", *arguments],
            env={**os.environ, "PATH": f"{starter.parent}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout

    return script


def test_what_is_not_understood_is_told_without_rslctl(tmp_path: Path, run: Run) -> None:
    (tmp_path / "bin/rslctl").write_text("#!/bin/sh\nexit 1\n")
    for words in ([], ["begin"]):
        status, out = run(*words)
        assert (status, out.partition(" ")[0]) == (2, "usage:")


def test_a_board_that_is_not_known_is_all_that_is_told(tmp_path: Path, run: Run) -> None:
    write_starter(tmp_path / "bin")
    script = tmp_path / "zcu102"
    script.write_text(script.read_text().replace("BOARD=zcu102", "BOARD=zcu12"))
    status, out = run("start")
    assert status == 1
    assert [line.split(":")[0] for line in out.splitlines()] == ["rslctl", "hint"]


def test_the_file_of_a_link_is_read_as_systemd_reads_it(tmp_path: Path, run: Run) -> None:
    lines = ["# this", "; and that", "RSL_DAEMON=sleep 100", "", "COLOUR=dark red", "LAST=1"]
    (tmp_path / "etc/rpu0.env").write_text("\n".join(lines))
    assert run("start")[0] == 0
    assert run("stop") == (0, "zcu102: rpu0: its daemon has ended\ntaken down\n")
    (said,) = (tmp_path / "log/rsl-rpu0.log").read_text().splitlines()
    assert said == (
        "run --link rpu0 --user nobody --clean-env --setenv COLOUR=dark red --setenv LAST=1"
        " -- sleep 100"
    )


def test_a_daemon_that_leaves_the_foreground_is_not_taken_for_one(tmp_path: Path, run: Run) -> None:
    (tmp_path / "daemon").write_text("#!/bin/sh\nsleep 0.5\nsleep 20 &\n")
    (tmp_path / "daemon").chmod(0o755)
    (tmp_path / "etc/rpu0.env").write_text(f"RSL_DAEMON={tmp_path}/daemon\n")
    status, out = run("start")
    assert status == 1, out
    assert "link rpu0 is not served; undoing what was begun" in out
    assert "served by process" not in out


@pytest.mark.parametrize("text", ["", "4194305\n", "4194305 \n", "x y\n"])
def test_a_broken_note_of_a_process_is_nobodys(tmp_path: Path, run: Run, text: str) -> None:
    note = tmp_path / "run/rpu0.pid"
    note.write_text(text)
    status, out = run("status")
    assert (status, "its daemon has died" in out) == (1, True), out
    assert run("stop") == (0, "taken down\n")
    assert not note.exists()


def test_every_board_with_hardware_has_its_bring_up_script() -> None:
    boards = set(REAL_BOARDS)
    assert {path.name for path in SCRIPTS.iterdir()} == {*boards, "common.sh"}
    for name in boards:
        assert f"\nBOARD={name}\n" in (SCRIPTS / name).read_text()
        assert os.access(SCRIPTS / name, os.X_OK)
