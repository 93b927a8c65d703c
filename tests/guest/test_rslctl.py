# SPDX-License-Identifier: BSD-3-Clause
"""rslctl on a live board: what it does, and what it says when it cannot."""

from __future__ import annotations

import json
import mmap
import os
import re
import select
import shutil
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest
from rslctl.devicetree import holes, merged_links, tree
from rslctl.linux import iomem, mbox
from rslctl.linux.host import Host
from rslctl.profile import reader
from rslctl.profile.cores import BITS_32

from tests.command_line import Rslctl
from tests.guest.remote import Remote
from tests.guest.support import unbind

BOARD = ("--board", "qemu-virt")
AS_NOBODY = ("rslctl", "run", "--user", "nobody", "--")
NODE = Path("/dev/rsl_mbox0")
#: 0xd00dfeed in the byte order of a blob, read by a little-endian processor.
FDT_MAGIC = 0xEDFE0DD0


def loaded() -> bool:
    return Path("/sys/module/rsl_mbox").exists()


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        user="nobody",
        group="nogroup",
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_profile_is_proposed_that_brings_the_board_up(tmp_path: Path, rslctl: Rslctl) -> None:
    """From the running tree, which has the link, and the kernel's own words."""
    profile = tmp_path / "mine.toml"
    status, out, err = rslctl("boards", "propose", "-o", profile)
    assert (status, out) == (0, "")
    assert "the profile 'qemu-virt' is for this board, too" in err
    # Root sees the addresses that the kernel uses.
    assert "tells no addresses" not in err
    (found,), (own,) = reader.load(str(profile)).links, reader.load("qemu-virt").links
    assert (found.name, found.by, found.remote) == (own.name, own.by, own.remote)
    assert found.memory == own.memory
    status, out, err = rslctl("setup", "--board", profile, "--json")
    assert status == 0, err
    (document,) = json.loads(out)
    steps = {each["step"]: each["result"] for each in document["steps"]}
    assert steps["machine matches the profile"] == "ok"
    assert NODE.is_char_device()
    assert rslctl("teardown")[0] == 0


def test_a_hole_is_found_where_the_running_kernel_uses_nothing(rslctl: Rslctl) -> None:
    used = iomem.read(Host())
    assert used.known
    given = tree.from_machine(Host())
    # As on a board without the link, whose memory the kernel would use itself.
    plain = merged_links.without(given)
    found, said = holes.Holes(plain, holes.Running(used.ram, used.used), 0x1000000).find(
        0x1000000, BITS_32, []
    )
    assert any("the running kernel does not use it" in text for text in said)
    assert any(each.contains(found) for each in used.ram)
    assert not any(each.overlaps(found) for each in used.used)


def test_setup_does_what_is_missing_and_teardown_undoes_it(rslctl: Rslctl) -> None:
    status, out, _ = rslctl("setup", *BOARD, "--json")
    assert status == 0
    (document,) = json.loads(out)
    assert document["link"] == "rpu0"
    steps = {each["step"]: each["result"] for each in document["steps"]}
    assert steps["module rsl_mbox loaded"] == "done"
    assert steps["machine matches the profile"] == "ok"
    assert NODE.is_char_device()
    status, out, _ = rslctl("setup", *BOARD)
    assert status == 0
    results = {line.rsplit(": ", 1)[1].partition(" (")[0] for line in out.splitlines()}
    assert results == {"ok", "already"}
    status, out, _ = rslctl("teardown")
    assert status == 0
    assert out.splitlines()[-1].startswith("rpu0: module (modules rsl_mbox): undone (")
    assert not loaded()
    assert not NODE.exists()
    assert os.listdir("/run/rslctl") == ["lock"]
    status, out, err = rslctl("teardown")
    assert (status, out, err) == (0, "", "rslctl: setup did nothing: nothing to undo\n")


def test_dry_run_changes_nothing(rslctl: Rslctl) -> None:
    shutil.rmtree("/run/rslctl", ignore_errors=True)
    status, out, _ = rslctl("setup", *BOARD, "--dry-run")
    assert status == 0
    assert "module rsl_mbox loaded: would do" in out
    assert not loaded()
    assert not Path("/run/rslctl").exists()


def test_teardown_leaves_alone_what_was_there_before(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    assert rslctl("setup", *BOARD)[0] == 0
    assert rslctl("teardown")[0] == 0
    assert loaded()
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)


