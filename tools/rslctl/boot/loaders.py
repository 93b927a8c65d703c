# SPDX-License-Identifier: BSD-3-Clause
"""The table of boot loaders: how each finds overlays, and which files to write for it.

A loader reads files through a :class:`View`, which hides an earlier installation. It returns an
:class:`Edit`: the files to write, and the command to run after that.
"""

from __future__ import annotations

import posixpath
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from rslctl.boot import transaction
from rslctl.boot.transaction import Record
from rslctl.errors import RslError, UsageError
from rslctl.linux.host import Host

EXTLINUX = "/boot/extlinux/extlinux.conf"
#: The bytes that U-Boot's boot/pxe_utils.c adds to the base before it applies an overlay.
_ROOM = 8192


@dataclass(frozen=True)
class View:
    """The files of a machine as they were before *record*."""

    host: Host
    record: Record | None = None

    def read(self, path: str) -> bytes | None:
        """The content of a file; None if it does not exist."""
        return transaction.before(self.host, self.record, path)

    def text(self, path: str) -> str:
        """The content of a file as text, a character per byte; None if it does not exist."""
        return (self.read(path) or b"").decode("latin-1")

    def resolve(self, path: str) -> str:
        """The target of *path* if it is a symbolic link, otherwise *path*."""
        for _ in range(40):
            target = self.host.link_target(path)
            if target is None:
                return path
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        raise RslError(f"'{self.host.path(path)}' is a link that leads to itself")


@dataclass(frozen=True)
class Edit:
    """Files to write, by path, and the command that makes the loader read them."""

    files: dict[str, bytes] = field(default_factory=dict)
    command: tuple[str, ...] = ()


class Loader(ABC):
    """A way to tell a boot loader of overlays."""

    #: The name for --loader.
    name: ClassVar[str]
    #: The file that tells that this loader is used.
    marks: ClassVar[str]

    def __init__(self, view: View) -> None:
        self.view = view

    @abstractmethod
    def fits(self) -> bool:
        """Whether the machine boots with this loader."""

    @abstractmethod
    def base(self) -> str | None:
        """The file of the base tree; None if the loader's files do not tell it."""

    @abstractmethod
    def edit(self, file: str, blob: bytes) -> Edit:
        """The files to write so that the loader applies the overlay *blob* as *file*.

        Raises:
            RslError: the loader cannot apply it.
        """

    def check_installed(self, file: str) -> None:  # noqa: B027 - most have nothing to check
        """Check, after the command, that the loader's files name *file*."""


# extlinux


@dataclass
class Label:
    """A label of an extlinux.conf: its name, and the line number and value of each keyword."""

    name: str
    keys: dict[str, tuple[int, str]] = field(default_factory=dict)


#: Keywords of a label and what they are called here: boot/pxe_utils.c of U-Boot. Any other
#: word ends the label.
_KEYS = {
    **{name: name for name in ("linux", "append", "initrd", "fdt", "fdtdir", "fdtoverlays")},
    **{name: name for name in ("menu", "localboot", "ipappend", "kaslrseed", "say")},
    "kernel": "linux",
    "devicetree": "fdt",
    "devicetreedir": "fdtdir",
    "devicetree-overlay": "fdtoverlays",
}


def default_label(text: str, source: str) -> Label:
    """The default label of an extlinux.conf.

    Raises:
        RslError: there is none.
    """
    labels: list[Label] = []
    default = ""
    inside = False
    for number, line in enumerate(text.split("\n")):
        word, _, value = _words(line)
        if not word or word.startswith("#"):
            continue
        inside = inside and word in _KEYS
        if inside:
            # The first of its kind counts.
            labels[-1].keys.setdefault(_KEYS[word], (number, value))
            if word == "menu" and value.lower() == "default":
                default = default or labels[-1].name
        elif word == "label":
            labels.append(Label(value))
            inside = True
        elif word in ("default", "ontimeout"):
            default = value
    if not labels:
        raise RslError(f"'{source}' has no label")
    return next((each for each in reversed(labels) if each.name == default), labels[0])


def _words(line: str) -> tuple[str, str, str]:
    """Split a line into its keyword, the white space, and its value."""
    found = re.match(r"[ \t]*(\S*)([ \t]*)(.*?)[ \t\r]*$", line)
    return (found[1].lower(), found[2], found[3]) if found else ("", "", "")


