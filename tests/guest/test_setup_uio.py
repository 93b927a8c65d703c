# SPDX-License-Identifier: BSD-3-Clause
"""Setup and the kernel's UIO driver."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rslctl.linux import uio
from rslctl.linux.host import Host
from rslctl.region import Region

from tests.command_line import Rslctl

SETUP = ("setup", "--board", "qemu-virt")
NODE = "/shmem@70000000"
DEVICE = Path("/sys/bus/platform/devices/70000000.shmem")
OVERRIDE = DEVICE / "driver_override"
#: A device that no driver wants, and a driver that takes whatever it is told to.
OTHER = Path("/sys/bus/platform/devices/0.flash")
TAKER = "simple-pm-bus"


def driver() -> str | None:
    link = DEVICE / "driver"
    return link.resolve().name if link.exists() else None


def loaded() -> set[str]:
    return {name for name in ("rsl_mbox", "uio", uio.DRIVER) if Path("/sys/module", name).exists()}


@pytest.fixture(autouse=True)
def as_it_was(rslctl: Rslctl) -> Iterator[None]:
    before = (driver(), OVERRIDE.read_text(), loaded())
    assert before == (None, "(null)\n", set())
    yield
    assert rslctl("teardown")[0] == 0
    assert (driver(), OVERRIDE.read_text(), loaded()) == before


def steps(out: str) -> dict[str, str]:
    (document,) = json.loads(out)
    return {each["step"]: each["result"] for each in document["steps"]}


def test_the_memory_is_bound_by_driver_override(rslctl: Rslctl) -> None:
    status, out, err = rslctl(*SETUP, "--json", "-v", "--mode", "0640")
    assert status == 0, err
    assert steps(out)[f"{NODE} bound to driver uio_pdrv_genirq"] == "done"
    assert f"rslctl: write 'uio_pdrv_genirq' to '{OVERRIDE}'\n" in err
    found = uio.at(Host(), NODE)
    assert found and (found.name, found.maps) == ("rpu0", (Region(0x70000000, 0x1000000),))
    assert Path(found.path).stat().st_mode & 0o7777 == 0o640
    assert set(steps(rslctl(*SETUP, "--json", "--mode", "0640")[1]).values()) == {"ok", "already"}
    assert loaded() == {"rsl_mbox", "uio", uio.DRIVER}


def test_each_step_tells_its_time(rslctl: Rslctl) -> None:
    (document,) = json.loads(rslctl(*SETUP, "--json")[1])
    assert all(0 <= each["seconds"] < 60 for each in document["steps"])


def test_the_device_is_found_by_its_node_and_not_by_its_number(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", uio.DRIVER], check=True)
    (OTHER / "driver_override").write_text(uio.DRIVER)
    Path("/sys/bus/platform/drivers", uio.DRIVER, "bind").write_text(OTHER.name)
    try:
        assert os.listdir("/sys/class/uio") == ["uio0"]
        status, out, err = rslctl(*SETUP)
        assert status == 0, err
        assert f"device /dev/uio1 of {NODE} there" in out
        found = uio.at(Host(), NODE)
        assert found and found.path == "/dev/uio1"
        assert "/dev/uio1, and the RSL daemon opens /dev/uio0" in rslctl("doctor")[1]
        assert rslctl("teardown")[0] == 0
        assert os.listdir("/sys/class/uio") == ["uio0"]
    finally:
        Path("/sys/bus/platform/drivers", uio.DRIVER, "unbind").write_text(OTHER.name)
        (OTHER / "driver_override").write_text("\n")
        subprocess.run(["modprobe", "-r", uio.DRIVER, "uio"], check=True)


def test_what_the_parameter_of_id_bound_stays_bound(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", uio.DRIVER, "of_id=generic-uio"], check=True)
    try:
        status, out, _ = rslctl(*SETUP, "--json")
        assert status == 0
        assert steps(out)[f"{NODE} bound to driver uio_pdrv_genirq"] == "already"
        assert rslctl("teardown")[0] == 0
        assert driver() == uio.DRIVER
    finally:
        subprocess.run(["modprobe", "-r", uio.DRIVER, "uio"], check=True)


def test_a_device_of_another_driver_is_taken_by_force_only_and_given_back(
    rslctl: Rslctl,
) -> None:
    OVERRIDE.write_text(TAKER)
    Path("/sys/bus/platform/drivers", TAKER, "bind").write_text(DEVICE.name)
    try:
        status, _, err = rslctl(*SETUP)
        assert status == 1
        assert f"{DEVICE.name} is held by driver '{TAKER}', not '{uio.DRIVER}'" in err
        assert "--force takes it" in err
        assert driver() == TAKER
        assert f"{NODE} is held by driver '{TAKER}'" in rslctl("doctor", *SETUP[1:])[1]
        assert rslctl(*SETUP, "--force")[0] == 0
        assert driver() == uio.DRIVER
        assert rslctl("teardown")[0] == 0
        assert (driver(), OVERRIDE.read_text()) == (TAKER, f"{TAKER}\n")
    finally:
        Path("/sys/bus/platform/drivers", TAKER, "unbind").write_text(DEVICE.name)
        OVERRIDE.write_text("\n")


@pytest.mark.parametrize("mapped", [False, True])
def test_teardown_leaves_a_link_whose_uio_device_somebody_has(rslctl: Rslctl, mapped: bool) -> None:
    assert rslctl(*SETUP)[0] == 0
    found = uio.at(Host(), NODE)
    assert found
    program = (
        "import mmap, os, time\n"
        f"fd = os.open('{found.path}', os.O_RDWR)\n"
        f"memory = mmap.mmap(fd, 4096)\n{'os.close(fd)' if mapped else ''}\n"
        "print('up', flush=True)\ntime.sleep(600)\n"
    )
    user = subprocess.Popen(["python3", "-c", program], stdout=subprocess.PIPE, text=True)
    assert user.stdout and user.stdout.readline() == "up\n"
    status, out, err = rslctl("teardown")
    assert (status, out) == (1, "")
    assert f"link 'rpu0' is in use: {found.path} is open in process {user.pid}" in err
    assert (driver(), loaded()) == (uio.DRIVER, {"rsl_mbox", "uio", uio.DRIVER})
    user.kill()
    user.communicate()


def test_without_the_driver_the_link_maps_its_memory_itself(rslctl: Rslctl) -> None:
    (module,) = Path("/lib/modules").rglob(f"{uio.DRIVER}.ko")
    hidden = module.rename(module.with_suffix(".hidden"))
    subprocess.run(["depmod"], check=True)
    try:
        status, out, err = rslctl(*SETUP)
        assert status == 0, err
        assert "shared memory mapped by rsl_mbox itself, as the kernel has no uio_pdrv_g" in out
        assert loaded() == {"rsl_mbox"}
        assert "this kernel has no uio_pdrv_genirq" in rslctl("doctor")[1]
    finally:
        hidden.rename(module)
        subprocess.run(["depmod"], check=True)


def test_the_doctor_tells_what_keeps_the_uio_device_away(rslctl: Rslctl) -> None:
    subprocess.run(["modprobe", uio.DRIVER], check=True)
    status, out, _ = rslctl("doctor", *SETUP[1:])
    assert "warning: uio: rpu0: uio_pdrv_genirq does not have" in out
    assert "of_id is 'not set'" in out
    assert status == 0
    subprocess.run(["modprobe", "-r", uio.DRIVER, "uio"], check=True)
