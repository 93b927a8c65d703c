# SPDX-License-Identifier: BSD-3-Clause
"""Daemons with built-in names under `rslctl run --legacy`, on the second core and a simulator."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import mbox, uio
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import Remote
from tests.guest.support import VIRTIO_MAGIC, header, set_header
from tests.guest.test_mailbox import MESSAGE
from tests.guest.test_setup_uio import DEVICE, OTHER

PROGRAM = "/guest/bin/legacyd"
HOLD = Path("/tmp/legacyd-hold")  # noqa: S108 - the board is ours alone
ARGUMENTS = ("--shmem-addr", "{shmem_addr}", "--shmem-size", "{shmem_size}")
SIMULATOR = "/dev/rsl_mbox_sim-sim-bell"

#: What a program finds, as JSON.
LOOK = """\
import json, os
def opened(path):
    try:
        os.close(os.open(path, os.O_RDWR))
    except OSError as error:
        return error.strerror
    return "yes"
base = "/sys/class/uio/uio0"
names = [os.path.join(at, name) for at, _, files in os.walk(base) for name in files]
print(json.dumps({
    "dev": sorted(os.listdir("/dev")),
    "opened": {path: opened(path) for path in ("/dev/uio0", "/dev/umb", *OTHERS)},
    "rdev": [os.stat(path).st_rdev for path in ("/dev/uio0", "/dev/umb")],
    "uio": {os.path.relpath(name, base): open(name).read() for name in names},
    "class": sorted(os.listdir("/sys/class/uio")),
    "fds": sorted(map(int, os.listdir("/proc/self/fd"))),
    "listen": [name for name in os.environ if name.startswith("LISTEN")],
    "pts": os.path.exists("/dev/null") and os.stat("/dev/null").st_rdev,
    "platform": sorted(os.listdir("/sys/devices/platform")),
    "net": os.path.realpath("/sys/class/net/lo"),
}))
"""


@pytest.fixture(scope="module", autouse=True)
def modules() -> Iterator[None]:
    subprocess.run(["modprobe", "rsl_mbox_sim"], check=True)
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    # All of them, because a test compares what there is before and after.
    nodes = {*Path("/proc/device-tree").glob("link-*"), "rpu0", "level", "umb"}
    Remote.until(lambda: len(mbox.find(Host())) == len(nodes), "no links")
    yield
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)
    subprocess.run(["modprobe", "-r", "rsl_mbox_sim"], check=True)


class Bell(threading.Thread):
    """The remote behind the simulated link: answers each kick with a notification."""

    def __init__(self) -> None:
        super().__init__()
        self.fd = os.open(SIMULATOR, os.O_RDWR | os.O_NONBLOCK)
        self.stopped = threading.Event()

    def notify(self) -> None:
        os.write(self.fd, MESSAGE.pack(1, 0, 0))

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                os.read(self.fd, MESSAGE.size)
            except BlockingIOError:
                self.stopped.wait(0.001)
                continue
            self.notify()


@pytest.fixture
def bell() -> Iterator[Bell]:
    thread = Bell()
    thread.start()
    yield thread
    thread.stopped.set()
    thread.join()
    os.close(thread.fd)


@pytest.fixture(autouse=True)
def hold() -> Iterator[None]:
    HOLD.unlink(missing_ok=True)
    for name in ("rpu0", "bell"):
        set_header(name, 0)
    yield
    HOLD.unlink(missing_ok=True)


def open_files(name: str) -> int:
    return mbox.pick(Host(), name).open_files


def kick(name: str) -> None:
    fd = os.open(mbox.pick(Host(), name).node, os.O_WRONLY)
    os.write(fd, b"\1\0\0\0")
    os.close(fd)


def outside() -> tuple[object, ...]:
    """All that a daemon's private mounts could change where it should not."""

    def look(path: str) -> tuple[object, ...]:
        found = os.lstat(path)
        return path, found.st_mode, found.st_ino, found.st_rdev, found.st_uid

    nodes = [look(os.path.join(at, each)) for at, dirs, files in os.walk("/dev") for each in files]
    places = ("/sys/class", "/sys/class/uio", "/sys/devices/platform", "/sys/devices/platform/umb")
    listed = [(place, Host().names(place)) for place in places]
    mounts = Path("/proc/self/mountinfo").read_text()
    return sorted(nodes), listed, mounts