class Extlinux(Loader):
    name = "extlinux"
    marks = EXTLINUX

    def fits(self) -> bool:
        return self.view.read(EXTLINUX) is not None and not _generates(self.view)

    def label(self) -> Label:
        """The label that is changed.

        Raises:
            RslError: U-Boot does not apply overlays to it.
        """
        source = str(self.view.host.path(EXTLINUX))
        label = default_label(self.view.text(EXTLINUX), source)
        if not {"fdt", "fdtdir"} & set(label.keys):
            raise RslError(
                f"'{source}': label {label.name!r} has neither fdt nor fdtdir: "
                "U-Boot ignores overlays without",
                hint="add fdt FILE.dtb to the label, or install with --dtb FILE.dtb",
            )
        return label

    def base(self) -> str | None:
        said = self.label().keys.get("fdt", (0, ""))[1]
        if not said:
            return None
        # Relative to the file; absolute ones count from the partition that holds it.
        path = posixpath.normpath(posixpath.join(posixpath.dirname(EXTLINUX), said))
        found = [each for each in (path, f"/boot{path}") if self.view.read(each) is not None]
        return found[0] if found else None

    def edit(self, file: str, blob: bytes) -> Edit:
        _check_room(blob)
        label = self.label()
        lines = self.view.text(EXTLINUX).split("\n")
        if "fdtoverlays" in label.keys:
            at, value = label.keys["fdtoverlays"]
            if file not in value.split(" "):
                lines[at] = _appended(lines[at], f" {file}")
        else:
            # Before the tree, whose line may be the last and without an end.
            at, _ = label.keys.get("fdt") or label.keys["fdtdir"]
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip(" \t"))]
            lines.insert(at, f"{indent}fdtoverlays {file}" + "\r" * lines[0].endswith("\r"))
        text = "\n".join(lines)
        folder = posixpath.dirname(EXTLINUX)
        # Last the file that has it loaded.
        return Edit({f"{folder}/{file}": blob, EXTLINUX: text.encode("latin-1")})


def _appended(line: str, text: str) -> str:
    """*line* with *text* before the white space at its end."""
    end = len(line.rstrip(" \t\r"))
    return line[:end] + text + line[end:]


def _check_room(blob: bytes) -> None:
    if len(blob) > _ROOM:
        raise RslError(
            f"the overlay has {len(blob)} bytes, U-Boot makes room for {_ROOM} (FDT_ERR_NOSPACE)",
            hint="install a merged tree: --dtb FILE.dtb",
        )


# u-boot-menu

_MENU_UPDATE = "/usr/sbin/u-boot-update"
_MENU_FRAGMENTS = ("/usr/share/u-boot-menu/conf.d", "/etc/u-boot-menu/conf.d")
_MENU_DIRECTORY = "/boot/dtbo"


def _generates(view: View) -> bool:
    """Whether u-boot-menu makes the extlinux.conf."""
    installed = view.read(_MENU_UPDATE) is not None
    return installed and _menu_setting(view, "U_BOOT_UPDATE", "true") == "true"


def _menu_setting(view: View, key: str, default: str) -> str:
    """A variable of u-boot-menu. The last file that sets it counts.

    Raises:
        RslError: only a shell could find its value.
    """
    files = ["/etc/default/u-boot"]
    for directory in _MENU_FRAGMENTS:
        names = view.host.names(directory)
        files += [f"{directory}/{name}" for name in names if name.endswith(".conf")]
    value = ""
    for file in files:
        for line in view.text(file).splitlines():
            if not re.match(rf"\s*(export\s+)?{key}=", line):
                continue
            said = re.match(
                r"""[^=]*=("(?P<a>[^"$`\\]*)"|'(?P<b>[^']*)'|(?P<c>[^\s"'$`\\;#]*))\s*(#.*)?$""",
                line,
            )
            if said is None:
                raise RslError(f"'{view.host.path(file)}': cannot tell {key} from {line.strip()!r}")
            value = said["a"] or said["b"] or said["c"] or ""
    return value or default


class UBootMenu(Loader):
    """Debian's u-boot-menu, which makes the extlinux.conf."""

    name = "u-boot-menu"
    marks = _MENU_UPDATE

    def fits(self) -> bool:
        return _generates(self.view)

    def base(self) -> str | None:
        extlinux = Extlinux(self.view)
        return extlinux.base() if self.view.read(EXTLINUX) is not None else None

    def edit(self, file: str, blob: bytes) -> Edit:
        script = self.view.text(_MENU_UPDATE)
        if "U_BOOT_FDT_OVERLAYS" not in script or "/etc/u-boot-menu/conf.d" not in script:
            raise RslError(
                f"'{self.view.host.path(_MENU_UPDATE)}' is too old for overlays",
                hint="u-boot-menu 4.2.0 is the first that can, or use --dtb FILE.dtb",
            )
        _check_room(blob)
        if self.view.read(EXTLINUX) is not None:
            Extlinux(self.view).label()
        directory = _menu_setting(self.view, "U_BOOT_FDT_OVERLAYS_DIR", _MENU_DIRECTORY)
        if _own_partition(self.view.host):
            directory = f"/boot/{directory}"
        # Without a list every file in the directory counts; a list has to name it.
        list_name = "U_BOOT_FDT_OVERLAYS"
        fragment = f'{list_name}="${{{list_name}:+${list_name} {file}}}"\n'
        name = posixpath.splitext(file)[0]
        files = {
            f"{_MENU_FRAGMENTS[1]}/zz-{name}.conf": fragment.encode(),
            posixpath.normpath(f"{directory}/{file}"): blob,
        }
        return Edit(files, ("u-boot-update",))

    def check_installed(self, file: str) -> None:
        label = Extlinux(View(self.view.host)).label()
        listed = label.keys.get("fdtoverlays", (0, ""))[1].split(" ")
        if file not in [posixpath.basename(each) for each in listed]:
            raise RslError(
                f"u-boot-update did not put {file} into label {label.name!r} of "
                f"'{self.view.host.path(EXTLINUX)}'",
                hint="rslctl overlay uninstall takes back what was written",
            )


