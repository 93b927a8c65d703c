# SPDX-License-Identifier: BSD-3-Clause
"""Boot scripts that import an environment file, a variable of which lists overlays."""

from __future__ import annotations

import posixpath

from rslctl.boot import trees
from rslctl.boot.view import Edit, Loader, Part, listed, settings, with_line
from rslctl.errors import RslError


class _Environment(Loader):
    """A file of variables."""

    #: The variable that lists overlays.
    key = ""

    def entry(self, file: str) -> str:
        """What the list has for an overlay's file."""
        return file

    def loads(self, file: str) -> bool:
        return self.entry(file) in self.value(self.key).split()

    def value(self, key: str) -> str:
        """A variable; "" if the file does not set it."""
        return settings(self.text()).get(key, (0, ""))[1]

    def in_list(self, file: str) -> dict[str, bytes]:
        """The file of variables with *file* in the list."""
        return {self.config: listed(self.text(), self.key, self.entry(file)).encode("latin-1")}

    def named_tree(self, directory: str, name: str) -> list[Part]:
        """The tree *name* in *directory*; without a name the one that fits the machine."""
        if name:
            found = self.view.part(f"{directory}/{name}")
            return [found] if found else []
        return trees.find(self.view, [directory])


class Armbian(_Environment):
    """Armbian's boot script, and the descendants of it that Orange Pi's and other images have.

    It applies the kernel's overlays that "overlays" lists, then those in overlay-user that
    "user_overlays" lists (config/bootscripts/boot-*.cmd of armbian/build).
    """

    name = "armbian"
    files = ("armbianEnv.txt", "orangepiEnv.txt", "dietpiEnv.txt")
    key = "user_overlays"

    def entry(self, file: str) -> str:
        return posixpath.splitext(file)[0]

    def trees(self) -> list[Part]:
        return self.named_tree(f"{self.folder}/dtb", self.value("fdtfile"))

    def overlays(self, file: str) -> list[Part]:
        prefix = self.value("overlay_prefix")
        theirs = [
            part
            for name in self.value("overlays").split()
            for part in self.named(self._kernels(f"{prefix}-{name}.dtbo", f"{name}.dtbo"))
        ]
        users = [f"{name}.dtbo" for name in self.value(self.key).split()]
        folder = f"{self.folder}/overlay-user"
        return theirs + [
            part for name in users if name != file for part in self.named([f"{folder}/{name}"])
        ]

    def _kernels(self, *names: str) -> list[str]:
        """The paths of the kernel's overlay: in dtb/overlay, or in that of the vendor."""
        top = f"{self.folder}/dtb"
        folders = [top, *(f"{top}/{name}" for name in self.view.host.names(top))]
        return [f"{each}/overlay/{name}" for name in names for each in folders]

    def edit(self, file: str, blob: bytes) -> Edit:
        return Edit({f"{self.folder}/overlay-user/{file}": blob, **self.in_list(file)})


class UEnv(_Environment):
    """BeagleBoard.org's uEnv.txt: uboot_overlay_addr4 to 7 are for overlays of one's own.

    They follow those of the capes, addr0 to 3 (include/environment/ti/boot.h of
    beagleboard/u-boot).
    """

    name = "uenv"
    files = ("uEnv.txt",)
    _KEYS = tuple(f"uboot_overlay_addr{number}" for number in range(8))

    def unlike(self, path: str) -> str:
        known = "enable_uboot_overlays=" in self.view.text(path)
        return "" if known else "has no enable_uboot_overlays= (BeagleBoard.org)"

    def _directory(self) -> str:
        return f"/boot/dtbs/{self.value('uname_r')}"

    def trees(self) -> list[Part]:
        if not self.value("uname_r"):
            return []
        return self.named_tree(self._directory(), self.value("dtb"))

    def overlays(self, file: str) -> list[Part]:
        values = [self.value(key) for key in (*self._KEYS, "dtb_overlay")]
        return [
            part
            for value in values
            if value and posixpath.basename(value) != file
            for part in self.named(self._paths(value))
        ]

    def loads(self, file: str) -> bool:
        return f"/lib/firmware/{file}" in map(self.value, self._KEYS[4:])

    def _paths(self, said: str) -> list[str]:
        if said.startswith("/"):
            return [said]
        folders = (f"{self._directory()}/overlays", self._directory(), "/lib/firmware")
        return [f"{folder}/{said}" for folder in folders]

    def edit(self, file: str, blob: bytes) -> Edit:
        if self.value("enable_uboot_overlays") != "1":
            raise RslError(
                f"{self.source}: overlays are not enabled",
                hint="enable_uboot_overlays=1 enables them",
            )
        path = f"/lib/firmware/{file}"
        keys = self._KEYS[4:]
        values = [self.value(key) for key in keys]
        text = self.text()
        if path not in values:
            if "" not in values:
                raise RslError(f"{self.source}: {keys[0]} to {keys[-1]} are all in use")
            text = with_line(text, f"{keys[values.index('')]}={path}")
        return Edit({path: blob, self.config: text.encode("latin-1")})


class TI(_Environment):
    """uEnv.txt of TI's processor SDKs: name_overlays lists files below /boot/dtb of the root.

    include/env/ti/mmc.env of U-Boot: bootenvfile, get_fdt_mmc and get_overlay_mmc.
    """

    name = "ti"
    files = ("uEnv.txt",)
    key = "name_overlays"

    def unlike(self, path: str) -> str:
        said = settings(self.view.text(path))
        if "enable_uboot_overlays" in said or "#enable_uboot_overlays" in self.view.text(path):
            return "is BeagleBoard.org's (uenv)"
        names = (*self.view.running("compatible"), *self.view.compatible)
        if "name_overlays" in said or any(name.startswith("ti,") for name in names):
            return ""
        return "has no name_overlays= (TI)"

    def _directory(self) -> str:
        return f"{self.value('bootdir') or '/boot'}/dtb"

    def trees(self) -> list[Part]:
        return self.named_tree(self._directory(), self.value("name_fdt") or self.value("fdtfile"))

    def overlays(self, file: str) -> list[Part]:
        return [
            part
            for name in self.value(self.key).split()
            if name != file
            for part in self.named([f"{self._directory()}/{name}"])
        ]

    def edit(self, file: str, blob: bytes) -> Edit:
        return Edit({f"{self._directory()}/{file}": blob, **self.in_list(file)})


class Toradex(_Environment):
    """overlays.txt of Toradex: fdt_overlays lists files in "overlays" beside it.

    u-boot-distro-boot/boot.cmd.in of meta-toradex-bsp-common: overlays_file, overlays_prefix.
    With a FIT image the names are those of its configurations.
    """

    name = "toradex"
    files = ("overlays.txt",)
    key = "fdt_overlays"

    def unlike(self, path: str) -> str:
        folder = posixpath.dirname(path)
        if self.view.read(f"{folder}/fitImage") is not None:
            return f"names configurations of {folder}/fitImage (fit)"
        return ""

    def trees(self) -> list[Part]:
        return trees.find(self.view, [self.folder or "/boot"])

    def overlays(self, file: str) -> list[Part]:
        return [
            part
            for name in self.value(self.key).split()
            if name != file
            for part in self.named([f"{self.folder}/overlays/{name}"])
        ]

    def edit(self, file: str, blob: bytes) -> Edit:
        return Edit({f"{self.folder}/overlays/{file}": blob, **self.in_list(file)})
