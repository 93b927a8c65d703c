# SPDX-License-Identifier: BSD-3-Clause
"""A link whose virtio devices "rslctl virtio" serves: the daemon, back-ends, and the remote.

The remote is tests/remote/virtio.c. Its ports and commands are there, too.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import mmap
import os
import random
import socket
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from periphery import MMIO
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.guest.remote import MAGIC, Remote
from tests.guest.remote import SIZE as CONTROL_SIZE
from tests.guest.support import VIRTIO_MAGIC
from tests.guest.vsock_client import set_connect_timeout

NOBODY = 65534

CID = 42
#: Ports of the remote: what comes back; what is checked and counted; what it sends; a connection
#: that it opens in turn; commands; a stub for GDB.
ECHO, DISCARD, SOURCE, BACK, COMMAND, DEBUG = 7, 9, 19, 20, 21, 2159

#: A prime number, so that no piece of another size is missing or twice without being seen.
PERIOD = 65521
#: What DISCARD checks and SOURCE sends, over and over.
PATTERN = bytes((at * 31 + (at >> 8) * 17 + 7) & 0xFF for at in range(PERIOD))

SECTOR = 512

#: Where the sockets of back-ends are; nobody's.
PLACE = Path("/run/virtio")
SHARED = Path("/run/shared")

TAP, LINUX_ADDRESS, REMOTE_ADDRESS = "tap0", "10.0.0.1", "10.0.0.2"

#: Devices that others serve, and with them those that the daemon serves by itself.
OUTSIDE = (
    f"vsock,cid={CID}",
    f"net,tap={TAP},mac=52:54:00:00:00:02",
    f"blk,socket={PLACE}/blk",
    f"fs,socket={PLACE}/fs,tag=shared",
)
ALL = (*OUTSIDE, f"console,socket={PLACE}/console", "rng")

_PROFILE = """\
extends = "qemu-virt"

[[link]]
name = "rpu0"

