# SPDX-License-Identifier: BSD-3-Clause
"""The table of boot loaders, and the choice of the one by which a machine boots."""

from __future__ import annotations

import dataclasses

from rslctl.boot.entries import Entries, Grub
from rslctl.boot.environment import TI, Armbian, Toradex, UEnv
from rslctl.boot.extlinux import L4T, Extlinux, UBootMenu
from rslctl.boot.fit import Fit
from rslctl.boot.flash_kernel import FlashKernel
from rslctl.boot.raspberry import Raspberry
from rslctl.boot.view import Loader, View
from rslctl.errors import RslError, SeveralError, UsageError

LOADERS: tuple[type[Loader], ...] = (
    Extlinux,
    L4T,
    UBootMenu,
    Armbian,
    UEnv,
    TI,
    Toradex,
    Raspberry,
    Entries,
    Grub,
    FlashKernel,
    Fit,
)

_MERGE = "--dtb FILE.dtb puts the overlay into the tree that the boot loader loads"


def choose(view: View, said: str | None) -> Loader:
    """The loader *said*, NAME or NAME:FILE, or that of the machine if it is None.

    Raises:
        RslError: no loader fits, or several do.
    """
    if said is not None:
        return _named(view, said)
    every = [each(view) for each in LOADERS]
    missing = [(loader, loader.missing()) for loader in every]
    fitting = [loader for loader, reason in missing if not reason]
    if not fitting:
        raise SeveralError(
            [
                f"'{view.host.root}' has no boot loader that takes overlays or a merged tree",
                *(
                    f"'{view.host.where(path)}' is a file, and has to be a directory"
                    for path in _obstacles(every)
                ),
                *(f"{loader.name}: {reason}" for loader, reason in missing),
            ],
            hint=_MERGE,
        )
    if len(fitting) > 1:
        raise RslError(
            f"several boot loaders fit: {', '.join(each.name for each in fitting)}",
            hint="say with --loader NAME which one boots this machine",
        )
    return _one(fitting[0])


def _obstacles(loaders: list[Loader]) -> list[str]:
    """What is in place of a directory in which the loaders have a file."""
    found = (each.view.host.obstacle(path) for each in loaders for path in each.places())
    return list(dict.fromkeys(filter(None, found)))


def _named(view: View, said: str) -> Loader:
    known = {each.name: each for each in LOADERS}
    name, _, config = said.partition(":")
    if name not in known:
        raise UsageError(f"--loader: {name!r} is not one of {', '.join(known)}")
    loader = known[name](dataclasses.replace(view, config=config))
    reason = loader.missing()
    if config and config not in loader.found:
        reason = reason or f"{config} is not one of {', '.join(loader.found)}"
    if reason:
        raise RslError(f"'{view.host.root}' does not boot by {name}: {reason}", hint=_MERGE)
    return _one(loader)


def _one(loader: Loader) -> Loader:
    if len(loader.found) > 1:
        raise RslError(
            f"several files are for {loader.name}: {', '.join(loader.found)}",
            hint=f"say with --loader {loader.name}:FILE which one the boot loader reads",
        )
    return loader
