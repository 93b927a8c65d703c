# SPDX-License-Identifier: BSD-3-Clause
"""A range of physical memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A range of physical memory: *base* and *size* in bytes."""

    base: int
    size: int

    @property
    def end(self) -> int:
        """The first address behind the region."""
        return self.base + self.size

    def overlaps(self, other: Region) -> bool:
        """Return whether the two regions have a byte in common."""
        return self.base < other.end and other.base < self.end

    def contains(self, other: Region) -> bool:
        """Return whether all bytes of *other* are in this region."""
        return self.base <= other.base and other.end <= self.end
