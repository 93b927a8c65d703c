# SPDX-License-Identifier: BSD-3-Clause
"""What each core reaches."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.profile import cores, reader
from rslctl.profile.cores import CORES, Range, seen
from rslctl.region import Region

from tests.unit.machine import REAL_BOARDS
from tests.unit.profile.support import MAILBOX, PROFILE, parse

FIFOS = MAILBOX + 'controller = "&mu"\nfifos = [4, 5]\n'


def with_memory(base: int, more: str = "") -> str:
    return FIFOS.replace("0x70000000", f"{base:#x}") + more


@pytest.mark.parametrize("name", CORES)
def test_the_ranges_of_a_core_are_memory_that_it_can_name(name: str) -> None:
    for each in CORES[name].ranges:
        assert each.size > 0
        assert each.remote + each.size <= (1 << 64 if name in ("k3-c7x", "cortex-a") else 1 << 32)
        if re.search(r"-m\d", name):
            assert each.remote + each.size <= 0xE0000000
    for region in CORES[name].loads or ():
        assert seen(CORES[name].ranges, region) is not None


@pytest.mark.parametrize(
    ("core", "linux", "remote"),
    [
        ("zynqmp-r5-0", 0xFFE20000, 0x20000),
        ("zynqmp-r5-1", 0xFFE90000, 0),
        ("zynqmp-r5-0", 0x37000000, 0x37000000),
        ("zynqmp-r5-0", 0x80000, None),
        ("stm32mp1-m4", 0x38000000, 0),
        ("stm32mp1-m4", 0xD0000000, 0xD0000000),
        ("stm32mp1-m4", 0xE0000000, None),
        ("imx8mp-m7", 0x7E0000, 0),
        ("imx8mp-m7", 0xC0000000, None),
        ("imx7d-m4", 0x900000, 0x20200000),
        ("imx7d-m4", 0x60000000, None),
        ("k3-m4", 0x5040000, 0x30000),
        ("k3-r5", 0x880000000, None),
        ("k3-c7x", 0x880000000, 0x880000000),
    ],
)
def test_a_core_sees_memory_where_its_bus_has_it(core: str, linux: int, remote: int | None) -> None:
    expected = None if remote is None else Region(remote, 0x1000)
    assert seen(CORES[core].ranges, Region(linux, 0x1000)) == expected


def test_a_region_has_to_be_in_one_range_whole() -> None:
    ranges = (Range(0, 0x1000, 0x1000), Range(0x8000, 0x2000, 0x1000))
    assert seen(ranges, Region(0x1800, 0x800)) == Region(0x800, 0x800)
    assert seen(ranges, Region(0x1800, 0x1000)) is None
    assert cores.spans(ranges) == "0x1000 to 0x2000, 0x2000 to 0x3000"


def test_memory_that_the_remote_cannot_address_is_refused() -> None:
    """The row hi.toml of the published reports: an R5 of a K3, and memory at 34 GiB."""
    with pytest.raises(RslError) as error:
        parse(with_memory(0x880000000))
    assert str(error.value) == (
        "test.toml:7: link[0].memory: 0x880000000, 0x1000000 bytes, is outside what the remote "
        "reaches; a remote with 32-bit addresses has 0x0 to 0x100000000; remote.core and "
        "remote.ranges say what it reaches"
    )
    with pytest.raises(RslError, match="core 'k3-m4' has 0x5000000 to 0x5030000, 0x5040000 to"):
        parse(with_memory(0xF0000000, '[link.remote]\ncore = "k3-m4"\n'))
    assert parse(with_memory(0xFF000000)).links[0].memory.end == 1 << 32


def test_a_profile_can_say_what_its_remote_reaches() -> None:
    wide = parse(with_memory(0x880000000, '[link.remote]\ncore = "cortex-a"\n')).links[0]
    assert wide.seen(wide.memory) == wide.memory
    ranges = "[link.remote]\nranges = [[0x80000000, 0x880000000, 0x40000000]]\n"
    mapped = parse(with_memory(0x880000000, ranges)).links[0]
    assert mapped.seen(mapped.memory) == Region(0x80000000, 0x1000000)
    with pytest.raises(RslError, match=r"remote\.ranges lists 0x880000000 to 0x8c0000000"):
        parse(with_memory(0x70000000, ranges))


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ("[0, 0]", "['0x0', '0x0'] is not"),
        ("[0, 0, 0]", "['0x0', '0x0', '0x0'] is not"),
        ("[0xffffffffffffffff, 0, 2]", "is not [remote's address, Linux's, size]"),
    ],
)
def test_a_range_that_is_none_is_named(row: str, shown: str) -> None:
    with pytest.raises(RslError) as error:
        parse(PROFILE + f"[link.remote]\nranges = [{row}]\n")
    assert "link[0].remote.ranges" in str(error.value)
    assert shown in str(error.value)


def test_firmware_that_linux_cannot_load_is_refused() -> None:
    boots = '[link.remote]\ncore = "stm32mp1-m4"\n[link.remoteproc]\nnode = "&m4"\n'
    memory = with_memory(0xD0000000, boots)
    good = "[link.firmware]\nbase = 0x10000000\nsize = 0x40000\n"
    assert parse(memory + good).links[0].firmware == Region(0x10000000, 0x40000)
    with pytest.raises(RslError) as error:
        parse(memory + good.replace("0x10000000", "0xd8000000"))
    assert "firmware: 0xd8000000, 0x40000 bytes, is where Linux cannot load a program of core " in (
        str(error.value)
    )
    # Without remoteproc something else loads it.
    alone = memory.replace('[link.remoteproc]\nnode = "&m4"\n', "")
    assert parse(alone + good.replace("0x10000000", "0xd8000000"))


@pytest.mark.parametrize("name", REAL_BOARDS)
def test_the_boards_that_come_with_rslctl_say_what_their_remote_is(
    name: str, tmp_path: Path
) -> None:
    for link in reader.load(name, Host(tmp_path)).links:
        assert link.core
        assert all(link.seen(region) for _, region in link.regions())
