# SPDX-License-Identifier: BSD-3-Clause
"""FIT images: kernel and trees in one file, which is a device tree blob itself.

The format: doc/usage/fit/source_file_format.rst of U-Boot. A configuration names a kernel and a
tree ("fdt"), after which there may be overlays. It boots if it is the default, if its tree is the
machine's (CONFIG_FIT_BEST_MATCH), or if a boot script names it.
"""

from __future__ import annotations

import posixpath
import tempfile
from functools import cached_property
from pathlib import Path

from rslctl.boot import trees
from rslctl.boot.extlinux import FIT_MAGIC
from rslctl.boot.view import Edit, Loader, Part, settings
from rslctl.devicetree import overlay
from rslctl.devicetree.nodes import Fragment, Node, Overlay, Value, to_blob
from rslctl.devicetree.tree import Tree, from_blob
from rslctl.errors import RslError, os_error
from rslctl.linux.command import run
from rslctl.profile.model import NodeRef

_IMAGES, _CONFIGURATIONS = "/images", "/configurations"
#: The properties of an image that lies behind the blob (mkimage -E).
_PLACES = {"data-size", "data-offset"}
#: Stands for the file in commands.
_FILE = "image.fit"


class Fit(Loader):
    """A FIT image, whose configuration gets a merged tree by mkimage."""

    name = "fit"
    files = ("fitImage", "fitImage.itb", "image.fit", "image.itb", "kernel_fdt.itb")
    merges = True

    def unlike(self, path: str) -> str:
        data = self.view.read(path) or b""
        # The header of a blob has 40 bytes, of which the second four are the size of all.
        size = max(int.from_bytes(data[4:8], "big"), 40)
        if data.startswith(FIT_MAGIC) and len(data) < size:
            return f"is cut short: its header says {size} bytes, it has {len(data)}"
        known = data.startswith(FIT_MAGIC) and b"configurations\0" in data and b"images\0" in data
        return "" if known else "is no FIT image"

    @cached_property
    def _image(self) -> tuple[Tree, bytes, bool]:
        """The file with all images inside, its blob, and whether they were behind it.

        Raises:
            RslError: it is damaged, or signed.
        """
        blob = self.view.read(self.config) or b""
        fit = from_blob(blob, self.config)
        fixed = [path for path, each in fit.nodes.items() if "data-position" in each]
        if fixed:
            raise RslError(
                f"{self.source} has images at fixed positions ({fixed[0]}: data-position, made "
                "with mkimage -p), which mkimage cannot change",
                hint="make the image without -p, or give the overlay to what makes it "
                "(-o FILE.dtbo)",
            )
        behind = any(_PLACES & set(properties) for properties in fit.nodes.values())
        if behind:
            self._check_whole(fit, blob)
            blob = _inside(blob, fit)
            fit = from_blob(blob, self.config)
        signed = [
            path
            for path in fit.nodes
            if path.startswith((f"{_CONFIGURATIONS}/", f"{_IMAGES}/"))
            and posixpath.basename(path).startswith("signature")
        ]
        if signed:
            raise RslError(
                f"{self.source} is signed ({signed[0]}): U-Boot would refuse it with another tree",
                hint="give the overlay to what makes and signs the image (-o FILE.dtbo): a "
                "configuration may list it in fdt after the tree",
            )
        return fit, blob, behind

    def _check_whole(self, fit: Tree, blob: bytes) -> None:
        """Check that the images behind the blob are all there.

        Raises:
            RslError: the file ends before.
        """
        # boot/image-fit.c of U-Boot: offsets count from the end of the blob, at a multiple of 4.
        start = int.from_bytes(blob[4:8], "big") + 3 & ~3
        for path in fit.nodes:
            size = fit.cell(path, "data-size", 0)
            end = start + fit.cell(path, "data-offset", 0) + size
            if size and end > len(blob):
                raise RslError(
                    f"{self.source} is cut short: {path} ends at byte {end}, it has {len(blob)}",
                    hint="get the file anew, and try again",
                )

    def _tree(self, fit: Tree, name: str) -> bytes:
        """The blob of an image that is a tree or an overlay.

        Raises:
            RslError: it is not there, or is compressed.
        """
        image = fit.nodes.get(f"{_IMAGES}/{name}")
        if image is None or "data" not in image:
            raise RslError(f"{self.source} has no image {name!r}")
        packed = "".join(fit.texts(f"{_IMAGES}/{name}", "compression")[:1]) or "none"
        if packed != "none":
            raise RslError(
                f"{self.source}: the tree {name!r} is compressed ({packed})",
                hint="make the image with a tree that is not compressed",
            )
        return image["data"]

    def _bootable(self, fit: Tree) -> dict[str, list[str]]:
        """The configurations with a kernel, and their trees and overlays by name."""
        return {
            name: fit.texts(path, "fdt")
            for path in fit.nodes
            if posixpath.dirname(path) == _CONFIGURATIONS
            and (name := posixpath.basename(path))
            and fit.texts(path, "kernel")
            and fit.texts(path, "fdt")
        }

    def trees(self) -> list[Part]:
        fit = self._image[0]
        found = [
            Part(f"{self.config}#{name}", self._tree(fit, names[0]))
            for name, names in self._bootable(fit).items()
        ]
        if not found:
            raise RslError(f"{self.source} has no configuration with a kernel and a tree")
        fitting = trees.matching(self.view, found)
        default = f"{self.config}#{''.join(fit.texts(_CONFIGURATIONS, 'default')[:1])}"
        # Several configurations may boot; the default one is what boots where none is named.
        chosen = [part for part in fitting if part.path == default] or fitting
        if not chosen:
            raise RslError(
                f"{self.source}: no configuration has a tree of this board; it has those of "
                + ", ".join(sorted({self._name_of(part) for part in found})),
            )
        if len(chosen) > 1:
            raise RslError(
                f"{self.source}: several configurations are for this board: "
                + ", ".join(part.path.partition("#")[2] for part in chosen),
                hint="run it on the board, whose running tree tells which",
            )
        return chosen

    def _name_of(self, part: Part) -> str:
        return "".join(trees.root(part).texts("/", "compatible")[:1])

    def overlays(self, file: str) -> list[Part]:
        fit = self._image[0]
        chosen = self.trees()[0].path.partition("#")[2]
        configurations = self._bootable(fit)
        names = configurations[chosen][1:]
        # Toradex's boot script adds configurations of overlays (overlays.txt).
        said = settings(self.view.text(f"{self.folder}/overlays.txt")).get("fdt_overlays", (0, ""))
        for each in said[1].split():
            names += fit.texts(f"{_CONFIGURATIONS}/conf-{each}", "fdt")
        return [Part(f"{self.config}#{name}", self._tree(fit, name)) for name in names]

    def edit(self, file: str, blob: bytes) -> Edit:
        fit, image, behind = self._image
        chosen = self.trees()[0].path.partition("#")[2]
        fdt = self._bootable(fit)[chosen]
        new = f"fdt-{file.removesuffix('.dtbo')}"
        old = f"{_IMAGES}/{fdt[0]}"
        kept: list[tuple[str, Value]] = [
            (key, _cells(value))
            for key, value in fit.nodes[old].items()
            if key not in ("data", "phandle", "description")
        ]
        hashes = [
            Node(posixpath.basename(path), (("algo", fit.texts(path, "algo")[0]),))
            for path in fit.nodes
            if posixpath.dirname(path) == old and fit.texts(path, "algo")
        ]
        padded = blob + bytes(-len(blob) % 4)
        properties = (("description", f"with {file}"), ("data", _cells(padded)), *kept)
        configuration = NodeRef(paths=(f"{_CONFIGURATIONS}/{chosen}",))
        change = Overlay(
            comment="",
            fragments=(
                Fragment(
                    NodeRef(paths=(_IMAGES,)),
                    Node("", (), (Node(new, properties, tuple(hashes)),)),
                ),
                Fragment(configuration, Node("", (("fdt", (new, *fdt[1:])),))),
            ),
        )
        # It calculates the sums of the images anew.
        sums = ["mkimage", *["-E"] * behind, "-F", _FILE]
        made = _changed(overlay.apply(image, to_blob(change)), sums)
        return Edit({self.config: made}, generated=frozenset([self.config]))