[link.virtio]
version = {version}
devices = [{devices}]
"""

#: Of a virtio-mmio header (virtio 1.2, 4.2.2), and the size of one.
_MAGIC, _STATUS, _HEADER = 0x000, 0x070, 0x200
_DRIVER_OK, _BAD = 4, 64 | 128

#: Of remote_ctl.h.
_PLACED, _BEGUN, _RUNNING = 0x01C, 0x230, 0x234
_BEGIN, _MAD = 4, 5

#: From <linux/if_tun.h> and <linux/if.h>.
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_TUNSETOWNER, _TUNSETGROUP = 0x400454CC, 0x400454CE
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000


def profile(version: int) -> Path:
    """The profile of a link with the devices :data:`OUTSIDE`."""
    devices = ", ".join(f'"{word}"' for word in OUTSIDE)
    path = Path("/run/virtio.toml")
    path.write_text(_PROFILE.format(version=version, devices=devices))
    return path


def make_tap(group: int | None = None) -> None:
    """Make the network device TAP, with an address for Linux. Nobody may serve it, or a group."""
    subprocess.run(["modprobe", "tun"], check=True)
    with open("/dev/net/tun", "r+b", buffering=0) as tun:
        request = struct.pack("16sH22x", TAP.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
        fcntl.ioctl(tun, _TUNSETIFF, request)
        if group is None:
            fcntl.ioctl(tun, _TUNSETOWNER, NOBODY)
        else:
            fcntl.ioctl(tun, _TUNSETGROUP, group)
        fcntl.ioctl(tun, _TUNSETPERSIST, 1)
    subprocess.run(["ip", "address", "add", f"{LINUX_ADDRESS}/24", "dev", TAP], check=True)
    subprocess.run(["ip", "link", "set", TAP, "up"], check=True)


def set_up(version: int, stack: contextlib.ExitStack) -> mbox.LinkDevice:
    """A link with :func:`profile`, the tap, and a remote that runs; the *stack* takes all down."""

    def rslctl(*arguments: str | Path) -> None:
        subprocess.run(["rslctl", *arguments], check=True, stdout=subprocess.DEVNULL)

    subprocess.run(["modprobe", "-a", "vhost_vsock", "vhost_net"], check=True)
    make_tap()
    stack.callback(remove_tap)
    rslctl("setup", "--board", profile(version))
    stack.callback(rslctl, "teardown")
    link = mbox.pick(Host(), "rpu0")
    remote = Remote(link)
    stack.callback(remote.close)
    Remote.until(lambda: remote.magic() == MAGIC, "the remote did not start")
    return link


def remove_tap() -> None:
    subprocess.run(["ip", "link", "delete", "dev", TAP], check=True)


class Backend:
    """A program that serves a device at a socket in :data:`PLACE`, and can be killed."""

    def __init__(self, name: str, command: Sequence[str], *, user: int | None = None) -> None:
        self._socket = PLACE / name
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._socket.unlink(missing_ok=True)
        self._process = subprocess.Popen(self._command, user=self._user, group=self._user)
        Remote.until(lambda: self._gone() or self._socket.exists(), "a back-end does not listen")
        assert not self._gone(), f"{self._command[0]} ended with {self._process.returncode}"
        # virtiofsd has to be root, and who connects to it is nobody.
        self._socket.chmod(0o777)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def restart(self) -> None:
        """Start it again if it has ended."""
        if self._gone():
            self.start()

    def _gone(self) -> bool:
        return self._process is None or self._process.poll() is not None


def storage(image: Path) -> Backend:
    """qemu-storage-daemon, which serves *image*. No direct I/O: the memory has no pages."""
    words = f"driver=file,node-name=disk,filename={image},cache.direct=off,aio=threads"
    export = "type=vhost-user-blk,id=export,node-name=disk,writable=on"
    export += f",addr.type=unix,addr.path={PLACE}/blk"
    command = ["qemu-storage-daemon", "--blockdev", words, "--export", export]
    return Backend("blk", command, user=NOBODY)


def files() -> Backend:
    """virtiofsd, which serves :data:`SHARED`, and ends when its front-end goes."""
    command = ["/usr/lib/qemu/virtiofsd", f"--socket-path={PLACE}/fs"]
    # The root of the board is its archive, which no root can be moved away from.
    return Backend("fs", [*command, "-o", f"source={SHARED}", "-o", "sandbox=chroot"])


class Driver:
    """The remote's control block: what it drives, and what it is told to do."""

    def __init__(self, link: mbox.LinkDevice) -> None:
        self._block = MMIO(link.memory_size - CONTROL_SIZE, CONTROL_SIZE, path=link.node)
        self._remote = Remote(link)

    def close(self) -> None:
        self._remote.close()
        self._block.close()

    def running(self) -> int:
        """The number of devices that it has begun with."""
        return int(self._block.read32(_RUNNING)).bit_count()

    def begun(self) -> int:
        """How often it has begun since its memory was zero."""
        return int(self._block.read32(_BEGUN))

    def begin(self) -> None:
        """Have it begin anew as from reset, whatever it does, and wait until it has."""
        before = self.begun()
        self._remote.command(_BEGIN)
        Remote.until(lambda: self.begun() != before, "the remote does not begin")
        Remote.until(lambda: self._remote.magic() == MAGIC, "the remote does not listen")

    def go_mad(self, seed: int, count: int, device: int) -> None:
        """Have it write *count* random words to the header and the region of a device, by number.

        It goes on with the others meanwhile.
        """
        self._remote.command(_MAD, seed, count, device)
        assert self._block.read32(_PLACED) == 1, "the remote does not drive the device"
        Remote.until(lambda: self._remote.flood_left() == 0, "the remote stays mad", 1200)


