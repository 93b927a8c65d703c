# SPDX-License-Identifier: BSD-3-Clause
"""The conditions of a link to another virtual machine; the checks only read."""

from __future__ import annotations

from collections.abc import Iterator

from rslctl.errors import RslError
from rslctl.linux import ivshmem, mbox
from rslctl.linux.host import Host
from rslctl.profile.model import Link
from rslctl.setup.checks import Finding


def device(host: Host, link: Link, address: str) -> list[Finding]:
    """Find where the device at a PCI address is not as the profile says."""
    found = mbox.at(host, address)
    if found is None:
        return []
    planned = [
        ("bytes of shared memory", found.memory_size, link.memory.size, "size"),
        ("vectors", found.vectors, link.vectors, "vectors"),
    ]
    return [
        Finding(
            "ivshmem",
            "error",
            f"{link.name}: the ivshmem device {address} has {has:#x} {what}, the profile says "
            f"{wanted:#x}",
            f"have {key} of the profile as the ivshmem server and the virtual machine have it; "
            f"{ivshmem.TABLE_SIZE:#x} bytes of the memory are not the link's",
        )
        for what, has, wanted, key in planned
        if has != wanted
    ]


def link(host: Host, wanted: Link) -> Iterator[Finding]:
    """Find what is wrong with the device of a link, and with who has which role."""
    by = wanted.ivshmem
    if by is None:
        return
    try:
        address = ivshmem.address_of(host, by.address, by.instance)
    except RslError as error:
        yield Finding("ivshmem", "error", f"{wanted.name}: {error}", error.hint)
        return
    found = mbox.at(host, address)
    if found is None or found.name != wanted.name:
        return  # it is not set up
    yield from device(host, wanted, address)
    if ivshmem.attribute(host, address, "role") == ivshmem.LOST:
        yield Finding(
            "role",
            "error",
            f"{wanted.name}: another machine has taken the role {by.role!r}, or the memory is "
            "another one",
            "each machine needs a role of its own in its profile; then rslctl setup here again",
        )
    if ivshmem.attribute(host, address, "peer") == ivshmem.NONE:
        other = next(role for role in ivshmem.ROLES if role != by.role)
        yield Finding(
            "peer",
            "warning",
            f"{wanted.name}: no machine has the role {other!r}: kicks go nowhere",
            f"set the link up in the other machine, with role = {other!r} in its profile",
        )
