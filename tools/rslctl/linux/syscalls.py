# SPDX-License-Identifier: BSD-3-Clause
"""System calls that Python has no function for: prctl, capset, keyctl, unshare and mount.

They are called through the C library by hand because the packages that wrap them are C extensions
that boards lack. Each raises OSError where the kernel refuses.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator

# include/uapi/linux/prctl.h and capability.h
_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
# The number of keyctl(2) by machine. include/uapi/asm-generic/unistd.h is for arm64, riscv and
# newer machines.
_KEYCTL = {"x86_64": 250, "i686": 288, "armv7l": 311, "armv8l": 311}
_KEYCTL_GENERIC = 219
_KEYCTL_JOIN_SESSION_KEYRING = 1
# include/uapi/linux/sched.h and mount.h
_CLONE_NEWNS = 0x00020000
MS_NOSUID = 1 << 1
MS_NODEV = 1 << 2
MS_NOEXEC = 1 << 3
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_PRIVATE = 1 << 18


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, file: str | None = None) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), file)
    return result


def _prctl(option: int, *arguments: int) -> int:
    padded = [*arguments, 0, 0, 0, 0][:4]
    return _check(_libc().prctl(option, *(ctypes.c_ulong(value) for value in padded)))


def end_with_parent(number: int) -> None:
    """Send signal *number* to this process when its parent ends. A change of user undoes this."""
    _prctl(_PR_SET_PDEATHSIG, number)


def bounding_set() -> Iterator[int]:
    """The numbers of the capabilities that the kernel knows."""
    capability = 0
    while True:
        try:
            _prctl(_PR_CAPBSET_READ, capability)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: there are no more
                raise
            return
        yield capability
        capability += 1


def drop_from_bounding_set(capability: int) -> None:
    """Drop a capability: no program that this process executes can get it back."""
    _prctl(_PR_CAPBSET_DROP, capability)


def clear_capabilities() -> None:
    """Clear the effective, permitted, inheritable and ambient capabilities."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc().capset(header, (ctypes.c_uint32 * 6)()))
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)


def set_no_new_privileges() -> None:
    """Let no program that this process executes have more rights than the process."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def join_session_keyring() -> None:
    """Leave the keys of the session, which belong to the session whatever the user: keyrings(7)."""
    number = _KEYCTL.get(os.uname().machine, _KEYCTL_GENERIC)
    try:
        _check(_libc().syscall(number, _KEYCTL_JOIN_SESSION_KEYRING, None))
    except OSError as error:
        if error.errno != errno.ENOSYS:  # ENOSYS: the kernel has no keys
            raise


def unshare_mounts() -> None:
    """Give this process a mount namespace of its own: no other process sees its mounts."""
    _check(_libc().unshare(_CLONE_NEWNS))
    mount(None, "/", None, MS_REC | MS_PRIVATE)


def mount(
    source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None
) -> None:
    """Call mount(2) with *flags*, which are MS_ values."""
    texts = [text.encode() if text is not None else None for text in (source, target, fstype, data)]
    _check(_libc().mount(*texts[:3], ctypes.c_ulong(flags), texts[3]), target)
