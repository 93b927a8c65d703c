# SPDX-License-Identifier: BSD-3-Clause
"""Kernel modules: those that there are, and those that are loaded.

Files: modules.dep(5), and modules.builtin beside it.
"""

from __future__ import annotations

import os

from rslctl.linux.host import Host


def loaded(host: Host, module: str) -> bool:
    return host.exists(f"/sys/module/{module}")


def available(host: Host, module: str, release: str = os.uname().release) -> bool:
    """Whether a kernel, the running one by default, has *module*, built in or to be loaded.

    Raises:
        RslError: the lists of modules cannot be read.
    """
    built_in = [_name(line) for line in _lines(host, release, "modules.builtin")]
    return module in built_in or module in _dependencies(host, release)


def needed(host: Host, module: str) -> list[str]:
    """*module* and the modules that it needs, each before those that it needs itself."""
    return [module, *_dependencies(host, os.uname().release).get(module, [])]


def _dependencies(host: Host, release: str) -> dict[str, list[str]]:
    found = {}
    for line in _lines(host, release, "modules.dep"):
        file, _, others = line.partition(":")
        found[_name(file)] = [_name(each) for each in others.split()]
    return found


def _lines(host: Host, release: str, listing: str) -> list[str]:
    path = f"/lib/modules/{release}/{listing}"
    return host.read_text(path).splitlines() if host.exists(path) else []


def _name(file: str) -> str:
    return file.rpartition("/")[2].partition(".ko")[0].replace("-", "_")


def load(host: Host, module: str, *, hint: str) -> None:
    """Load a module and what it needs.

    Raises:
        RslError: it cannot be; with *hint*.
    """
    host.run(["modprobe", module], hint=hint)


def used(host: Host, module: str) -> bool:
    """Whether something holds a module that is loaded."""
    return host.read_text(f"/sys/module/{module}/refcnt") != "0"


def unload(host: Host, module: str, *, hint: str) -> None:
    """Unload this one module.

    Raises:
        RslError: it is in use; with *hint*.
    """
    host.run(["rmmod", module], hint=hint)