def _cells(data: bytes) -> Value:
    """The bytes of a property as a value; their number is a multiple of four, or they are text."""
    if len(data) % 4 or (data.endswith(b"\0") and data[:-1].isascii() and data[:-1].strip(b"\0")):
        return tuple(data[:-1].decode("latin-1").split("\0"))
    return tuple(int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4))


def _inside(blob: bytes, fit: Tree) -> bytes:
    """The FIT image with images that lie behind the blob moved into it."""
    outside = {path: _PLACES & set(each) for path, each in fit.nodes.items()}
    # mkimage -F has them inside as well, and would take them from behind again.
    forget = [["fdtput", "-d", _FILE, path, *keys] for path, keys in outside.items() if keys]
    return _changed(blob, ["mkimage", "-F", _FILE], *forget)


def _changed(blob: bytes, *commands: list[str]) -> bytes:
    """A FIT image as *commands* change the file _FILE.

    Raises:
        RslError: a command is not installed or fails.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="rslctl-") as directory:
            path = Path(directory) / _FILE
            path.write_bytes(blob)
            for command in commands:
                run(
                    [str(path) if word == _FILE else word for word in command],
                    hint="mkimage is in the package u-boot-tools, fdtput in device-tree-compiler",
                )
            return path.read_bytes()
    except OSError as error:
        raise os_error(f"use a temporary directory in '{tempfile.gettempdir()}'", error) from error
