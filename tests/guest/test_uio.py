# SPDX-License-Identifier: BSD-3-Clause
"""The board has the kernel's uio_pdrv_genirq, and leaves it to whoever wants it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

MODULE = Path("/sys/module/uio_pdrv_genirq")
DRIVER = Path("/sys/bus/platform/drivers/uio_pdrv_genirq")
DEVICE = Path("/sys/bus/platform/devices/70000000.shmem")


def test_the_driver_comes_when_asked_for_and_takes_the_memory_by_driver_override() -> None:
    assert not MODULE.exists()
    assert not Path("/sys/module/uio").exists()
    subprocess.run(["modprobe", "uio_pdrv_genirq"], check=True)
    assert not (DEVICE / "driver").exists()
    (DEVICE / "driver_override").write_text("uio_pdrv_genirq")
    (DRIVER / "bind").write_text(DEVICE.name)
    (name,) = os.listdir(DEVICE / "uio")
    assert Path("/dev", name).is_char_device()
    region = DEVICE / "uio" / name / "maps/map0"
    assert int((region / "addr").read_text(), 16) == 0x70000000
    assert int((region / "size").read_text(), 16) == 0x1000000
    (DRIVER / "unbind").write_text(DEVICE.name)
    (DEVICE / "driver_override").write_text("\n")
    assert not Path("/dev", name).exists()
    subprocess.run(["modprobe", "-r", "uio_pdrv_genirq", "uio"], check=True)
    assert not MODULE.exists()


def test_the_driver_takes_the_memory_by_the_compatible_in_its_parameter() -> None:
    subprocess.run(["modprobe", "uio_pdrv_genirq", "of_id=generic-uio"], check=True)
    assert (DEVICE / "driver").resolve() == DRIVER
    subprocess.run(["modprobe", "-r", "uio_pdrv_genirq", "uio"], check=True)
    assert not (DEVICE / "driver").exists()
