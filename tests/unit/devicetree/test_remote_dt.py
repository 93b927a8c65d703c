# SPDX-License-Identifier: BSD-3-Clause
"""What the remote is told of a link."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rslctl.devicetree import remote_dt, tree
from rslctl.profile import reader, virtio

from tests.command_line import Rslctl
from tests.unit.machine import REAL_BOARDS
from tests.unit.programs import needs_dtc


def compiled(name: str, form: str = "dts") -> tree.Tree:
    board = reader.load(name)
    data = remote_dt.render(board, board.links[0], form)
    if form == "dts":
        command = ["dtc", "-I", "dts", "-O", "dtb"]
        done = subprocess.run(command, input=data, capture_output=True, check=True)
        assert done.stderr == b""
        data = done.stdout
    return tree.from_blob(data, name)


@needs_dtc
@pytest.mark.parametrize("name", REAL_BOARDS)
def test_source_and_blob_tell_the_same(name: str) -> None:
    source, blob = compiled(name), compiled(name, "dtb")
    assert {path: set(each) - {"phandle"} for path, each in source.nodes.items()} == {
        path: set(each) - {"phandle"} for path, each in blob.nodes.items()
    }
    for path, properties in source.nodes.items():
        for key, value in properties.items():
            assert blob.nodes[path].get(key, value) == value


@needs_dtc
def test_the_remote_is_told_of_memory_headers_vectors_and_doorbells() -> None:
    told = compiled("qemu-virt")
    (memory,) = told.regions("/reserved-memory/memory@70000000")
    assert (memory.base, memory.size) == (0x70000000, 0x1000000)
    headers = [path for path in told.nodes if told.texts(path, "compatible") == ["virtio,mmio"]]
    assert sorted(told.regions(path)[0].base for path in headers) == [
        0x70000000 + 0x200 * n for n in range(5)
    ]
    doorbell = "/rsl-doorbell"
    assert told.cells(doorbell, "rsl,vectors") == (4,)
    assert told.cells(doorbell, "rsl,notify-register") == (0, 0x8020040)
    assert told.cells(doorbell, "rsl,notify-values") == (112, 113, 114, 115)
    assert told.cells(doorbell, "rsl,kick-interrupts") == (80, 81, 82, 83)


@pytest.mark.parametrize("name", REAL_BOARDS)
@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is missing")
def test_the_header_compiles_without_a_warning(name: str, tmp_path: Path, rslctl: Rslctl) -> None:
    header, source = tmp_path / "link.h", tmp_path / "link.c"
    assert rslctl("remote-dt", "--board", name, "-o", header)[0] == 0
    macros = re.findall(r"^#define (RSL_\w+) (\S.*)$", header.read_text(), re.MULTILINE)
    assert len(macros) > 5
    uses = [
        f"const unsigned long use_{macro}[] = {macro};\n"
        if value.startswith("{")
        else f"const unsigned long use_{macro} = {macro};\n"
        for macro, value in macros
    ]
    source.write_text('#include "link.h"\n' + "".join(uses))
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", source], check=True)


@needs_dtc
@pytest.mark.parametrize("name", REAL_BOARDS)
def test_zephyrs_overlay_compiles_over_a_base(name: str) -> None:
    board = reader.load(name)
    text = remote_dt.render(board, board.links[0], "zephyr").decode()
    # The preprocessor would replace these.
    text = "".join(line for line in text.splitlines(True) if not line.startswith("#include"))
    text = text.replace("DT_MEM_ARM(ATTR_MPU_RAM_NOCACHE)", "1")
    assert "rsl,vectors = <" in text
    base = "/dts-v1/; / { #address-cells = <1>; #size-cells = <1>; };\n"
    command = ["dtc", "-I", "dts", "-O", "dtb"]
    done = subprocess.run(command, input=(base + text).encode(), capture_output=True, check=True)
    assert done.stderr == b""
    made = tree.from_blob(done.stdout, name)
    place = f"/memory@{board.links[0].memory.base:x}"
    assert made.regions(place) == [board.links[0].memory]
    if served := board.links[0].virtio:
        headers = [path for path in made.nodes if "/virtio@" in path]
        devices = virtio.arrange(served.devices, device_tree=served.device_tree)
        start = board.links[0].memory.base
        assert sorted(made.regions(path)[0].base - start for path in headers) == [
            device.header for device in devices
        ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("am642-evm", {"kick-fifo": (8,), "notify-fifo": (9,), "vectors": (8,)}),
        (
            "imx8mp-evk",
            {
                "channel-cells": (2,),
                "kick-channels": (2, 0, 2, 2, 2, 3),
                "notify-channels": (3, 0, 3, 2, 3, 3),
            },
        ),
        (
            "zcu102",
            {
                "ipi-agent": (1,),
                "ipi-linux-agent": (7,),
                # The published demonstration's regions.
                "kick-message": (0xFF990600,),
                "notify-message": (0xFF9900C0,),
                "notify-register": (0xFF310000,),
                "notify-values": (1 << 24,),
                "kick-interrupts": (65,),
            },
        ),
    ],
)
def test_the_remote_is_told_its_mailbox(name: str, expected: dict[str, tuple[int, ...]]) -> None:
    board = reader.load(name)
    facts = {fact.name: fact.values for fact in remote_dt.Side(board, board.links[0]).facts}
    assert expected.items() <= facts.items()


def test_a_doorbell_of_ones_own_is_not_the_ipis(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "zcu102"\n[[link]]\nname = "rpu0"\ntransport = "doorbell"\n'
        "[link.doorbell]\nregister = 0xa0000000\nkick-values = [1, 2]\nspis = [89, 90]\n"
        'trigger = "edge-rising"\n'
    )
    board = reader.load(str(mine))
    facts = {fact.name: fact.values for fact in remote_dt.Side(board, board.links[0]).facts}
    assert facts == {"vectors": (2,), "virtio-version": (1,)}


@needs_dtc
@pytest.mark.parametrize("version", [1, 2])
def test_every_form_tells_the_version_of_the_registers(version: int, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "qemu-virt"\n[[link]]\nname = "rpu0"\n'
        f'virtio.version = {version}\nvirtio.devices = ["net", "blk,region=0x10000"]\n'
    )
    for form in ("dtb", "dts"):
        told = compiled(str(mine), form)
        assert told.cells("/rsl-doorbell", "rsl,virtio-version") == (version,)
        assert told.texts("/virtio@70000200", "rsl,device") == ["blk"]
        assert told.cells("/virtio@70000200", "rsl,region") == (0, 0x70090000, 0, 0x10000)
    board = reader.load(str(mine))
    texts = {
        form: remote_dt.render(board, board.links[0], form).decode()
        for form in ("zephyr", "header")
    }
    assert f"\t\trsl,virtio-version = <{version:#x}>;\n" in texts["zephyr"]
    assert f"#define RSL_RPU0_VIRTIO_VERSION {version:#x}\n" in texts["header"]
    assert "#define RSL_RPU0_VIRTIO_BLK_REGION_SIZE 0x10000UL\n" in texts["header"]


def test_a_link_without_virtio_has_no_version_of_registers(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text('extends = "qemu-virt"\n[[link]]\nname = "rpu0"\nvirtio = false\n')
    board = reader.load(str(mine))
    text = remote_dt.render(board, board.links[0], "header").decode()
    assert "VIRTIO_VERSION" not in text
    assert "#define RSL_RPU0_VIRTIO_DEVICES 0\n" in text


def zephyr(tmp_path: Path, more: str) -> str:
    """What Zephyr is told of zcu102's link, changed by *more*."""
    mine = tmp_path / "mine.toml"
    mine.write_text(f'extends = "zcu102"\n[[link]]\nname = "rpu0"\n{more}')
    board = reader.load(str(mine))
    return remote_dt.render(board, board.links[0], "zephyr").decode()


