# SPDX-License-Identifier: BSD-3-Clause
"""The overlay interface in configfs, as kernels of board vendors have it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import fdt
import pytest

OVERLAYS = Path("/sys/kernel/config/device-tree/overlays")
NODE = Path("/proc/device-tree/rsl-live")
DEVICE = Path("/sys/bus/platform/devices/rsl-live")


def blob(target: str) -> bytes:
    """An overlay that adds one node below *target*."""
    source = f"""
    /dts-v1/;
    / {{
        fragment@0 {{
            target-path = "{target}";
            __overlay__ {{
                rsl-live {{
                    compatible = "rsl-test,live";
                }};
            }};
        }};
    }};
    """
    return bytes(fdt.parse_dts(source).to_dtb(version=17))


@pytest.fixture(autouse=True)
def overlay() -> Iterator[Path]:
    """A directory for an overlay, empty."""
    subprocess.run(["modprobe", "rsl_of_configfs"], check=True)
    made = OVERLAYS / "live"
    made.mkdir()
    yield made
    if made.exists():
        made.rmdir()
    subprocess.run(["modprobe", "-r", "rsl_of_configfs"], check=True)
    assert not NODE.exists()


def status(overlay: Path) -> str:
    return (overlay / "status").read_text()


def clear_log() -> str:
    """What the kernel has logged; the fixture quiet_kernel does not see it any more."""
    return subprocess.run(["dmesg", "-c"], stdout=subprocess.PIPE, text=True, check=True).stdout


def test_a_blob_that_is_written_is_applied_and_removed_with_its_directory(overlay: Path) -> None:
    assert status(overlay) == "unapplied\n"
    (overlay / "dtbo").write_bytes(blob("/"))
    assert status(overlay) == "applied\n"
    assert NODE.is_dir()
    assert DEVICE.exists()
    assert (overlay / "dtbo").read_bytes() == blob("/")
    overlay.rmdir()
    assert not NODE.exists()
    assert not DEVICE.exists()


def test_a_blob_is_applied_by_its_name(overlay: Path) -> None:
    Path("/lib/firmware/live.dtbo").write_bytes(blob("/"))
    (overlay / "path").write_text("live.dtbo\n")
    assert (overlay / "path").read_text() == "live.dtbo\n"
    assert status(overlay) == "applied\n"
    assert DEVICE.exists()


def test_a_name_of_nothing_is_refused(overlay: Path) -> None:
    with pytest.raises(FileNotFoundError):
        (overlay / "path").write_text("nothing.dtbo")
    assert (status(overlay), (overlay / "path").read_text()) == ("unapplied\n", "\n")


def test_a_blob_for_a_node_that_is_not_there_stays_unapplied(overlay: Path) -> None:
    Path("/lib/firmware/lost.dtbo").write_bytes(blob("/nowhere"))
    with pytest.raises(OSError) as refused:
        (overlay / "path").write_text("lost.dtbo")
    assert refused.value.errno == errno.EINVAL
    assert status(overlay) == "unapplied\n"
    # The kernel takes what is written to a file of bytes when it is closed, and tells nobody.
    (overlay / "dtbo").write_bytes(blob("/nowhere"))
    assert status(overlay) == "unapplied\n"
    assert "OF: overlay" in clear_log()
    (overlay / "dtbo").write_bytes(blob("/"))
    assert status(overlay) == "applied\n"


def test_an_overlay_that_is_applied_takes_no_other(overlay: Path) -> None:
    (overlay / "dtbo").write_bytes(blob("/"))
    with pytest.raises(PermissionError):
        (overlay / "path").write_text("live.dtbo")
    assert status(overlay) == "applied\n"
