# SPDX-License-Identifier: BSD-3-Clause
"""Raspberry Pi's firmware: config.txt.

Sources: the documentation of config.txt (conditional filters, device_tree, os_prefix,
overlay_prefix) and boot/overlays/README of raspberrypi/firmware (dtoverlay, dtparam).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from rslctl.boot import trees
from rslctl.boot.view import Edit, Loader, Part, with_line
from rslctl.devicetree.tree import from_blob

#: Conditional filters of models: what the name in "compatible" of the root begins with.
_MODELS = {
    "pi1": ("model-a", "model-b"),
    "pi0": ("model-zero",),
    "pi0w": ("model-zero-w",),
    "pi02": ("model-zero-2",),
    "pi2": ("2-model",),
    "pi3": ("3-model", "3-compute"),
    "pi3+": ("3-model-a-plus", "3-model-b-plus"),
    "pi4": ("4-model", "4-compute", "400"),
    "pi400": ("400",),
    "pi5": ("5-model", "5-compute", "500"),
    "pi500": ("500",),
    "cm4": ("4-compute",),
    "cm5": ("5-compute",),
}
#: Processors in overlays/overlay_map.dtb.
_PROCESSORS = ("bcm2835", "bcm2711", "bcm2712")


class Raspberry(Loader):
    """The firmware of Raspberry Pi: a line dtoverlay=NAME for each file overlays/NAME.dtbo."""

    name = "raspberrypi"
    files = ("config.txt",)

    def unlike(self, path: str) -> str:
        folder = path.removesuffix("/config.txt")
        names = self.view.host.names(folder or "/")
        if any(re.fullmatch(r"bcm27.*\.dtb|bootcode\.bin|start.*\.elf", name) for name in names):
            return ""
        return "has no firmware or trees of a Raspberry Pi (start*.elf, bcm27*.dtb) beside it"

    def _lines(self) -> Iterator[tuple[str, str]]:
        """The settings that count, in their order; those under unknown filters do not."""
        counts = True
        for line in self.text().splitlines():
            line = line.strip()
            if line.startswith("["):
                counts = self._holds(line.strip("[]"))
            elif counts and "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                yield key.strip(), value.strip()
            elif line.startswith("include "):
                self.notes.append(f"{self.config}: {line}: that file was not looked at")

    def _holds(self, condition: str) -> bool:
        if condition in ("all", "none"):
            return condition == "all"
        names = self.view.running("compatible") or list(self.view.compatible)
        models = [name.removeprefix("raspberrypi,") for name in names]
        known = _MODELS.get(condition)
        if known is None:
            self.notes.append(f"{self.config}: what is under [{condition}] was not looked at")
        return any(model.startswith(known or ()) for model in models)

    def _setting(self, key: str) -> str:
        return dict(self._lines()).get(key, "")

    @property
    def _prefix(self) -> str:
        return f"{self.folder}/{self._setting('os_prefix')}"

    def _overlay_prefix(self) -> str:
        said = dict(self._lines()).get("overlay_prefix", "overlays/")
        # os_prefix counts for overlays only where there is overlays/README below it.
        own = self.view.read(f"{self._prefix}{said}README") is not None
        return f"{self._prefix if own else f'{self.folder}/'}{said}"

    def trees(self) -> list[Part]:
        if said := self._setting("device_tree"):
            found = self.view.first([f"{self._prefix}{said}", f"{self.folder}/{said}"])
            return [found] if found else []
        return trees.find(self.view, [self._prefix.rstrip("/") or "/"])

    def overlays(self, file: str) -> list[Part]:
        found = []
        for key, value in self._lines():
            name, _, parameters = re.sub(r"[,:]", "=", value, count=1).partition("=")
            if key not in ("dtoverlay", "device_tree_overlay") or not name:
                continue
            if f"{name}.dtbo" == file:
                continue
            path = f"{self._overlay_prefix()}{self._mapped(name)}.dtbo"
            found += self.named([path])
            if parameters:
                self.notes.append(f"{self.config}: parameters of {name} were not applied")
        return found

    def _mapped(self, name: str) -> str:
        """The name of the file for this processor (overlay_map.dtb)."""
        known = self.view.part(f"{self._overlay_prefix()}overlay_map.dtb")
        chips = [name for name in self.view.running("compatible") if name.startswith("brcm,")]
        chip = chips[-1].removeprefix("brcm,") if chips else ""
        # The Pi 1 to 3 are one platform there.
        chip = chip if chip in _PROCESSORS[1:] else _PROCESSORS[0]
        if known is None or not chips:
            return name
        tree = from_blob(known.data, known.path)
        renamed = tree.texts(f"/{name}", "renamed") or tree.texts(f"/{name}", chip)
        return renamed[0] if renamed and renamed[0] else name

    def loads(self, file: str) -> bool:
        line = ("dtoverlay", file.removesuffix(".dtbo"))
        return line in self._lines()

    def without(self, file: str) -> dict[str, bytes]:
        text = self._without(file)
        return {} if text == self.text() else {self.config: text.encode("latin-1")}

    def _without(self, file: str) -> str:
        """The text without the line of *file*, under whatever filter."""
        lines = self.text().split("\n")
        name = file.removesuffix(".dtbo")
        return "\n".join(line for line in lines if line.strip() != f"dtoverlay={name}")

    def edit(self, file: str, blob: bytes) -> Edit:
        # Where it is under a filter that does not hold, it is loaded by a line of its own.
        text, name = self._without(file), file.removesuffix(".dtbo")
        sections = re.findall(r"^[ \t]*\[([^\]]*)\]", text, re.MULTILINE)
        if sections and sections[-1] != "all":
            text = with_line(text, "[all]")
        text = with_line(text, f"dtoverlay={name}")
        files = {f"{self._overlay_prefix()}{file}": blob, self.config: text.encode("latin-1")}
        return Edit(files)
