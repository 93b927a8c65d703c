# SPDX-License-Identifier: BSD-3-Clause
"""One of two virtual machines with links between them: two_machines.py SCENARIO ROLE COUNT.

tests/amp/machines.py starts both, and says what each scenario is.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rslctl.errors import WaitTimeoutError
from rslctl.linux import ivshmem, mbox
from rslctl.linux.host import Host

from tests.guest.meet import meet

PROFILE = Path("/guest/tests/guest/two_links.toml")
#: vsock_echo.c, and the address of the other machine.
ECHO, CID = "/guest/bin/vsock_echo", 42
#: Seconds that a storm lasts.
STORM = 10
#: Seconds after which the other machine is taken to be dead.
SILENCE = 5


def set_up(role: str, profile: Path | None = None) -> None:
    board = "ivshmem" if role == "daemon" else "ivshmem-remote"
    if profile:
        board = f"/tmp/{role}.toml"  # noqa: S108 - of a machine that is the test's alone
        Path(board).write_text(profile.read_text().replace('"daemon"', f'"{role}"'))
    subprocess.run(["rslctl", "setup", "--board", board], check=True)


def opened(link: str) -> mbox.Mailbox:
    return mbox.Mailbox(Host(), mbox.pick(Host(), link))


def lead(link: str, vector: int, more: Callable[[int], bool]) -> int:
    """Kick, and wait for the answer, while *more* is true of the number; return that."""
    done = 0
    with opened(link) as mailbox:
        while more(done):
            mailbox.kick(1 << vector)
            mailbox.wait(1 << vector, 60)
            done += 1
    return done


def follow(mailbox: mbox.Mailbox, vector: int, count: int) -> None:
    """Answer a number of kicks."""
    for _ in range(count):
        mailbox.wait(1 << vector, 120)
        mailbox.kick(1 << vector)


def counted(link: str, vector: int) -> tuple[int, int]:
    found = mbox.counters(Host(), mbox.pick(Host(), link))[vector]
    return found.kicks, found.notifications


def trips(role: str, count: int) -> None:
    set_up(role, PROFILE)
    for number, (leader, vector) in enumerate((("daemon", 0), ("remote", 1))):
        with opened("vm0") as mailbox:
            meet(2 * number + 1)
            if leader == role:
                lead("vm0", vector, lambda done: done < count)
            else:
                follow(mailbox, vector, count)
        meet(2 * number + 2)
        found = counted("vm0", vector)
        print(f"{role}: vector {vector}: {found[0]} kicks, {found[1]} notifications", flush=True)
        assert found == (count, count), found


def storm(role: str, count: int) -> None:
    """The remote kicks vector 2 of vm0 as fast as it can, while the daemon uses vm1."""
    del count
    set_up(role, PROFILE)
    ended = threading.Event()

    def answer() -> None:
        with opened("vm1") as mailbox:
            while not ended.is_set():
                if mailbox.wait(0b1000, None) & 0b1000:
                    mailbox.kick(0b1000)

    if role == "remote":
        # As processes: two threads of Python would keep each other waiting.
        flood = f"import os, time; f = os.open('{mbox.pick(Host(), 'vm0').node}', os.O_RDWR)\n"
        flood += f"end = time.monotonic() + {STORM}\nn = 0\n"
        flood += "while time.monotonic() < end:\n    os.write(f, b'\\4\\0\\0\\0'); n += 1\nprint(n)"
        threading.Thread(target=answer, daemon=True).start()
        time.sleep(1)
        meet(1)
        meet(2)
        told = subprocess.run(
            [sys.executable, "-c", flood], stdout=subprocess.PIPE, text=True, check=True
        )
        print(f"remote: {told.stdout.strip()} kicks in {STORM} s", flush=True)
        meet(3)
        return
    meet(1)
    rates = []
    with opened("vm0"):
        for wanted in (2, 3):
            began = time.monotonic()
            end = began + STORM
            done = lead("vm1", 3, lambda _, end=end: time.monotonic() < end)  # type: ignore[misc]
            rates.append(done / (time.monotonic() - began))
            if wanted == 2:
                meet(2)
    meet(3)
    stormed = counted("vm0", 2)[1]
    masked = mbox.storms(Host(), mbox.pick(Host(), "vm0"))[2]
    print(
        f"daemon: {rates[0]:.0f} round trips a second without a storm, {rates[1]:.0f} with "
        f"{stormed} notifications, masked {masked[0]} times",
        flush=True,
    )
    assert stormed > 1000
    # Two emulated machines are too slow to be masked: tests/guest/test_mask.py, on this transport.
    assert rates[1] * STORM >= 10


def returns(role: str, count: int) -> None:
    """The remote dies without a word, and comes back."""
    set_up(role)
    if role == "remote":
        # One of its lives: it ends with the command, and nothing is taken down.
        with opened("vm0") as mailbox:
            follow(mailbox, 0, 100)
        return
    device = Path(mbox.CLASS, mbox.pick(Host(), "vm0").device, "device").resolve()
    peers: list[str] = []
    with opened("vm0") as mailbox:
        while len(peers) < count:
            mailbox.kick(1)
            done = 0
            try:
                while mailbox.wait(1, SILENCE):
                    done += 1
                    mailbox.kick(1)
            except WaitTimeoutError:
                pass
            if done:
                peers.append((device / "peer").read_text().strip())
                print(f"daemon: {done} answers of machine {peers[-1]}", flush=True)
                # The last answers may be to kicks that came while it set itself up.
                assert done == 100
    assert len(set(peers)) == count, peers
    assert (device / "role").read_text() == "daemon\n"
    assert ivshmem.attribute(Host(), device.name, "position") not in peers


def vsock(role: str, count: int) -> None:
    """The daemon's kernel serves a vsock device, which a program of the other machine drives."""
    set_up(role)
    if role == "remote":
        with subprocess.Popen(["rslctl", "run", "--user", "nobody", "--", ECHO]) as program:
            meet(1)
            meet(2)
            assert program.poll() is None
            program.terminate()
        return
    subprocess.run(["modprobe", "vhost_vsock"], check=True)
    command = ["rslctl", "run", "--user", "nobody", "--open", "/dev/vhost-vsock:vhost-vsock", "--"]
    command += ["rslctl", "virtio", "--version", "2", "--device", f"vsock,cid={CID}"]
    with subprocess.Popen(command) as daemon, contextlib.ExitStack() as stack:
        stack.callback(daemon.kill)
        meet(1)
        with connected() as stream:
            began = time.monotonic()
            for number in range(count):
                data = f"{number:>8}".encode()
                stream.sendall(data)
                assert received(stream, 8) == data
            each = (time.monotonic() - began) / count
            print(f"daemon: {count} round trips over vsock, {each * 1e6:.0f} us each", flush=True)
            switches = Path(f"/proc/{daemon.pid}/status").read_text()
            data = bytes(n * n % 251 for n in range(4096)) * (count // 4)
            sender = threading.Thread(target=stream.sendall, args=(data,))
            sender.start()
            assert received(stream, len(data)) == data
            sender.join()
            print(f"daemon: {len(data)} bytes went and came back", flush=True)
            assert "CapEff:\t0000000000000000" in switches
        subprocess.run(["rslctl", "status"], check=True)
        meet(2)
        daemon.terminate()
        assert daemon.wait(60) == 0


def received(stream: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size and (more := stream.recv(size - len(data))):
        data += more
    return bytes(data)


def connected() -> socket.socket:
    """A connection to the other machine's program, once it is there."""
    deadline = time.monotonic() + 120
    while True:
        stream = socket.socket(socket.AF_VSOCK)
        stream.settimeout(60)
        try:
            stream.connect((CID, 7))
        except OSError:
            stream.close()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        else:
            return stream


SCENARIOS = {"vsock": vsock, "trips": trips, "storm": storm, "returns": returns}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