class Daemon:
    """ "rslctl virtio", the daemon of a link, as nobody."""

    def __init__(
        self,
        link: mbox.LinkDevice,
        driver: Driver,
        devices: Sequence[str] = (),
        *,
        through: Sequence[str] = (),
    ) -> None:
        """*devices* are words in place of those of the link's profile. To be started.

        *through* is a command that becomes the daemon.
        """
        self._link, self._driver, self.devices = link, driver, tuple(devices)
        self._through = through
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until the remote drives all of the devices."""
        nodes = {"vhost-vsock": "vhost-vsock", "vhost-net": "vhost-net", "net/tun": "tun"}
        given = [word for node in nodes for word in ("--open", f"/dev/{node}:{nodes[node]}")]
        words = [word for device in self.devices for word in ("--device", device)]
        command = ["rslctl", "run", "--user", "nobody", *given, "--", *self._through]
        command += ["rslctl", "virtio", *words]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            name = f"@rsl-virtio-{os.getpid()}"
            manager.bind("\0" + name[1:])
            manager.settimeout(60)
            self._process = subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": name})
            # From then on the headers are its own, and no more those of a daemon before it.
            assert manager.recv(4096) == b"READY=1"
        self.wait_until_all_run()

    def wait_until_all_run(self) -> None:
        def run() -> bool:
            assert self.alive, "the daemon has ended"
            return self.all_run()

        Remote.until(run, "the devices do not run")

    def all_run(self) -> bool:
        """Whether the remote drives all devices."""
        count = len(self.devices or OUTSIDE)
        with (
            open(self._link.node, "rb", buffering=0) as node,
            mmap.mmap(node.fileno(), mmap.PAGESIZE, prot=mmap.PROT_READ) as memory,
        ):

            def word(at: int) -> int:
                return int.from_bytes(memory[at : at + 4], "little")

            return self._driver.running() == count and all(
                word(at + _MAGIC) == VIRTIO_MAGIC
                and word(at + _STATUS) & (_DRIVER_OK | _BAD) == _DRIVER_OK
                for at in range(0, count * _HEADER, _HEADER)
            )

    def stop(self) -> None:
        """Have it end as a service manager does."""
        assert self._process
        self._process.terminate()
        assert self._process.wait(60) == 0

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def _file(self, name: str) -> str:
        # Of its first thread: later kernels run vhost's workers as further ones.
        return Path(f"/proc/{self.pid}/task/{self.pid}/{name}").read_text()

    def status(self, name: str) -> str:
        """A line of proc_pid_status(5)."""
        lines = dict(line.split(":\t", 1) for line in self._file("status").splitlines())
        return lines[name].strip()

    def runs(self) -> tuple[int, int]:
        """How often it went to sleep by now, and the nanoseconds that it has run.

        How often another took the core from it is not counted: that depends on the host's load.
        """
        sleeps = int(self.status("voluntary_ctxt_switches"))
        return sleeps, int(self._file("schedstat").split()[0])


def connect(port: int, timeout: float = 30) -> socket.socket:
    """A connection to a port of the remote.

    A program has to try again while the kernel serves no such CID (ENODEV): between DRIVER_OK of
    the remote and the daemon's answer to it.
    """
    deadline = time.monotonic() + timeout
    while True:
        connection = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
        try:
            set_connect_timeout(connection, int(timeout))
            connection.settimeout(timeout)
            connection.connect((CID, port))
        except BaseException as error:
            connection.close()
            served = not isinstance(error, OSError) or error.errno != errno.ENODEV
            if served or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly *size* bytes."""
    data = bytearray()
    while len(data) < size:
        part = connection.recv(min(size - len(data), 1 << 20))
        if not part:
            raise ConnectionResetError(f"end of the connection after {len(data)} of {size} bytes")
        data += part
    return bytes(data)


def echo(connection: socket.socket, data: bytes) -> None:
    """Send *data*, and check that it comes back."""
    connection.sendall(data)
    assert receive(connection, len(data)) == data


def pieces(total: int) -> list[bytes]:
    """The :data:`PATTERN` over *total* bytes, in pieces of up to a period."""
    return [PATTERN[: min(PERIOD, total - at)] for at in range(0, total, PERIOD)]


