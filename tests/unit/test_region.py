# SPDX-License-Identifier: BSD-3-Clause
"""Ranges of physical memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rslctl.region import Region

REGIONS = st.builds(Region, st.integers(0, 20), st.integers(0, 20))


def addresses(region: Region) -> set[int]:
    return set(range(region.base, region.end))


@given(REGIONS.filter(lambda region: region.size), REGIONS.filter(lambda region: region.size))
def test_two_regions_overlap_where_they_have_a_byte_in_common(one: Region, other: Region) -> None:
    assert one.overlaps(other) == other.overlaps(one) == bool(addresses(one) & addresses(other))


@given(REGIONS, REGIONS.filter(lambda region: region.size))
def test_a_region_contains_another_that_has_no_byte_outside(one: Region, other: Region) -> None:
    assert one.contains(other) == (addresses(other) <= addresses(one))


def test_regions_that_only_touch_do_not_overlap() -> None:
    assert not Region(0x1000, 0x1000).overlaps(Region(0x2000, 0x1000))
    assert Region(0x1000, 0x1000).overlaps(Region(0x1FFF, 0x1000))


def test_the_last_region_of_64_bits_ends_behind_the_last_address() -> None:
    assert Region(2**64 - 4096, 4096).end == 2**64
