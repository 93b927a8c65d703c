# SPDX-License-Identifier: BSD-3-Clause
"""``rslctl virtio``."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.command_line import Rslctl
from tests.unit.daemon.support import ENV, PLAY, play, program, start_playing

VIRTIO = f"{sys.executable} -m rslctl virtio"

#: Takes the devices as there once the daemon is ready, and talks to the entropy device.
REMOTE = """
    sys.path.insert(0, {root!r})
    from tests.unit.virtio.remote_side import Remote
    with client.receive() as link:
        assert link.memory[:4] == b"virt"
        remote = Remote(link, {version})
        (requests,) = remote.start(0)
        print(len({{remote.ask(requests) for _ in range(50)}}), flush=True)
"""


def remote(directory: Path, version: int) -> str:
    root = str(Path(__file__).parents[4])
    return program(directory, "remote", REMOTE.format(root=root, version=version))


def test_without_a_link_it_says_how_to_start_it(
    rslctl: Rslctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    for words in ([], ["--device", "vsock,cid=42", "--device", "console,pty=/a b", "--no-dtb"]):
        status, _, err = rslctl("virtio", *words)
        assert (status, err.startswith("rslctl: this process was given no link")) == (1, True)
        whole = shlex.join(["rslctl", "virtio", *words])
        assert f"start it with: rslctl run --user nobody -- {whole}\n" in err


@pytest.mark.parametrize("version", [1, 2])
def test_it_serves_a_remote_that_starts_once_it_is_ready(version: int, tmp_path: Path) -> None:
    daemon = f"{VIRTIO} --device rng --version {version}"
    status, out, err = play(remote(tmp_path, version), daemon, "--once-ready", "--with-remote")
    assert (status, out) == (0, "50\n"), err
    assert "rslctl: rng: the driver runs it: queues 0, features 0x" in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_success(number: signal.Signals) -> None:
    # The remote, which ends at once, is started when the daemon is ready.
    with start_playing("true", f"{VIRTIO} --device rng", "--once-ready") as running:
        assert running.stderr
        assert running.stderr.readline() == "rslctl: the remote has ended with status 0\n"
        running.send_signal(number)
        assert (running.wait(30), running.stderr.read()) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_it_is_ready_ends_it_with_success(
    number: signal.Signals, tmp_path: Path
) -> None:
    console = tmp_path / "console"
    words = f"--device console,socket={console} --device blk,socket={tmp_path}/none"
    with start_playing("true", f"{VIRTIO} {words}", "--once-ready") as running:
        deadline = time.monotonic() + 30
        while not console.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(number)
        assert running.wait(30) == 0
        assert not console.exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_not_taken_for_the_link(
    closed: str, tmp_path: Path
) -> None:
    checks = """
        sys.path.insert(0, {root!r})
        from tests.unit.virtio.remote_side import Remote
        with client.receive() as link:
            remote = Remote(link, 2)
            receive, transmit = remote.start(0, queues=2)
            at = (transmit.queue.used & ~0xFFF) + 0x800
            remote.memory.write(at, b"world")
            transmit.add([(at, 5)], [])
            receive.add([], [(at + 0x100, 64)])
            remote.notify(receive, transmit)
            remote.take(transmit)
            assert link.memory[:4] == b"virt"
            assert receive.get() is None
            print("right", flush=True)
    """
    text = checks.format(root=str(Path(__file__).parents[4]))
    script = tmp_path / "daemon"
    script.write_text(f"exec {VIRTIO} --device console --version 2 {closed}\n")
    remote = program(tmp_path, "remote", text)
    status, out, err = play(remote, f"sh {script}", "--once-ready", "--with-remote")
    written = "" if ">&-" in closed else "world"
    assert (status, out) == (0, f"{written}right\n"), err


def test_a_dry_run_says_what_it_would_serve_and_serves_nothing(tmp_path: Path) -> None:
    daemon = f"{VIRTIO} --device rng --device vsock,cid=42 --version 2 --dry-run"
    checks = """
        with client.receive() as link:
            assert not any(link.memory[:0x10000])
    """
    status, out, _ = play(program(tmp_path, "remote", checks), daemon)
    assert status == 0
    assert out.splitlines() == [
        "version 2 of the registers, without a device tree",
        "device      header      region     size    queues  vectors  back-end",
        "rng     0x70000000  0x70010000   0x6000  1 of 128        0  built in: getrandom(2)",
        "vsock   0x70000200  0x70016000  0x10000  3 of 128    0,1,2  vhost-vsock with CID 42",
    ]


def test_what_the_profile_leaves_open_is_told() -> None:
    status, _, err = play("true", VIRTIO)
    assert status == 1
    assert "rslctl: net: its back-end is not named: it needs tap=NAME or socket=PATH\n" in err
    assert "rslctl: 9p: there is no maintained back-end for 9p\n" in err
    assert "hint: new firmware takes fs" in err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("--device rgn", "did you mean 'rng'?"),
        ("--device rng --version 3", "Invalid value for '--version'"),
        ("--device rng --version 2 --dtb", "--dtb: only version 1 has a device tree"),
    ],
)
def test_wrong_options_are_errors_of_usage(words: str, text: str) -> None:
    done = subprocess.run(
        [*PLAY, "true", "--", *shlex.split(f"{VIRTIO} {words}")],
        env=ENV,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert text in " ".join(done.stderr.replace("│", " ").split())