def random_pieces(total: int, seed: int) -> list[bytes]:
    """*total* random bytes in pieces of random sizes."""
    numbers = random.Random(seed)  # noqa: S311
    found = []
    while total:
        size = min(total, numbers.choice((1, 7, 100, 1500, 4096, 10_000, 40_000)))
        found.append(numbers.randbytes(size))
        total -= size
    return found


class Commands:
    """A connection that has the remote use its devices; one command at a time."""

    _READ, _WRITE, _CAPACITY, _RANDOM, _LIST, _CAT = range(1, 7)
    #: command, two arguments, bytes that follow; and of an answer: errno or 0, bytes that follow.
    _REQUEST, _ANSWER = struct.Struct("<4I"), struct.Struct("<iI")

    def __init__(self, timeout: float = 60) -> None:
        self._connection = connect(COMMAND, timeout)

    def close(self) -> None:
        self._connection.close()

    def _ask(self, command: int, first: int = 0, second: int = 0, data: bytes = b"") -> bytes:
        """Raises OSError with the number that the remote answers."""
        request = self._REQUEST.pack(command, first, second, len(data))
        self._connection.sendall(request + data)
        status, size = self._ANSWER.unpack(receive(self._connection, self._ANSWER.size))
        answer = receive(self._connection, size)
        if status:
            raise OSError(status, os.strerror(status))
        return answer

    def read(self, sector: int, count: int) -> bytes:
        """*count* sectors, 1 to 8."""
        return self._ask(self._READ, sector, count)

    def write(self, sector: int, data: bytes) -> None:
        self._ask(self._WRITE, sector, len(data) // SECTOR, data)

    def capacity(self) -> int:
        """The disk's size in sectors."""
        return int.from_bytes(self._ask(self._CAPACITY), "little")

    def random(self, count: int) -> bytes:
        """Random bytes, at most 4096."""
        return self._ask(self._RANDOM, count)

    def names(self) -> list[str]:
        """The names in the root of the file system, sorted, without the two of every directory."""
        found = self._ask(self._LIST).decode().split("\n")
        return sorted({*found} - {"", ".", ".."})

    def content(self, name: str) -> bytes:
        """Of a file in the root of the file system."""
        return self._ask(self._CAT, data=name.encode())


#: Types of ICMP: an echo reply, an echo request.
_REPLY, _REQUEST = 0, 8


def ping(count: int) -> int:
    """Send *count* echo requests to the remote, each when the answer to the one before is there.

    Returns the number of answers; one that takes more than 10 s is lost.
    """
    answered = 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as raw:
        raw.settimeout(10)
        for number in range(count):
            # Identifier and sequence number, and then of all lengths.
            body = struct.pack("!2H", os.getpid() & 0xFFFF, number & 0xFFFF)
            body += os.urandom(number % 1400)
            checksum = ~_sum(struct.pack("!2BH", _REQUEST, 0, 0) + body) & 0xFFFF
            raw.sendto(struct.pack("!2BH", _REQUEST, 0, checksum) + body, (REMOTE_ADDRESS, 0))
            with contextlib.suppress(TimeoutError):
                # What others get comes here, too.
                while not _is_answer(raw.recv(65536)[20:], body):
                    pass
                answered += 1
    return answered


def _is_answer(packet: bytes, body: bytes) -> bool:
    """Whether *packet* is an echo reply (RFC 792) with its checksum right and this body."""
    return packet[:2] == bytes((_REPLY, 0)) and packet[4:] == body and _sum(packet) == 0xFFFF


def _sum(data: bytes) -> int:
    """The sum of RFC 1071."""
    total: int = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def ends(connection: socket.socket) -> None:
    """Expect that a connection has ended, or ends once its peer has to answer."""
    try:
        connection.sendall(b"after")
        ended = not connection.recv(1)
    except ConnectionError:
        return
    assert ended, "the connection is there still"
