# SPDX-License-Identifier: BSD-3-Clause
"""rslctl bench on real interrupts: what it measures is there, and the link as it was after it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rslctl.linux import mbox
from rslctl.linux.host import Host

from tests.command_line import Rslctl
from tests.guest.remote import Remote

FEW = ("--count", "20", "--rounds", "2", "--warm-up", "1")
DRIVER = Path("/sys/bus/platform/devices/8020040.rsl-mbox/driver")


def counters() -> list[mbox.Counters]:
    return mbox.counters(Host(), mbox.pick(Host(), None))


def test_all_paths_are_measured_and_the_link_is_as_before(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    os.chmod(link.node, 0o640)
    journal = Path("/run/rslctl/rpu0.json").read_text()
    names = ("chardev", "eventfd", "sysfs", "uio")
    arguments = [word for name in names for word in ("--path", name)]
    status, out, err = rslctl("bench", *FEW, *arguments, "--json", "--write-at", "0x100000")
    assert status == 0, err
    document = json.loads(out)
    assert [each["path"] for each in document["paths"]] == list(names)
    for each in document["paths"]:
        for measure in ("kick", "round_trip", "wake"):
            found = each[measure]
            if measure == "wake" and each["path"] == "uio":
                assert found is None
                continue
            assert (found["samples"], len(found["p50_of_rounds"])) == (40, 2)
            assert 0 < found["min"] <= found["p50"] <= found["p99"] <= found["max"]
        assert each["round_trip"]["min"] > each["kick"]["min"]
        assert each["kicks_per_second"] > 0
        assert each["other_notifications"] == 0
    assert [each["copy"] for each in document["memory"]] == ["private", "read", "write"]
    assert all(each["bytes_per_second"] > 0 for each in document["memory"])
    assert Path(link.node).stat().st_mode & 0o777 == 0o640
    assert Path("/run/rslctl/rpu0.json").read_text() == journal
    assert mbox.pick(Host(), None).open_files == 0
    status, out, _ = rslctl("wait", "--timeout", "0")
    assert (status, out) == (4, "")


def test_every_kick_of_a_measurement_is_counted(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    before = [each.kicks for each in counters()]
    status, _, err = rslctl("bench", *FEW, "--vector", "2", "--path", "chardev", "--json")
    assert status == 0, err
    after = [each.kicks for each in counters()]
    # In each round one to warm up, 20 of each kind, and 1000 in a row.
    assert [now - then for now, then in zip(after, before, strict=True)] == [0, 0, 2 * 1041, 0]


def test_what_is_in_the_memory_stays(rslctl: Rslctl, link: mbox.LinkDevice, remote: Remote) -> None:
    before = remote.counts(3)
    remote.close()
    offset = str(link.memory_size - 0x10000)
    status, _, err = rslctl("bench", *FEW, "--path", "chardev", "--json", "--write-at", offset)
    assert status == 0, err
    assert Remote(link).counts(3) == before


@pytest.mark.parametrize("path", ["chardev", "eventfd", "uio"])
def test_a_remote_that_does_not_answer_ends_it(
    rslctl: Rslctl, link: mbox.LinkDevice, remote: Remote, path: str
) -> None:
    remote.answer(0b1110)
    remote.close()
    status, out, err = rslctl("bench", *FEW, "--path", path)
    assert (status, out) == (4, "")
    assert "the remote did not answer a kick of vector 0 of link 'rpu0' in 2 s" in err
    assert DRIVER.resolve().name == "rsl_mbox_doorbell"
    assert rslctl("kick", "0")[0] == 0


def test_a_link_with_a_daemon_is_left_alone(rslctl: Rslctl, link: mbox.LinkDevice) -> None:
    with mbox.Mailbox(Host(), link) as mailbox:
        before = counters()[0].kicks
        assert rslctl("bench", *FEW)[0] == 1
        eventfd = os.eventfd(0)
        mailbox.bind(0, 0, eventfd)
    status, _, err = rslctl("bench", *FEW)
    assert (status, err.splitlines()[0]) == (
        1,
        "rslctl: link 'rpu0' is in use: vector 0 has eventfds",
    )
    os.close(eventfd)
    assert counters()[0].kicks == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_uio_gives_the_link_back_when_it_is_interrupted(
    link: mbox.LinkDevice, number: signal.Signals
) -> None:
    command = ["rslctl", "bench", "--path", "uio", "--count", "1000000"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        Remote.until(measures_uio, "UIO does not get it")
        time.sleep(0.5)
        process.send_signal(number)
    assert process.returncode != 0
    assert DRIVER.resolve().name == "rsl_mbox_doorbell"
    assert Path(link.node).exists()


def measures_uio() -> bool:
    """Whether UIO has told of an interrupt.

    Who is killed before that may be within the driver's probe, which fails and logs it then.
    """
    return any(int(path.read_text()) for path in DRIVER.parent.glob("uio/uio*/event"))


def test_a_teardown_gives_back_what_a_killed_measurement_left(
    rslctl: Rslctl, link: mbox.LinkDevice
) -> None:
    with subprocess.Popen(["rslctl", "bench", "--path", "uio", "--count", "1000000"]) as process:
        Remote.until(measures_uio, "UIO does not get it")
        process.kill()
    assert rslctl("teardown")[0] == 0
    assert not DRIVER.exists()
    assert rslctl("setup", "--board", "qemu-virt")[0] == 0
    assert rslctl("kick", "1")[0] == 0


def test_a_link_that_setup_did_not_bring_up_is_given_back_as_well(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", "rsl_mbox"], check=True)
    with subprocess.Popen(["rslctl", "bench", "--path", "uio", "--count", "1000000"]) as process:
        Remote.until(measures_uio, "UIO does not get it")
        process.kill()
    status, _, err = rslctl("teardown")
    assert status == 0, err
    assert DRIVER.resolve().name == "rsl_mbox_doorbell"
    assert not Path("/run/rslctl/rpu0.json").exists()
    assert rslctl("kick", "1")[0] == 0
    subprocess.run(["modprobe", "-r", "rsl_mbox"], check=True)


@pytest.mark.parametrize("path", ["chardev", "eventfd", "sysfs"])
def test_a_link_that_goes_away_ends_it(link: mbox.LinkDevice, path: str) -> None:
    command = ["rslctl", "bench", "--path", path, "--count", "1000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        start = counters()[0].kicks
        Remote.until(lambda: counters()[0].kicks > start + 100, "it does not begin")
        device = DRIVER.parent.name
        (DRIVER / "unbind").write_text(device)
        _, err = process.communicate(timeout=60)
    (Path("/sys/bus/platform/drivers/rsl_mbox_doorbell") / "bind").write_text(device)
    assert (process.returncode, "rslctl: link 'rpu0' went away\n" in err) == (1, True), err
    assert "Traceback" not in err