def test_memory_past_4_gib_is_told_to_zephyr_in_two_cells(tmp_path: Path) -> None:
    text = zephyr(
        tmp_path,
        'remote.core = "cortex-a"\nmemory.base = 0x800000000\nmemory.size = 0x100000000\n',
    )
    assert "reg = <0x8 0x0 0x1 0x0>;" in text
    assert "ranges = <0x0 0x0 0x8 0x0 0x1 0x0>;" in text


def test_memory_that_ends_at_4_gib_is_told_to_zephyr_in_one_cell(tmp_path: Path) -> None:
    """The row top.toml of the published reports."""
    text = zephyr(tmp_path, "memory.base = 0xff000000\n")
    assert "reg = <0xff000000 0x1000000>;" in text
    assert "#address-cells = <1>;" in text
    whole = zephyr(
        tmp_path,
        'remote.core = "cortex-a"\nmemory.base = 0\nmemory.size = 0x100000000\nfirmware = false\n',
    )
    assert "reg = <0x0 0x0 0x1 0x0>;" in whole  # a size of 4 GiB has no place in one cell


@needs_dtc
@pytest.mark.parametrize("form", remote_dt.FORMS)
def test_a_remote_is_told_its_own_addresses(form: str, tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(
        'extends = "qemu-virt"\n[[link]]\nname = "rpu0"\n'
        "memory.base = 0x880000000\nfirmware.base = 0x840000000\n"
        "remote.ranges = [[0x80000000, 0x840000000, 0x10000000],"
        " [0x10000000, 0x880000000, 0x10000000]]\n"
    )
    board = reader.load(str(mine))
    data = remote_dt.render(board, board.links[0], form)
    if form == "dtb":
        told = tree.from_blob(data, "told")
        assert told.cells("/reserved-memory/memory@10000000", "reg") == (0, 0x10000000, 0, 1 << 24)
        served = board.links[0].virtio
        assert served
        for each in virtio.arrange(served.devices, device_tree=served.device_tree):
            node = f"/virtio@{0x10000000 + each.header:x}"
            assert told.cells(node, "rsl,region")[1] == 0x10000000 + each.region.offset
        return
    text = data.decode()
    assert "880000000" not in text
    assert "0x10000000" in text
    if form == "header":
        macros = dict(re.findall(r"#define RSL_RPU0_(\w+) (\w+)$", text, re.MULTILINE))
        assert macros["MEMORY_BASE"] == "0x10000000UL"
        assert macros["FIRMWARE_BASE"] == "0x80000000UL"
        assert macros["DT_BASE"] == "0x10f00000UL"
        assert macros["NOTIFY_REGISTER"] == "0x8020040UL"  # the remote's own address already
