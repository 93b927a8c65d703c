# SPDX-License-Identifier: BSD-3-Clause
"""Virtio devices of a link, driven by a real remote on core 1 and served by "rslctl virtio".

The back-ends are the kernel's vhost, qemu-storage-daemon and virtiofsd; the daemon has built in
the console and the source of random numbers. Each notification is an interrupt. The remote is
tests/remote/virtio.c, with tools/librsl/rsl_remote.h.

By default the sizes are small; "make check-virtio" has those that say more.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest import virtio
from tests.guest.remote import Remote
from tests.guest.support import VIRTIO_MAGIC
from tests.guest.virtio import Commands, Daemon, Driver, connect, echo, receive


def size(name: str, small: int) -> int:
    """What the environment says, or *small*."""
    return int(os.environ.get(f"VIRTIO_{name}", small))


ROUNDS = size("ROUNDS", 200)
BYTES = size("BYTES", 200_000)
PINGS = size("PINGS", 50)
SECTORS = size("SECTORS", 256)
RESTARTS = size("RESTARTS", 3)
KILL_SECONDS = size("KILL_SECONDS", 6)
MAD = size("MAD", 2000)

CONNECTIONS = 64
IMAGE_SECTORS = 8192
FILES = {"hello": b"from Linux\n", "empty": b"", "large": virtio.PATTERN[:50_000]}


class Board:
    """What all tests of a version share: the link, the back-ends, the daemon, the remote."""

    def __init__(self, version: int, link: mbox.LinkDevice, stack: contextlib.ExitStack) -> None:
        """*stack* undoes it."""
        self.version, self.link = version, link
        self.image = virtio.PLACE / "disk.img"
        numbers = random.Random(version)  # noqa: S311
        self.image.write_bytes(numbers.randbytes(IMAGE_SECTORS * virtio.SECTOR))
        self.image.chmod(0o666)
        self.storage = virtio.storage(self.image)
        stack.callback(self.storage.kill)
        self.files = virtio.files()
        stack.callback(self.files.kill)
        self.driver = Driver(link)
        stack.callback(self.driver.close)
        self.daemon = Daemon(link, self.driver)
        stack.callback(self.stop)
        self.daemon.start()

    def stop(self) -> None:
        """End the daemon, if it has not ended."""
        if self.daemon.alive:
            self.daemon.stop()

    def start(self, *devices: str) -> None:
        """Start a daemon, with these devices or with those of the profile."""
        # virtiofsd ends a moment after its front-end.
        self.files.kill()
        self.restart_backends()
        self.daemon = Daemon(self.link, self.driver, devices)
        self.daemon.start()

    def restart(self, *devices: str) -> None:
        self.stop()
        self.start(*devices)

    def restart_backends(self) -> None:
        """Start those that have ended."""
        self.storage.restart()
        self.files.restart()

    def mend(self) -> None:
        """Have everything as it was at first, whatever a test has left."""
        self.restart_backends()
        if not self.daemon.alive or self.daemon.devices or not self.daemon.all_run():
            self.restart()


@pytest.fixture(scope="module", params=[2, 1], ids=["version 2", "version 1"])
def whole(request: pytest.FixtureRequest) -> Iterator[Board]:
    """The link, served; once for each version."""
    with contextlib.ExitStack() as stack:
        for place in (virtio.PLACE, virtio.SHARED):
            place.mkdir()
            stack.callback(shutil.rmtree, place)
        os.chown(virtio.PLACE, virtio.NOBODY, virtio.NOBODY)
        for name, content in FILES.items():
            (virtio.SHARED / name).write_bytes(content)
        yield Board(request.param, virtio.set_up(request.param, stack), stack)


@pytest.fixture
def board(whole: Board) -> Board:
    whole.mend()
    return whole


@pytest.fixture
def commands(board: Board) -> Iterator[Commands]:
    made = Commands()
    yield made
    made.close()


def talks(rounds: int = 3) -> None:
    """The remote answers over vsock."""
    with connect(virtio.ECHO) as connection:
        for number in range(rounds):
            echo(connection, b"%d\n" % number)


def leaves_asleep(board: Board, rounds: int) -> bool:
    """Whether the daemon slept all the time over so many round trips.

    With version 1, where all queues have one doorbell, it looks for itself once a second.
    """
    before, began = board.daemon.runs(), time.monotonic()
    talks(rounds)
    after, seconds = board.daemon.runs(), time.monotonic() - began
    if board.version == 2:
        return after == before
    return after[0] - before[0] <= 2 + 2 * seconds


def test_round_trips_over_vsock_leave_the_daemon_asleep(board: Board) -> None:
    # With version 1 it listens for some seconds more; few round trips could be one wake.
    Remote.until(lambda: leaves_asleep(board, 50), "each round trip wakes the daemon")
    counters = mbox.counters(Host(), board.link)
    began = time.monotonic()
    assert leaves_asleep(board, ROUNDS), "some round trips wake the daemon"
    seconds = time.monotonic() - began
    notified = sum(each.notifications for each in mbox.counters(Host(), board.link))
    assert notified - sum(each.notifications for each in counters) >= ROUNDS
    print(f"{ROUNDS} round trips, {seconds / ROUNDS * 1e6:.0f} us each")


def test_the_daemon_has_no_right(board: Board) -> None:
    assert board.daemon.status("Uid").split() == [str(virtio.NOBODY)] * 4
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert board.daemon.status(name) == f"{0:016x}"
    assert board.daemon.status("NoNewPrivs") == "1"


def test_a_second_daemon_is_refused(board: Board) -> None:
    done = subprocess.run(
        ["rslctl", "run", "--", "rslctl", "virtio", "--device", "rng"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "another process serves the devices of link 'rpu0'" in done.stderr
    talks()


def test_status_shows_the_queues_of_what_runs(board: Board) -> None:
    talks()

    def shown() -> dict[str, Any]:
        done = subprocess.run(["rslctl", "status", "--json"], stdout=subprocess.PIPE, check=True)
        (link,) = json.loads(done.stdout)
        return {each["name"]: each for each in link["virtio"]}

    def answered(device: str, queue: int) -> bool:
        each = shown()[device]["queues"][queue]
        return bool(each["available"] == each["used"] != 0)

    found = shown()
    assert [*found] == ["vsock", "net", "blk", "fs"]
    assert {each["state"] for each in found.values()} == {"running"}
    assert [each["queue"] for each in found["vsock"]["queues"]] == [0, 1]
    assert all(each["features_taken"] is not None for each in found.values())
    # What the remote sends is taken; of what it keeps for Linux to send, something is left.
    Remote.until(lambda: answered("vsock", 1), "vsock does not answer")
    each = shown()["vsock"]["queues"][0]
    assert 0 < (each["available"] - each["used"]) % 65536 <= each["size"]


def test_what_is_sent_comes_back_as_it_was(board: Board) -> None:
    with connect(virtio.ECHO) as connection:
        for data in virtio.random_pieces(BYTES, seed=board.version):
            # Not more at a time than both ends can hold.
            for at in range(0, len(data), 4096):
                echo(connection, data[at : at + 4096])


def test_every_byte_that_linux_sends_reaches_the_remote(board: Board) -> None:
    with connect(virtio.DISCARD, timeout=120) as connection:
        began = time.monotonic()
        connection.sendall(BYTES.to_bytes(8, "little"))
        for piece in virtio.pieces(BYTES):
            connection.sendall(piece)
        answer = receive(connection, 16)
    counted = (int.from_bytes(answer[:8], "little"), int.from_bytes(answer[8:], "little"))
    assert counted == (BYTES, BYTES)
    print(f"{BYTES / (time.monotonic() - began) / 1e6:.2f} MB/s to the remote")


def test_every_byte_that_the_remote_sends_reaches_linux(board: Board) -> None:
    with connect(virtio.SOURCE, timeout=120) as connection:
        began = time.monotonic()
        connection.sendall(BYTES.to_bytes(8, "little"))
        for piece in virtio.pieces(BYTES):
            assert receive(connection, len(piece)) == piece
    print(f"{BYTES / (time.monotonic() - began) / 1e6:.2f} MB/s from the remote")


def test_sixty_four_connections_at_once_get_what_is_theirs(board: Board) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connect(virtio.ECHO)) for _ in range(CONNECTIONS)]
        for turn in range(3):
            sent = [os.urandom(100 + turn * 700 + number) for number in range(CONNECTIONS)]
            for connection, data in zip(connections, sent, strict=True):
                connection.sendall(data)
            for connection, data in zip(reversed(connections), reversed(sent), strict=True):
                assert receive(connection, len(data)) == data
    talks()


@contextlib.contextmanager
def listening() -> Iterator[socket.socket]:
    """A port of Linux for the remote to connect to."""
    with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
        listener.bind((socket.VMADDR_CID_ANY, socket.VMADDR_PORT_ANY))
        listener.listen()
        listener.settimeout(30)
        yield listener


def asked(listener: socket.socket) -> socket.socket:
    """The connection over which the remote was asked to connect to the listener."""
    connection = connect(virtio.BACK)
    connection.sendall(listener.getsockname()[1].to_bytes(4, "little"))
    return connection


def connected(listener: socket.socket) -> socket.socket:
    """Have the remote connect to it."""
    with asked(listener):
        connection, (cid, _) = listener.accept()
    connection.settimeout(30)
    assert cid == virtio.CID
    assert receive(connection, 6) == b"hello\n"
    return connection


def test_the_remote_connects_to_a_program_of_linux(board: Board) -> None:
    with listening() as listener, connected(listener) as connection:
        echo(connection, b"good day\n")


def begin(board: Board) -> None:
    """Have the remote begin anew under the same daemon."""
    board.driver.begin()
    board.daemon.wait_until_all_run()


def test_the_remote_that_began_anew_connects_to_where_it_was_connected(board: Board) -> None:
    with listening() as listener:
        begin(board)  # its ports begin anew with it
        with connected(listener) as before:
            begin(board)
            # Nobody tells this end, but the remote when it connects from the same port again. That
            # connection is refused until this end is closed.
            with asked(listener):
                assert before.recv(1) == b""
        with connected(listener) as connection:
            echo(connection, b"good day\n")


def test_a_port_on_which_the_remote_does_not_listen_refuses(board: Board) -> None:
    with pytest.raises(ConnectionResetError):
        connect(4711)
    talks()


@pytest.mark.parametrize(
    "words",
    [
        ["socat", "-t", "30", "-", f"VSOCK-CONNECT:{virtio.CID}:{virtio.ECHO}"],
        ["ncat", "--vsock", str(virtio.CID), str(virtio.ECHO)],
    ],
    ids=["socat", "ncat"],
)
def test_a_program_of_debian_and_the_remote_understand_each_other(
    board: Board, words: list[str]
) -> None:
    done = subprocess.run(
        words,
        input=b"hello, core 1\n",
        stdout=subprocess.PIPE,
        check=True,
        user=virtio.NOBODY,
    )
    assert done.stdout == b"hello, core 1\n"


def test_a_debugger_reads_the_memory_of_the_remote(board: Board) -> None:
    """Plays GDB with "target remote | socat STDIO VSOCK-CONNECT:42:2159": some of the packets with
    which start_remote_1() of gdb/remote.c begins, and reads of memory. It leaves out all others,
    and that GDB asks again where an answer is damaged.
    """

    def packet(words: str) -> bytes:
        return f"${words}#{sum(words.encode()) % 256:02x}".encode()

    words = f"VSOCK-CONNECT:{virtio.CID}:{virtio.DEBUG}"
    with subprocess.Popen(
        ["socat", "STDIO", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, user=virtio.NOBODY
    ) as socat:
        assert socat.stdin and socat.stdout
        for asked, answer in (
            ("qSupported:multiprocess+;xmlRegisters=i386", "PacketSize=40"),
            ("?", "S05"),
            ("g", "0" * (33 * 16 + 8)),
            ("vMustReplyEmpty", ""),
            ("m70000000,4", VIRTIO_MAGIC.to_bytes(4, "little").hex()),
            ("m70ffffff,2", "E0e"),
            ("mffffffffffffffff,2", "E0e"),
            ("m0,4", "E0e"),
        ):
            socat.stdin.write(packet(asked))
            socat.stdin.flush()
            expected = b"+" + packet(answer)
            assert socat.stdout.read(len(expected)) == expected
            socat.stdin.write(b"+")
        socat.stdin.close()
    talks()


def test_every_ping_is_answered(board: Board) -> None:
    began = time.monotonic()
    assert virtio.ping(PINGS) == PINGS
    print(f"{PINGS} pings, {(time.monotonic() - began) / PINGS * 1e6:.0f} us each")


def test_the_remote_reads_and_writes_the_sectors_of_an_image(
    board: Board, commands: Commands
) -> None:
    assert commands.capacity() == IMAGE_SECTORS
    numbers = random.Random(SECTORS)  # noqa: S311
    expected = bytearray(board.image.read_bytes())
    done = 0
    while done < SECTORS:
        count = numbers.randint(1, 8)
        at = numbers.randrange(IMAGE_SECTORS - count)
        part = slice(at * virtio.SECTOR, (at + count) * virtio.SECTOR)
        if numbers.random() < 0.5:
            data = numbers.randbytes(count * virtio.SECTOR)
            commands.write(at, data)
            expected[part] = data
        assert commands.read(at, count) == expected[part]
        done += count
    assert board.image.read_bytes() == expected
    with pytest.raises(OSError, match="Invalid argument"):
        commands.read(IMAGE_SECTORS, 1)


def test_a_file_system_that_the_remote_copies_sector_by_sector_is_the_same(
    board: Board, commands: Commands
) -> None:
    """The remote reads what mke2fs made, and writes it behind that."""
    blocks = SECTORS // 2
    made = board.image.with_name("fs.img")
    made.write_bytes(bytes(blocks * 1024))
    subprocess.run(["mke2fs", "-F", made, str(blocks)], check=True, stdout=subprocess.DEVNULL)
    system = made.read_bytes()
    assert system[1080:1082] == b"\x53\xef"  # s_magic of ext2
    with open(board.image, "r+b") as image:
        image.write(system)
    copy = IMAGE_SECTORS // 2
    for sector in range(0, SECTORS, 8):
        commands.write(copy + sector, commands.read(sector, 8))
    with open(board.image, "rb") as image:
        image.seek(copy * virtio.SECTOR)
        assert image.read(len(system)) == system


def test_the_remote_lists_and_reads_files(board: Board, commands: Commands) -> None:
    assert commands.names() == sorted(FILES)
    for name, content in FILES.items():
        assert commands.content(name) == content
    (virtio.SHARED / "late").write_bytes(b"a file that comes later")
    try:
        assert commands.content("late") == b"a file that comes later"
    finally:
        (virtio.SHARED / "late").unlink()
    with pytest.raises(FileNotFoundError):
        commands.content("absent")


def test_the_remote_begins_anew_under_the_same_daemon(board: Board) -> None:
    pid = board.daemon.pid
    for _ in range(RESTARTS):
        with connect(virtio.ECHO) as connection:
            echo(connection, b"before")
            begin(board)
            virtio.ends(connection)
        talks()
        assert virtio.ping(1) == 1
    check_devices(board)
    assert board.daemon.pid == pid


def test_the_remote_goes_on_under_another_daemon(board: Board) -> None:
    begun = board.driver.begun()
    for number in range(max(1, RESTARTS // 10)):
        with connect(virtio.ECHO) as connection:
            echo(connection, b"before")
            if number % 2:
                board.daemon.stop()
            else:
                board.daemon.kill()
            virtio.ends(connection)
        board.start()
        talks()
        check_devices(board)
    assert board.driver.begun() == begun


def check_devices(board: Board) -> None:
    """Every device does something."""
    commands = Commands()
    try:
        assert commands.read(1, 1) == sector_of(board, 1)
        assert commands.content("hello") == FILES["hello"]
    finally:
        commands.close()
    assert virtio.ping(3) == 3


def sector_of(board: Board, sector: int) -> bytes:
    with open(board.image, "rb") as image:
        image.seek(sector * virtio.SECTOR)
        return image.read(virtio.SECTOR)


class Echoing(threading.Thread):
    """Echoes over one connection until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rounds = 0
        self._end = threading.Event()
        self._error: BaseException | None = None
        self._connection = connect(virtio.ECHO)
        self.start()

    def run(self) -> None:
        try:
            while not self._end.wait(0.005):
                echo(self._connection, b"%d" % self.rounds)
                self.rounds += 1
        except BaseException as error:
            self._error = error

    def goes_on_after(self, rounds: int) -> bool:
        """Whether it has echoed more than *rounds* times."""
        return self.rounds > rounds

    def end(self) -> None:
        """Raises what it has failed with; it has to have echoed something."""
        self._end.set()
        self.join(60)
        self._connection.close()
        if self._error:
            raise self._error
        assert not self.is_alive()
        assert self.rounds


