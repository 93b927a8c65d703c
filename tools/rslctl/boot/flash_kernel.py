# SPDX-License-Identifier: BSD-3-Clause
"""Debian's flash-kernel, which copies a kernel's tree to where the boot loader takes it."""

from __future__ import annotations

import posixpath
import re

from rslctl.boot.entries import version_key
from rslctl.boot.view import Edit, Loader, Part, View
from rslctl.errors import RslError

#: Its table of machines, and the administrator's (read_machine_db in functions).
_TABLES = ("/usr/share/flash-kernel/db/all.db", "/etc/flash-kernel/db")
#: Trees here count before those of the kernel (find_dtb_file in functions).
_OWN = "/etc/flash-kernel/dtbs"


class FlashKernel(Loader):
    """A merged tree in the directory that flash-kernel prefers.

    The fields are those of its table: DTB-Id is the tree, Method "pi" leaves it to the firmware.
    """

    name = "flash-kernel"
    files = ("/usr/sbin/flash-kernel",)
    merges = True

    def unlike(self, path: str) -> str:
        if self.view.host.exists("/sys/firmware/efi"):
            return "does nothing on a machine with EFI"
        fields = self._fields()
        if not fields:
            return f"does not know the machine {self._machine()!r}"
        if fields.get("Method") == "pi":
            return "leaves the tree to the firmware (raspberrypi)"
        if not fields.get("DTB-Id"):
            return f"has no tree for the machine {self._machine()!r}"
        return ""

    def _machine(self) -> str:
        said = self.view.text("/etc/flash-kernel/machine").strip()
        return said or "".join(self.view.running("model")[:1])

    def _fields(self) -> dict[str, str]:
        """The fields of the machine; empty if the table does not have it."""
        for table in _TABLES:
            for block in re.split(r"\n\s*\n", self.view.text(table)):
                pairs = re.findall(r"^([\w-]+):[ \t]*(.*?)[ \t]*$", block, re.MULTILINE)
                if ("Machine", self._machine()) in pairs:
                    return dict(pairs)
        return {}

    def _name(self) -> str:
        said = self._fields()["DTB-Id"]
        if said.startswith("!"):
            raise RslError(
                f"flash-kernel asks the script {said[1:]!r} for this machine's tree",
                hint="install a merged tree: --dtb FILE.dtb",
            )
        return said

    def _release(self) -> str:
        """The newest kernel, whose tree is copied."""
        names = self.view.host.names("/boot")
        found = [name.removeprefix("vmlinuz-") for name in names if name.startswith("vmlinuz-")]
        return max(found, key=version_key, default="")

    def trees(self) -> list[Part]:
        name = self._name()
        if name.startswith("/"):
            found = [name]
        else:
            base = posixpath.basename(name)
            folders = (
                _OWN,
                f"/usr/lib/linux-image-{self._release()}",
                f"/lib/firmware/{self._release()}/device-tree",
            )
            found = [path for folder in folders for path in self._below(folder, base)]
        part = self.view.first(found)
        if part is None:
            raise RslError(f"flash-kernel's tree {name} of this machine is not there")
        return [part]

    def _below(self, folder: str, name: str) -> list[str]:
        return [f"{at}/{name}" for at, files, _ in self.view.host.walk(folder) if name in files]

    def target(self) -> str:
        name, tree = self._name(), self.trees()[0].path
        if name.startswith("/") or tree.startswith(f"{_OWN}/"):
            return tree
        return f"{_OWN}/{posixpath.basename(name)}"

    def edit(self, file: str, blob: bytes) -> Edit:
        # In a maintainer script it would wait for a trigger; the tree has to be there now.
        command = ("env", "FLASH_KERNEL_NOTRIGGER=1", "flash-kernel")
        target = self.target()
        kernels = frozenset([target] if not target.startswith(f"{_OWN}/") else [])
        return Edit({target: blob}, command, kernels)

    def check_installed(self, file: str) -> None:
        copied = f"/boot/dtb-{self._release()}"
        merged = FlashKernel(View(self.view.host)).trees()[0].data
        if self.view.host.exists(copied) and self.view.host.read(copied) != merged:
            raise RslError(
                f"flash-kernel did not copy the merged tree to '{self.view.host.where(copied)}'",
                hint="rslctl overlay uninstall takes back what was written",
            )