def _own_partition(host: Host) -> bool:
    boot = host.path("/boot")
    return boot.exists() and boot.stat().st_dev != host.path("/").stat().st_dev


# Environment files


def settings(text: str) -> dict[str, tuple[int, str]]:
    """The variables of a U-Boot environment file, with their line numbers. The last line counts."""
    found = {}
    for number, line in enumerate(text.split("\n")):
        said = re.match(r"[ \t]*([^#=\s][^=]*)=(.*?)[ \t\r]*$", line)
        if said:
            found[said[1]] = (number, said[2])
    return found


def _append_line(text: str, line: str) -> str:
    end = "\r\n" if "\r\n" in text else "\n"
    return text + end * (bool(text) and not text.endswith("\n")) + line + end


class Armbian(Loader):
    """Armbian's boot script: user_overlays names files in /boot/overlay-user."""

    name = "armbian"
    marks = "/boot/armbianEnv.txt"

    def fits(self) -> bool:
        return self.view.read(self.marks) is not None

    def base(self) -> str | None:
        said = settings(self.view.text(self.marks)).get("fdtfile", (0, ""))[1]
        path = f"/boot/dtb/{said}"
        return path if said and self.view.read(path) is not None else None

    def edit(self, file: str, blob: bytes) -> Edit:
        text = self.view.text(self.marks)
        name = posixpath.splitext(file)[0]
        said = settings(text).get("user_overlays")
        if said is None:
            text = _append_line(text, f"user_overlays={name}")
        elif name not in said[1].split():
            lines = text.split("\n")
            lines[said[0]] = _appended(lines[said[0]], f"{' ' * bool(said[1])}{name}")
            text = "\n".join(lines)
        return Edit({f"/boot/overlay-user/{file}": blob, self.marks: text.encode("latin-1")})


class UEnv(Loader):
    """BeagleBoard.org's uEnv.txt: uboot_overlay_addr4 to 7 are for overlays of one's own."""

    name = "uenv"
    marks = "/boot/uEnv.txt"

    def fits(self) -> bool:
        return "enable_uboot_overlays=" in self.view.text(self.marks)

    def base(self) -> str | None:
        said = settings(self.view.text(self.marks))
        version, dtb = (said.get(key, (0, ""))[1] for key in ("uname_r", "dtb"))
        path = f"/boot/dtbs/{version}/{dtb}"
        return path if version and dtb and self.view.read(path) is not None else None

    def edit(self, file: str, blob: bytes) -> Edit:
        text = self.view.text(self.marks)
        said = settings(text)
        source = self.view.host.path(self.marks)
        if said.get("enable_uboot_overlays", (0, ""))[1] != "1":
            raise RslError(
                f"'{source}': overlays are not enabled", hint="enable_uboot_overlays=1 enables them"
            )
        path = f"/lib/firmware/{file}"
        keys = [f"uboot_overlay_addr{number}" for number in range(4, 8)]
        values = [said.get(key, (0, ""))[1] for key in keys]
        if path not in values:
            if "" not in values:
                raise RslError(f"'{source}': {keys[0]} to {keys[-1]} are all in use")
            text = _append_line(text, f"{keys[values.index('')]}={path}")
        return Edit({path: blob, self.marks: text.encode("latin-1")})


LOADERS: tuple[type[Loader], ...] = (Extlinux, UBootMenu, Armbian, UEnv)


def choose(view: View, name: str | None) -> Loader:
    """The loader *name*, or the loader of the machine if it is None.

    Raises:
        RslError: no loader fits, or several do.
    """
    if name is not None:
        known = {each.name: each for each in LOADERS}
        if name not in known:
            raise UsageError(f"--loader: {name!r} is not one of {', '.join(known)}")
        loader = known[name](view)
        if not loader.fits():
            raise RslError(
                f"'{view.host.root}' does not boot by {name}",
                hint=f"looked for {loader.marks}",
            )
        return loader
    fitting = [loader for loader in (each(view) for each in LOADERS) if loader.fits()]
    if not fitting:
        looked = ", ".join(f"{each.marks} ({each.name})" for each in LOADERS)
        raise RslError(
            f"'{view.host.root}' has no boot loader that takes overlays; looked for {looked}",
            hint="--dtb FILE.dtb puts the overlay into the tree that the boot loader loads",
        )
    if len(fitting) > 1:
        raise RslError(
            f"several boot loaders fit: {', '.join(each.name for each in fitting)}",
            hint="say with --loader NAME which one boots this machine",
        )
    return fitting[0]