def persistently(action: str, *arguments: int | bytes | str) -> bytes | None:
    """Do it by commands until it is done: its back-end may have been killed meanwhile."""
    deadline = time.monotonic() + 120
    while True:
        try:
            commands = Commands()
            try:
                done: bytes | None = getattr(commands, action)(*arguments)
                return done
            finally:
                commands.close()
        except OSError as error:
            assert time.monotonic() < deadline, f"{action}: {error}"
            time.sleep(0.05)


def test_back_ends_that_are_killed_come_back_and_lose_nothing_that_was_acknowledged(
    board: Board,
) -> None:
    numbers = random.Random(KILL_SECONDS)  # noqa: S311
    others = Echoing()
    written: dict[int, bytes] = {}
    stop = threading.Event()
    kills = 0

    def kill() -> None:
        nonlocal kills
        moments = random.Random(board.version)  # noqa: S311
        while not stop.wait(moments.uniform(0.1, 1.5)):
            backend = moments.choice((board.storage, board.files))
            backend.kill()
            stop.wait(moments.uniform(0, 0.3))
            # Its front-end's part is to notice, and to connect again.
            board.restart_backends()
            kills += 1

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        sector = numbers.randrange(IMAGE_SECTORS)
        data = numbers.randbytes(virtio.SECTOR)
        persistently("write", sector, data)
        written[sector] = data
        back = numbers.choice(list(written))
        assert persistently("read", back, 1) == written[back]
        assert persistently("content", "hello") == FILES["hello"]
    stop.set()
    killer.join(120)
    assert not killer.is_alive()
    board.daemon.wait_until_all_run()
    others.end()
    for sector, data in written.items():
        assert sector_of(board, sector) == data
    check_devices(board)
    assert kills
    print(f"{kills} times killed, {len(written)} sectors, {others.rounds} round trips beside")


