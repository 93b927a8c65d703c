# SPDX-License-Identifier: BSD-3-Clause
"""The bring-up scripts, on a remote that Linux boots: the second core, by remoteproc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.guest.remote import Remote
from tests.guest.test_setup_remote import PROFILE, state

SCRIPTS = Path("/usr/lib/rslctl/bringup")
CONFIG = Path("/etc/rslctl/rpu0.env")
LOG = Path("/var/log/rsl-rpu0.log")
PID = Path("/run/rsl/rpu0.pid")

#: Serves the link until it is told to end; its argument and variable tell that it got them.
DAEMON = """\
import os, signal, subprocess, sys
from rslctl import client

if "stubborn" in sys.argv:
    subprocess.Popen(["sleep", "1000"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with client.receive() as link:
    while not link.wait(0.5):
        link.kick(1)
    print("answered", *sys.argv[1:], os.environ["COLOUR"], os.getuid(), flush=True)
    signal.pause()
"""


@dataclass
class Script:
    """A board's script, and the command of a daemon that serves its link."""

    path: Path
    command: str

    def begin(self, action: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", self.path, action], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __call__(self, action: str) -> tuple[int, str]:
        """Exit status, and all that it prints."""
        running = self.begin(action)
        out = running.communicate(timeout=300)[0]
        return running.returncode, out


def loaded() -> bool:
    return Path("/sys/module/rsl_mbox").exists()


def serve(command: str) -> None:
    options = "--user nobody --clean-env"
    text = f"# what serves it\nRSL_DAEMON={command}\nRSL_OPTIONS={options}\nCOLOUR=dark red\n"
    CONFIG.write_text(text)


def group(leader: int) -> list[str]:
    """The processes of a group, in the words of proc(5)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            stat = path.read_text()
            if stat.rpartition(")")[2].split()[2] == str(leader):
                found.append(stat)
    return found


def pid() -> int:
    return int(PID.read_text().split()[0])


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    """The script of a board whose profile says what boots the remote."""
    subprocess.run(["modprobe", "rsl_remoteproc_psci"], check=True)
    for path in (CONFIG, LOG):
        path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "board.toml").write_text(PROFILE)
    (tmp_path / "daemon.py").write_text(DAEMON)
    for path in (tmp_path, *tmp_path.parents):
        path.chmod(path.stat().st_mode | 0o055)
    command = f"python3 {tmp_path}/daemon.py x 1"
    serve(command)
    file = tmp_path / "rsl"
    text = (SCRIPTS / "qemu-virt").read_text()
    assert "BOARD=qemu-virt\n" in text
    file.write_text(text.replace("BOARD=qemu-virt", f"BOARD={tmp_path}/board.toml"))
    (tmp_path / "common.sh").symlink_to(SCRIPTS / "common.sh")
    # As in /etc/init.d.
    link = tmp_path / "init"
    link.symlink_to(file)

    made = Script(link, command)
    yield made
    made("stop")
    CONFIG.unlink()
    LOG.unlink(missing_ok=True)
    subprocess.run(["modprobe", "-r", "rsl_remoteproc_psci"], check=True)


def test_a_link_is_served_and_taken_down(script: Script) -> None:
    serve(f"{script.command} stubborn")
    both = [script.begin("start"), script.begin("start")]
    outs = [each.communicate(timeout=300)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0], outs
    out = "".join(outs)
    first = pid()
    assert "another start or stop is going on: waiting for its end" in out
    assert "rpu0: module rsl_mbox loaded: done" in out
    assert f"rpu0: served by process {first}" in out
    assert f"rpu0: its daemon runs already, process {first}" in out
    assert state() == "running"
    Remote.until(
        lambda: "answered x 1 stubborn dark red 65534\n" in LOG.read_text(),
        "the remote did not answer the daemon",
    )
    status, out = script("status")
    assert (status, f"rpu0: served by process {first}" in out) == (0, True), out
    assert len(group(first)) == 2

    status, out = script("stop")
    assert status == 0, out
    assert "rpu0: its daemon does not end: killing it" in out
    assert "rpu0: its daemon has ended" in out
    assert (state(), loaded(), PID.exists()) == ("offline", False, False)
    assert group(first) == []


def test_a_daemon_that_has_died_is_told_and_comes_back(script: Script) -> None:
    assert script("start")[0] == 0
    first = pid()
    os.kill(first, signal.SIGKILL)
    Remote.until(lambda: not Path(f"/proc/{first}").exists(), "the daemon did not die")
    status, out = script("status")
    assert (status, "rpu0: its daemon has died" in out) == (1, True), out
    status, out = script("restart")
    assert (status, state()) == (0, "running"), out
    assert pid() != first


def test_what_does_not_serve_is_told_and_undone(script: Script) -> None:
    CONFIG.unlink()
    status, out = script("start")
    assert (status, loaded()) == (0, True), out
    assert "rpu0: not served, as there is no /etc/rslctl/rpu0.env" in out
    assert script("status")[0] == 3
    serve("echo I cannot")
    status, out = script("start")
    assert status == 1, out
    assert "\nI cannot\n" in out
    assert "link rpu0 is not served; undoing what was begun" in out
    assert (state(), loaded(), PID.exists()) == ("offline", False, False)


def test_the_script_of_another_board_ends_at_what_rslctl_says() -> None:
    done = subprocess.run(
        ["sh", SCRIPTS / "zcu102", "start"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "rslctl: " in done.stderr
    assert "hint: " in done.stderr
    assert "zcu102: the links are not up; undoing what was begun" in done.stderr
    assert not loaded()
