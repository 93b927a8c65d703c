# SPDX-License-Identifier: BSD-3-Clause
"""The board "sim": two programs of this machine as daemon and remote."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.unit.daemon.support import ENV, PLAY, children, play, program, start_playing


def test_a_daemon_and_a_remote_exchange_messages_and_interrupts(tmp_path: Path) -> None:
    daemon = """
        with client.receive() as link:
            assert (link.manifest["role"], link.vectors) == ("daemon", 4)
            for number in range(2000):
                vector = number % 4
                link.memory[vector] = number % 251
                link.kick(vector)
                assert link.wait(10) == [vector]
                assert link.memory[4 + vector] == number % 251 + 1
            print("2000 round trips")
    """
    remote = """
        with client.receive() as link:
            assert link.manifest["role"] == "remote"
            while True:
                for vector in link.wait():
                    link.memory[4 + vector] = link.memory[vector] + 1
                    link.kick(vector)
    """
    status, out, err = play(program(tmp_path, "r", remote), program(tmp_path, "d", daemon))
    assert (status, out, err) == (0, "2000 round trips\n", "")


def test_once_ready_the_remote_starts_after_the_daemon_said_so(tmp_path: Path) -> None:
    daemon = """
        with client.receive() as link:
            time.sleep(0.5)
            link.memory[0] = 7
            link.ready()
            link.wait(10)
    """
    remote = """
        with client.receive() as link:
            print(link.memory[0], flush=True)
            link.kick(0)
    """
    programs = program(tmp_path, "r", remote), program(tmp_path, "d", daemon)
    assert play(*programs, "--once-ready")[1] == "7\n"


def test_a_daemon_that_ends_before_it_is_ready_ends_all(tmp_path: Path) -> None:
    assert play("sleep 100", "sh -c false", "--once-ready")[:2] == (1, "")


@pytest.mark.parametrize(
    ("command", "expected"), [("exit 7", 7), ("kill -9 $$", 137), ("exec /nowhere", 127)]
)
def test_the_status_is_the_daemons(tmp_path: Path, command: str, expected: int) -> None:
    script = tmp_path / "daemon"
    script.write_text(f"#!/bin/sh\n{command}\n")
    script.chmod(0o755)
    assert play("sleep 100", str(script))[0] == expected


def test_with_remote_its_end_is_the_end_and_its_status_counts() -> None:
    assert play("sh -c 'exit 5'", "sleep 100", "--with-remote")[0] == 5
    status, _, err = play("sh -c 'exit 5'", "sleep 0.5")
    assert (status, err) == (0, "rslctl: the remote has ended with status 5\n")


def test_a_program_that_is_not_there_is_told_before_anything_runs() -> None:
    for programs in (("no-such-program", "touch /nowhere"), ("true", "no-such-program")):
        status, _, err = play(*programs)
        assert (status, err.splitlines()[0]) == (
            1,
            "rslctl: cannot find the program 'no-such-program'",
        )


def test_signals_are_the_daemons_and_nobody_is_left(tmp_path: Path) -> None:
    daemon = """
        got = []
        signal.signal(signal.SIGUSR1, lambda n, _: got.append(n))
        signal.signal(signal.SIGHUP, lambda n, _: got.append(n))
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(len(got) + 40))
        os.write(1, b"up\\n")
        while True:
            signal.pause()
    """
    remote = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(1, b"%d\\n" % os.getpid())
        signal.pause()
    """
    # Each line in one write: what print() does in two can mix with the other program's.
    running = start_playing(program(tmp_path, "r", remote), program(tmp_path, "d", daemon))
    assert running.stdout
    said = {running.stdout.readline().strip() for _ in range(2)}
    (pid,) = said - {"up"}
    for number in (signal.SIGUSR1, signal.SIGHUP):
        running.send_signal(number)
        time.sleep(0.3)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 42
    # It had five seconds to end by itself.
    assert err == "rslctl: the remote does not end: killing it\n"
    assert not Path(f"/proc/{pid}").exists()


def test_two_programs_that_end_at_once_are_not_waited_for() -> None:
    for _ in range(5):
        began = time.monotonic()
        running = start_playing("sleep 60", "sleep 60")
        deadline = time.monotonic() + 20
        while len(children(running.pid)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(signal.SIGSTOP)
        for pid in children(running.pid):
            os.kill(pid, signal.SIGKILL)
        running.send_signal(signal.SIGCONT)
        running.communicate(timeout=60)
        assert running.returncode == 137
        assert time.monotonic() - began < 20


def test_a_daemon_may_be_ready_and_end_at_once(tmp_path: Path) -> None:
    # rslctl is stopped meanwhile, so that both are told to it together.
    daemon = """
        rslctl = os.getppid()
        os.kill(rslctl, signal.SIGSTOP)
        if not os.fork():
            time.sleep(0.5)
            os.kill(rslctl, signal.SIGCONT)
            os._exit(0)
        with client.receive() as link:
            link.ready()
    """
    assert play("sleep 9", program(tmp_path, "daemon", daemon)) == (0, "", "")


def test_nobody_is_left_when_rslctl_is_killed() -> None:
    running = start_playing("sleep 61", "sleep 61")
    deadline = time.monotonic() + 20
    while len(both := children(running.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.communicate(timeout=30)
    while any(Path(f"/proc/{pid}").exists() for pid in both):
        assert time.monotonic() < deadline + 20
        time.sleep(0.01)


def test_the_remote_has_no_share_in_input_terminal_and_readiness(tmp_path: Path) -> None:
    remote = """
        print("remote", os.environ.get("NOTIFY_SOCKET"), sys.stdin.read() == "", flush=True)
        print(os.getpgid(0) == os.getpid(), flush=True)
        with client.receive() as link:
            link.kick(0)
            link.wait()
    """
    daemon = """
        with client.receive() as link:
            link.wait()
            print("daemon", sys.stdin.read())
    """
    done = subprocess.run(
        [*PLAY, program(tmp_path, "r", remote), "--", *program(tmp_path, "d", daemon).split()],
        env={**ENV, "NOTIFY_SOCKET": "/nowhere"},
        input="words",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "remote None True\nTrue\ndaemon words\n"


def test_a_hang_up_ends_what_has_lost_its_terminal(tmp_path: Path) -> None:
    pid, master = pty.fork()
    if not pid:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) has it ignored
        os.execve(sys.executable, [*PLAY, "sleep 62", "--", "sleep", "62"], ENV)
    deadline = time.monotonic() + 20
    while len(both := children(pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(master)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert not any(Path(f"/proc/{each}").exists() for each in both)


def test_too_few_descriptors_are_told_in_a_line() -> None:
    command = " ".join([*PLAY, "true", "--", "true"])
    for limit in (14, 20, 28, 32):
        done = subprocess.run(
            ["sh", "-c", f"ulimit -n {limit}; exec {command}"],
            env=ENV,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert done.returncode == 0 or "rslctl: cannot " in done.stderr, limit


def test_every_board_can_be_played(tmp_path: Path) -> None:
    daemon = """
        with client.receive() as link:
            print(link.manifest["board"], link.name, link.vectors, link.manifest["transport"])
            print(hex(link.manifest["memory"]["base"]), len(link.memory))
    """
    command = list(PLAY)
    command[command.index("sim")] = "zcu102"
    done = subprocess.run(
        [*command, "sleep 100", "--", *program(tmp_path, "d", daemon).split()],
        env=ENV,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "zcu102 rpu0 1 sim\n0x37000000 16777216\n"
