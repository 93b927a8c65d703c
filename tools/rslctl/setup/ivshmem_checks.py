# SPDX-License-Identifier: BSD-3-Clause
"""The conditions of a link to another virtual machine; the checks only read."""

from __future__ import annotations

from collections.abc import Iterator

from rslctl.errors import RslError
from rslctl.linux import bus, ivshmem, mbox
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
    yield from device(host, wanted, address)
    found = mbox.at(host, address)
    if found is None:
        yield from _driver(host, wanted, address)
    elif found.name == wanted.name:  # else it is not set up
        yield from _roles(host, wanted, by.role, address)


def _driver(host: Host, wanted: Link, address: str) -> Iterator[Finding]:
    driver = bus.driver_of(host, address)
    if driver not in (None, ivshmem.DRIVER):
        yield Finding(
            "ivshmem",
            "error",
            f"{wanted.name}: the ivshmem device {address} is held by driver {driver!r}",
            "rslctl setup --force takes it, and teardown gives it back",
        )
    elif bus.has_driver(host, ivshmem.DRIVER):
        yield Finding(
            "ivshmem",
            "error",
            f"{wanted.name}: the ivshmem device {address} has no driver, though the module is "
            "loaded",
            "dmesg says what the module found wrong; after an unbind, rslctl setup binds it",
        )


def _roles(host: Host, wanted: Link, wanted_role: str, address: str) -> Iterator[Finding]:
    role = ivshmem.attribute(host, address, "role")
    if role == ivshmem.LOST:
        yield Finding(
            "role",
            "error",
            f"{wanted.name}: another machine has taken the role {wanted_role!r}, or the memory is "
            "another one",
            "each machine needs a role of its own in its profile; then rslctl setup here again",
        )
    elif role != wanted_role:
        yield Finding(
            "role",
            "error",
            f"{wanted.name}: this machine has the role {role!r}, the profile says {wanted_role!r}",
            "rslctl setup gives it that role",
        )
        return  # nobody is the peer of a machine without a role
    if ivshmem.attribute(host, address, "peer") == ivshmem.NONE:
        other = next(each for each in ivshmem.ROLES if each != wanted_role)
        yield Finding(
            "peer",
            "warning",
            f"{wanted.name}: no machine has the role {other!r}: kicks go nowhere",
            f"set the link up in the other machine, with role = {other!r} in its profile",
        )