@pytest.mark.parametrize("devices", [(0,), (3, 2, 1)], ids=["vsock", "fs, blk and net"])
def test_devices_on_which_the_remote_writes_random_words_hurt_no_other(
    board: Board, devices: tuple[int, ...]
) -> None:
    pid = board.daemon.pid
    others = None if 0 in devices else Echoing()
    for device in devices:
        board.driver.go_mad(seed=MAD + device, count=MAD, device=device)
        if others:
            Remote.until(partial(others.goes_on_after, others.rounds), "vsock is hurt")
        if device != 1:
            # The remote waits for answers of the device that it has spoilt, too.
            Remote.until(lambda: virtio.ping(1) == 1, "net is hurt")
    if others:
        others.end()
    assert board.daemon.pid == pid
    # The registers that are the daemon's to write are random now, too.
    board.restart()
    talks()
    check_devices(board)


def test_the_console_and_random_numbers_come_from_the_daemon_itself(board: Board) -> None:
    board.restart(*virtio.ALL)
    with socket.socket(socket.AF_UNIX) as terminal:
        terminal.settimeout(30)
        terminal.connect(str(virtio.PLACE / "console"))
        for line in (b"hello, remote\n", b"x" * 1000):
            terminal.sendall(line)
            assert receive(terminal, len(line)) == line.upper()
    with socket.socket(socket.AF_UNIX) as terminal:
        terminal.settimeout(30)
        terminal.connect(str(virtio.PLACE / "console"))
        terminal.sendall(b"again\n")
        assert receive(terminal, 6) == b"AGAIN\n"
    commands = Commands()
    numbers = [commands.random(count) for count in (1, 64, 4096, 4096)]
    commands.close()
    assert [len(each) for each in numbers] == [1, 64, 4096, 4096]
    assert numbers[2] != numbers[3]
    # Of 4096 random bytes, one of 256 values is missing with a probability of 3e-5.
    assert len({*numbers[2], *numbers[3]}) == 256
    talks()