def test_owner_and_mode_are_given_and_taken_back(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    before = NODE.stat()
    assert rslctl("setup", *BOARD, "--owner", "nobody:nogroup", "--mode", "0640")[0] == 0
    now = NODE.stat()
    assert (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (65534, 65534, 0o640)
    done = as_nobody("rslctl", "wait", "--timeout", "0")
    assert done.returncode == 4, done.stderr
    assert rslctl("teardown")[0] == 0
    after = NODE.stat()
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)


def test_teardown_of_a_link_in_use_says_so_and_can_be_repeated(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    fds = [os.open(link.node, os.O_RDWR) for _ in range(3)]
    status, out, err = rslctl("teardown")
    assert (status, out) == (1, "")
    assert f"link 'rpu0' is in use: {link.node} is open 3 times" in err
    for fd in fds:
        os.close(fd)
    assert rslctl("teardown")[0] == 0
    assert not loaded()


def test_setup_brings_back_a_link_that_was_removed_under_a_polling_daemon(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    fd = os.open(link.node, os.O_RDWR)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    threading.Timer(0.5, unbind).start()
    assert poll.poll(20_000) == [(fd, select.POLLHUP | select.POLLERR)]
    with pytest.raises(OSError, match="No such device"):
        os.read(fd, 4)
    status, out, err = rslctl("setup", *BOARD)
    assert status == 0, err
    assert "bound to driver rsl_mbox_doorbell: done" in out
    again = mbox.pick(Host(), "rpu0")
    with mbox.Mailbox(Host(), again) as mailbox:
        mailbox.kick(8)
        assert mailbox.wait(8, 10) == 8
    os.close(fd)


def test_a_command_that_waits_tells_when_its_link_goes_away(link: mbox.LinkDevice) -> None:
    waiting = subprocess.Popen(["rslctl", "wait"], stderr=subprocess.PIPE, text=True)
    assert waiting.stderr is not None
    assert "waiting for any vector" in waiting.stderr.readline()
    unbind()
    assert waiting.wait(30) == 1
    assert waiting.stderr.read().startswith(f"rslctl: link '{link.name}' went away\n")


def test_kick_and_wait_speak_of_the_same_vector(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    waiting = subprocess.Popen(
        ["rslctl", "wait", "3", "--timeout", "30", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None and waiting.stderr is not None
    assert waiting.stderr.readline() == "rslctl: waiting for vector 3 of link rpu0\n"
    assert rslctl("kick", "1")[0] == 0
    time.sleep(0.3)
    assert waiting.poll() is None
    status, out, _ = rslctl("kick", "3", "--json")
    assert (status, json.loads(out)) == (
        0,
        {"link": "rpu0", "vector": 3, "kicked": True, "notified": None},
    )
    assert waiting.wait(30) == 0
    assert json.loads(waiting.stdout.read()) == {"link": "rpu0", "vectors": [3]}


def test_wait_ends_with_status_4_when_nothing_comes(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    status, out, err = rslctl("wait", "2", "--timeout", "0.2")
    assert (status, out) == (4, "")
    assert "no notification on link 'rpu0' in 0.2 s" in err


def test_status_counts_per_vector(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    def counters() -> list[dict[str, int]]:
        status, out, _ = rslctl("status", "--json")
        assert status == 0
        (document,) = json.loads(out)
        assert document["node"] == link.node
        found: list[dict[str, int]] = document["counters"]
        return found

    before = counters()
    with mbox.Mailbox(Host(), link) as mailbox:
        mailbox.kick(4)
        assert mailbox.wait(4, 10) == 4
    after = counters()
    assert [each["kicks"] for each in after] == [
        each["kicks"] + (vector == 2) for vector, each in enumerate(before)
    ]
    assert after[2]["notifications"] == before[2]["notifications"] + 1


@pytest.mark.parametrize("vector", ["4", "32"])
def test_a_vector_that_the_link_lacks_is_named_with_the_range(
    rslctl: Rslctl, link: mbox.LinkDevice, vector: str
) -> None:
    assert rslctl("kick", vector) == (
        1,
        "",
        f"rslctl: link 'rpu0' has no vector {vector}\nhint: its vectors are 0 to 3\n",
    )


def test_without_a_link_every_command_says_how_to_get_one(rslctl: Rslctl) -> None:
    for command in (["kick", "0"], ["wait"], ["run", "--", "true"], ["status"]):
        status, _, err = rslctl(*command)
        assert status == 1
        assert "rslctl setup --board" in err


def test_without_the_module_setup_says_so(rslctl: Rslctl) -> None:
    (module,) = Path("/lib/modules").glob("*/updates/rsl_mbox.ko")
    hidden = module.rename(module.with_suffix(".hidden"))
    subprocess.run(["depmod"], check=True)
    try:
        status, out, err = rslctl("setup", *BOARD)
    finally:
        hidden.rename(module)
        subprocess.run(["depmod"], check=True)
    assert status == 1
    assert "module rsl_mbox" not in out
    assert "Module rsl_mbox not found in directory" in err
    assert "is rsl_mbox built and installed for kernel" in err
    assert rslctl("teardown")[2] == "rslctl: setup did nothing: nothing to undo\n"


def test_without_permission_a_command_says_so(link: mbox.LinkDevice) -> None:
    done = as_nobody("rslctl", "kick", "0")
    assert done.returncode == 1
    assert done.stderr.splitlines()[0] == f"rslctl: cannot open '{link.node}': Permission denied"
    done = as_nobody("rslctl", "setup", *BOARD, "--mode", "0666")
    assert done.returncode == 1
    assert "Permission denied" in done.stderr
    assert "hint: run it as root" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_profile_of_another_link_is_refused_with_what_differs(
    rslctl: Rslctl, tmp_path: Path
) -> None:
    (name,) = Path("/usr/local/lib").rglob("qemu-virt.toml")
    profile = tmp_path / "other.toml"
    profile.write_text(
        name.read_text()
        .replace("kick-values = [80, 81, 82, 83]", "kick-values = [80, 81, 82, 90]")
        .replace("0x70000000", "0x71000000")
    )
    status, out, err = rslctl("setup", "--board", str(profile))
    assert (status, out) == (1, "")
    assert "does not match board 'other'" in err
    assert "rsl,kick-values is <80 81 82 83>, the profile says <80 81 82 90>" in err
    assert "/reserved-memory/memory@71000000: is missing" in err
    assert not loaded()


def test_a_daemon_gets_the_descriptors_and_nothing_else(link: mbox.LinkDevice) -> None:
    program = (
        "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:6],"
        "os.getresuid(), os.getgroups(), os.environ['LISTEN_FDS'], os.environ['LISTEN_FDNAMES'],"
        "os.environ['LISTEN_PID'] == str(os.getpid()),"
        "[l.split()[1] for l in open('/proc/self/status') if l[:3] == 'Cap' or l[:6] == 'NoNewP'])"
    )
    done = subprocess.run(
        [*AS_NOBODY, "python3", "-c", program],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.stderr == ""
    none = "0000000000000000"
    # Descriptor 6 is the listing's own.
    assert done.stdout == (
        "[0, 1, 2, 3, 4, 5] (65534, 65534, 65534) [65534] 3 shmem:mbox:manifest True "
        f"{[none] * 5 + ['1']}\n"
    )


def test_a_daemon_without_rights_cannot_reopen_the_device(link: mbox.LinkDevice) -> None:
    program = "import os\nfor n in (3, 4):\n os.open(f'/proc/self/fd/{n}', os.O_RDONLY)"
    done = subprocess.run(
        [*AS_NOBODY, "python3", "-c", program],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PermissionError" in done.stderr


def test_a_daemon_does_not_inherit_the_signals_that_python_ignores(
    link: mbox.LinkDevice,
) -> None:
    command = [*AS_NOBODY, "grep", "SigIgn", "/proc/self/status"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "SigIgn:\t0000000000000000\n"


def test_a_wait_longer_than_poll_can_is_a_wait(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    waiting = subprocess.Popen(
        ["rslctl", "wait", "1", "--timeout", "99999999"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stdout is not None and waiting.stderr is not None
    assert "waiting for vector 1" in waiting.stderr.readline()
    assert rslctl("kick", "1")[0] == 0
    assert waiting.wait(30) == 0
    waiting.communicate()


def test_the_exit_status_of_a_daemon_is_passed_on(link: mbox.LinkDevice) -> None:
    command = ["rslctl", "run", "--", "sh", "-c", "exit 42"]
    assert subprocess.run(command, check=False).returncode == 42


def test_a_thousand_round_trips_by_a_daemon_without_capabilities(link: mbox.LinkDevice) -> None:
    done = subprocess.run(
        [*AS_NOBODY, "python3", "/guest/tests/guest/roundtrips.py", "1000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "uid 65534, CapEff 0000000000000000" in done.stdout
    assert "1000 round trips on 4 vectors" in done.stdout


def test_what_the_remote_has_to_know_is_put_where_it_finds_it(
    rslctl: Rslctl, link: mbox.LinkDevice, remote: Remote
) -> None:
    assert remote.look() != FDT_MAGIC
    status, out, err = rslctl("remote-dt", "--board", "qemu-virt", "--place")
    assert (status, out) == (0, "")
    assert "to 0x70f00000" in err
    assert remote.look() == FDT_MAGIC
    with open(link.node, "rb") as file:
        memory = mmap.mmap(file.fileno(), link.memory_size, prot=mmap.PROT_READ)
        data = memory[0xF00000:0xF10000]
        memory.close()
    made = tree.from_blob(data[: int.from_bytes(data[4:8], "big")], "placed")
    assert made.texts("/", "label") == ["rpu0"]


def test_the_shared_memory_is_outside_system_ram(link: mbox.LinkDevice) -> None:
    found = re.findall(r"^(\w+)-(\w+) : System RAM$", Path("/proc/iomem").read_text(), re.MULTILINE)
    ram = [(int(first, 16), int(last, 16)) for first, last in found]
    assert ram
    assert link.memory_base is not None
    end = link.memory_base + link.memory_size - 1
    assert all(last < link.memory_base or first > end for first, last in ram)