def start(name: str, *options: str, rounds: int, user: str = "") -> subprocess.Popen[str]:
    as_user = ["--user", user] if user else []
    command = ["rslctl", "run", "--legacy", "--link", name, *as_user, "--"]
    command += [PROGRAM, *options, *ARGUMENTS, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(daemon: subprocess.Popen[str]) -> str:
    out, err = daemon.communicate(timeout=120)
    assert (daemon.returncode, err) == (0, "")
    return out


def ready(name: str) -> None:
    Remote.until(lambda: open_files(name) == 1, f"the daemon of {name} does not wait")


@pytest.mark.parametrize("user", ["", "nobody"], ids=["root", "nobody"])
@pytest.mark.parametrize("options", [[], ["--notify"]], ids=["device", "attribute"])
def test_the_daemon_serves_the_second_core(user: str, options: list[str]) -> None:
    before = outside()
    daemon = start("rpu0", "--hold", str(HOLD), *options, rounds=1000, user=user)
    Remote.until(lambda: header("rpu0") == VIRTIO_MAGIC, "the daemon does not clear the memory")
    # It has the memory, and is not ready: its remote would not start yet.
    assert open_files("rpu0") == 0
    assert outside() == before
    HOLD.touch()
    ready("rpu0")
    kick("rpu0")
    uid = 65534 if user else 0
    said = f"1000 rounds, writable 0 times, 0x1000000 bytes at 0x70000000, uid {uid}\n"
    assert ended(daemon) == said
    assert open_files("rpu0") == 0
    assert outside() == before


def test_two_daemons_serve_two_remotes_at_once(bell: Bell) -> None:
    before = outside()
    links = {"rpu0": "", "bell": "nobody"}
    daemons = {name: start(name, rounds=3000, user=user) for name, user in links.items()}
    for name in links:
        ready(name)
        assert header(name) == VIRTIO_MAGIC
    assert outside() == before
    kick("rpu0")
    bell.notify()
    assert ended(daemons["rpu0"]).endswith("0x1000000 bytes at 0x70000000, uid 0\n")
    assert ended(daemons["bell"]).endswith("0x100000 bytes at 0x71000000, uid 65534\n")
    assert outside() == before


def test_a_size_above_the_maps_is_noticed() -> None:
    command = ["rslctl", "run", "--legacy", "--link", "bell", "--", PROGRAM]
    done = subprocess.run(
        [*command, "--shmem-size", "0x101000", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "legacyd: --shmem-size 0x101000: the map has 0x100000\n"


def look(name: str, *options: str, others: list[str] | None = None) -> dict[str, object]:
    program = LOOK.replace("OTHERS", repr(others or []))
    done = subprocess.run(
        ["rslctl", "run", "--legacy", "--link", name, *options, "--", "python3", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "LISTEN_PID": "1"},
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_daemon_without_rights_has_its_link_and_no_other() -> None:
    others = [f"/dev/{each.device}" for each in mbox.find(Host()) if each.name != "bell"]
    others += [path.as_posix() for path in Path("/dev").glob("rsl_umb*")]
    found = look("bell", "--user", "nobody", others=others)
    number = mbox.pick(Host(), "bell").device.removeprefix("rsl_mbox")
    own = os.stat(f"/dev/rsl_umb{number}").st_rdev
    assert found["rdev"] == [own, own]
    missing = dict.fromkeys(others, "No such file or directory")
    assert found["opened"] == {"/dev/uio0": "yes", "/dev/umb": "yes", **missing}
    assert found["listen"] == []
    # Descriptor 3 is the listing's own.
    assert found["fds"] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["rpu0", "bell"])
def test_all_else_is_there_as_before(name: str) -> None:
    own = {mbox.pick(Host(), name).device, "uio0", "umb"}
    found = look(name)
    links = {each for each in os.listdir("/dev") if each.startswith(("rsl_mbox", "rsl_umb", "umb"))}
    links -= {each for each in links if each.startswith("rsl_mbox_sim")}
    assert found["dev"] == sorted({*os.listdir("/dev")} - links | own)
    assert found["platform"] == sorted({*os.listdir("/sys/devices/platform"), "umb"})
    assert found["pts"] == os.stat("/dev/null").st_rdev
    assert found["net"] == os.path.realpath("/sys/class/net/lo")


@pytest.fixture
def real_uio() -> Iterator[None]:
    """A board whose /dev/uio0 is another device's, and whose /dev/uio1 is the link's memory."""
    subprocess.run(["modprobe", uio.DRIVER], check=True)
    for device in (OTHER, DEVICE):
        (device / "driver_override").write_text(uio.DRIVER)
        Path("/sys/bus/platform/drivers", uio.DRIVER, "bind").write_text(device.name)
    yield
    for device in (OTHER, DEVICE):
        Path("/sys/bus/platform/drivers", uio.DRIVER, "unbind").write_text(device.name)
        (device / "driver_override").write_text("\n")
    subprocess.run(["modprobe", "-r", uio.DRIVER, "uio"], check=True)


@pytest.mark.parametrize("user", [(), ("--user", "nobody")])
def test_terminals_can_be_made_there(user: tuple[str, ...]) -> None:
    if "devpts" not in Path("/proc/filesystems").read_text():
        pytest.skip("this kernel has no terminals")
    pts = Path("/dev/pts")
    made = not pts.exists()
    pts.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "devpts", "-o", "ptmxmode=0666", "devpts", pts], check=True)
    program = "import os, pty; print(os.ttyname(os.openpty()[1]))"
    try:
        command = ["rslctl", "run", "--legacy", "--link", "rpu0", *user, "--"]
        done = subprocess.run(
            [*command, "python3", "-c", program], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout[:9]) == (0, "/dev/pts/"), done.stderr
    finally:
        subprocess.run(["umount", pts], check=True)
        if made:
            pts.rmdir()


def test_a_daemon_that_was_started_in_dev_finds_its_own_devices() -> None:
    other = mbox.pick(Host(), "bell").device
    program = f"import os; print(os.path.samefile('umb', '/dev/umb'), os.path.exists('{other}'))"
    command = ["rslctl", "run", "--legacy", "--link", "rpu0", "--", "python3", "-c", program]
    done = subprocess.run(command, cwd="/dev", capture_output=True, text=True, check=False)
    assert done.stdout == "True False\n", done.stderr


def test_a_uio0_of_something_else_is_not_the_daemons(real_uio: None) -> None:
    before = outside()
    assert os.listdir("/sys/class/uio") and uio.find(Host())[0].maps[0].base == 0
    daemon = start("rpu0", rounds=100)
    ready("rpu0")
    assert outside() == before
    kick("rpu0")
    assert "0x1000000 bytes at 0x70000000" in ended(daemon)
    assert outside() == before
    found = look("rpu0")
    assert found["class"] == ["uio0"]
    # The entry says what the kernel's of the same memory says, byte for byte.
    entry = Path("/sys/class/uio/uio1")
    texts = found["uio"]
    assert isinstance(texts, dict) and len(texts) == 6
    assert texts == {name: (entry / name).read_text() for name in texts}
    assert isinstance(found["dev"], list) and "uio1" not in found["dev"]


def test_without_memory_or_rights_it_says_so(rslctl: Rslctl) -> None:
    before = outside()
    status, _, err = rslctl("run", "--legacy", "--link", "mu", "--", "true")
    assert status == 1
    assert "link 'mu' has no shared memory" in err
    done = subprocess.run(
        ["rslctl", "run", "--legacy", "--link", "bell", "--", "true"],
        user="nobody",
        capture_output=True,
        text=True,
        check=False,
    )
    node = mbox.pick(Host(), "bell").node
    assert (done.returncode, done.stderr) == (
        1,
        f"rslctl: cannot open '{node}': Permission denied\n"
        "hint: run it as root, or give yourself the device: rslctl setup --owner USER\n",
    )
    assert outside() == before


def test_a_dry_run_tells_what_would_be_there(rslctl: Rslctl) -> None:
    status, out, _ = rslctl(
        *("run", "--legacy", "--dry-run", "--link", "bell", "--"),
        *(PROGRAM, *ARGUMENTS, "5"),
    )
    number = mbox.pick(Host(), "bell").device.removeprefix("rsl_mbox")
    assert status == 0
    assert out.splitlines()[1:] == [
        "bell: its arguments: --shmem-addr 0x71000000 --shmem-size 0x100000 5",
        f"bell: /dev/uio0 and /dev/umb: /dev/rsl_umb{number}",
        "bell: /sys/class/uio/uio0: 0x100000 bytes at 0x71000000",
        "bell: /sys/devices/platform/umb/notify: kicks by /dev/umb",
        f"bell: its HOME: {os.environ['HOME']}",
    ]


def test_the_daemon_is_told_when_its_link_goes_away(bell: Bell) -> None:
    daemon = start("bell", rounds=1 << 30)
    ready("bell")
    device = (Path(mbox.CLASS) / mbox.pick(Host(), "bell").device / "device").resolve().name
    driver = Path("/sys/bus/platform/drivers/rsl_mbox_mailbox")
    (driver / "unbind").write_text(device)
    with contextlib.suppress(subprocess.TimeoutExpired):
        daemon.wait(30)
    (driver / "bind").write_text(device)
    assert daemon.communicate(timeout=30)[1] == "legacyd: read: No such device\n"
