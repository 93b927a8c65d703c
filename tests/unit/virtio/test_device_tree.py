# SPDX-License-Identifier: BSD-3-Clause
"""The device tree that begins the shared memory of version 1."""

from __future__ import annotations

import struct
import subprocess

from rslctl.devicetree.blob import read
from rslctl.profile import virtio
from rslctl.virtio import device_tree

from tests.unit.programs import there


def test_nodes_are_those_of_the_rsl_daemon() -> None:
    blob = device_tree.blob([0x3ED1_0000, 0x8_7000_0000])
    two = struct.pack(">I", 2)

    def node(base: int) -> dict[str, bytes]:
        return {
            "compatible": b"virtio,mmio\0",
            "reg": struct.pack(">QQ", base, 0x200),
            "dma-coherent": b"",
        }

    assert read(blob, "the tree").nodes == {
        "/": {"#address-cells": two, "#size-cells": two},
        "/virtio@3ed10000": node(0x3ED1_0000),
        "/virtio@870000000": node(0x8_7000_0000),
    }
    assert read(blob, "the tree").reserved == ()


def test_the_size_in_the_header_is_all_that_is_written() -> None:
    blob = device_tree.blob([0x1000])
    assert struct.unpack_from(">2I", blob) == (0xD00DFEED, len(blob))


def test_dtc_reads_it() -> None:
    blob = device_tree.blob([0x3ED1_0000])
    command = [there("dtc"), "-I", "dtb", "-O", "dts", "-"]
    done = subprocess.run(command, input=blob, check=True, capture_output=True)
    assert b"reg = <0x00 0x3ed10000 0x00 0x200>;" in done.stdout
    assert done.stderr == b""


def test_trees_do_not_share_nodes() -> None:
    assert device_tree.blob([0x1000]) == device_tree.blob([0x1000])


def test_a_tree_of_the_most_devices_fits_into_its_place() -> None:
    headers = range(1 << 40, (1 << 40) + virtio.MOST * 0x100000, 0x100000)
    assert len(device_tree.blob(headers)) < virtio.DEVICE_TREE_SIZE
