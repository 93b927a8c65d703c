# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: find, load and unload them.

Files: modules.dep(5), and modules.builtin beside it.
"""

from __future__ import annotations

import os

from rslctl.linux.host import Host


def loaded(host: Host, module: str) -> bool:
    """Return whether *module* is loaded, or built in and visible in /sys/module."""
    return host.exists(f"/sys/module/{module}")


def available(host: Host, module: str, release: str = os.uname().release) -> bool:
    """Return whether *module* is built into the kernel *release*, or installed for it.

    Raises:
        RslError: the lists of modules cannot be read.
    """
    built_in = [_name(line) for line in _lines(host, release, "modules.builtin")]
    return module in built_in or module in _dependencies(host, release)


def needed(host: Host, module: str) -> list[str]:
    """Return *module* and the modules that it needs; each is before the modules that it needs."""
    return [module, *_dependencies(host, os.uname().release).get(module, [])]


def _dependencies(host: Host, release: str) -> dict[str, list[str]]:
    """Read modules.dep: the modules that each module needs."""
    found = {}
    for line in _lines(host, release, "modules.dep"):
        file, _, others = line.partition(":")
        found[_name(file)] = [_name(each) for each in others.split()]
    return found


def _lines(host: Host, release: str, listing: str) -> list[str]:
    path = f"/lib/modules/{release}/{listing}"
    return host.read_text(path).splitlines() if host.exists(path) else []


def _name(file: str) -> str:
    """The name of the module in a file such as "kernel/drivers/uio/uio.ko.xz"."""
    return file.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def load(host: Host, module: str, *, hint: str) -> None:
    """Load a module and the modules that it needs.

    Raises:
        RslError: the module cannot be loaded; the error has *hint*.
    """
    host.run(["modprobe", module], hint=hint)


def used(host: Host, module: str) -> bool:
    """Return whether a loaded module is in use: its reference count is not 0."""
    return host.read_text(f"/sys/module/{module}/refcnt") != "0"


def unload(host: Host, module: str, *, hint: str) -> None:
    """Unload a module, but not the modules that it needs.

    Raises:
        RslError: the module cannot be unloaded, as it is in use; the error has *hint*.
    """
    host.run(["rmmod", module], hint=hint)
