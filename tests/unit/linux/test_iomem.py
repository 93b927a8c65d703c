# SPDX-License-Identifier: BSD-3-Clause
"""/proc/iomem, as an arm64 kernel writes it."""

from __future__ import annotations

from pathlib import Path

from rslctl.linux import iomem
from rslctl.linux.host import Host
from rslctl.linux.iomem import Iomem
from rslctl.region import Region

TEXT = """\
09000000-09000fff : pl011@9000000
  09000000-09000fff : 9000000.pl011 pl011@9000000
40000000-6fffffff : System RAM
  40210000-4187ffff : Kernel code
  41880000-4211ffff : reserved
70000000-70ffffff : reserved
71000000-7fffffff : System RAM
8000000000-ffffffffff : PCI Bus 0000:00
"""


def test_ram_and_what_is_used_are_told_apart() -> None:
    found = Iomem(TEXT)
    assert found.known
    assert found.ram == (Region(0x40000000, 0x30000000), Region(0x71000000, 0xF000000))
    assert found.used == (
        Region(0x9000000, 0x1000),
        Region(0x9000000, 0x1000),
        Region(0x40210000, 0x1670000),
        Region(0x41880000, 0x8A0000),
        Region(0x70000000, 0x1000000),
        Region(0x8000000000, 0x8000000000),
    )


def test_addresses_that_the_kernel_hides_are_not_taken_for_addresses() -> None:
    found = Iomem("00000000-00000000 : System RAM\n  00000000-00000000 : reserved\n")
    assert (found.known, found.ram, found.used) == (False, (), ())


def test_a_machine_without_the_file_tells_nothing(tmp_path: Path) -> None:
    assert not iomem.read(Host(tmp_path)).known
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text(TEXT)
    assert iomem.read(Host(tmp_path)).ram == Iomem(TEXT).ram
