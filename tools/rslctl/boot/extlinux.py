# SPDX-License-Identifier: BSD-3-Clause
"""extlinux.conf: U-Boot's, the one of NVIDIA's L4T, and the one that Debian's u-boot-menu makes."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from dataclasses import dataclass, field

from rslctl.boot import trees
from rslctl.boot.view import Edit, Loader, Part, View, appended
from rslctl.errors import RslError

#: A FIT image begins as a device tree blob does.
FIT_MAGIC = b"\xd0\x0d\xfe\xed"
#: The bytes that U-Boot's boot/pxe_utils.c adds to the base before it applies an overlay.
_ROOM = 8192


@dataclass
class Label:
    """A label of an extlinux.conf: its name, and the line number and value of each keyword."""

    name: str
    keys: dict[str, tuple[int, str]] = field(default_factory=dict)

    def value(self, key: str) -> str:
        """The value of a keyword; "" if the label has none."""
        return self.keys.get(key, (0, ""))[1]


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
#: The keyword that L4T's loader has for overlays.
_L4T_KEYS = {**_KEYS, "overlays": "overlays"}


def default_label(text: str, source: str, known: dict[str, str] = _KEYS) -> Label:
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
        inside = inside and word in known
        if inside:
            # The first of its kind counts.
            labels[-1].keys.setdefault(known[word], (number, value))
            if word == "menu" and value.lower() == "default":
                default = default or labels[-1].name
        elif word == "label":
            labels.append(Label(value))
            inside = True
        elif word in ("default", "ontimeout"):
            default = value
    if not labels:
        raise RslError(f"{source} has no label")
    return next((each for each in reversed(labels) if each.name == default), labels[0])


def _words(line: str) -> tuple[str, str, str]:
    """Split a line into its keyword, the white space, and its value."""
    found = re.match(r"[ \t]*(\S*)([ \t]*)(.*?)[ \t\r]*$", line)
    return (found[1].lower(), found[2], found[3]) if found else ("", "", "")


class _Conf(Loader):
    """An extlinux.conf.

    U-Boot looks in / and /boot of each partition (boot_prefixes in
    include/config_distro_bootcmd.h).
    """

    files = ("extlinux/extlinux.conf",)

    def label(self, text: str | None = None) -> Label:
        """The label that is changed, in *text* if that is given.

        Raises:
            RslError: the loader does not apply overlays to it.
        """
        label = default_label(self.text() if text is None else text, self.source)
        if not {"fdt", "fdtdir"} & set(label.keys):
            raise RslError(
                f"{self.source}: label {label.name!r} has neither fdt nor fdtdir: "
                "U-Boot ignores overlays without",
                hint="add fdt FILE.dtb to the label, or install with --dtb FILE.dtb",
            )
        return label

    def paths(self, said: str) -> list[str]:
        """The paths on the machine that *said* may mean.

        Relative ones count from the configuration file, absolute ones from the partition that
        holds it (get_relfile in boot/pxe_utils.c).
        """
        if said.startswith("/"):
            return self.view.on_partition(self.folder, posixpath.normpath(said))
        return [posixpath.normpath(posixpath.join(posixpath.dirname(self.config), said))]

    def trees(self) -> list[Part]:
        label = self.label()
        if said := label.value("fdt"):
            found = self.view.first(self.paths(said))
            return [found] if found else []
        return trees.find(self.view, self.paths(label.value("fdtdir") or "."))

    #: The keyword of the list of overlays, and what is between them.
    key, between = "fdtoverlays", " "

    def _listed(self) -> list[str]:
        return [name for name in self.label().value(self.key).split(self.between) if name]

    def overlays(self, file: str) -> list[Part]:
        return [
            part
            for name in self._listed()
            if posixpath.basename(name) != file
            for part in self.named(self.paths(name))
        ]

    def loads(self, file: str) -> bool:
        return file in map(posixpath.basename, self._listed())

    def without(self, file: str) -> dict[str, bytes]:
        text = self._without(file)
        return {} if text == self.text() else {self.config: text.encode("latin-1")}

    def _without(self, file: str) -> str:
        """The text without *file* in any label."""
        kept = []
        for line in self.text().split("\n"):
            word, _, value = _words(line)
            names = value.split(self.between)
            left = [name for name in names if posixpath.basename(name) != file]
            if _L4T_KEYS.get(word) != self.key or left == names:
                kept.append(line)
            elif left:
                kept.append(line.replace(value, self.between.join(left)))
        return "\n".join(kept)

    def with_name(self, file: str, name: str) -> bytes:
        """The file with *name*, whose last part is *file*, in the list of the label, and no other.

        A label that was the default one when it was installed may have it still.
        """
        key, between, text = self.key, self.between, self._without(file)
        label = self.label(text)
        lines = text.split("\n")
        word = key.upper() if key == "overlays" else key
        if key in label.keys:
            at, value = label.keys[key]
            if not value:
                lines[at] = appended(lines[at], f" {name}")
            elif name not in value.split(between):
                lines[at] = appended(lines[at], f"{between}{name}")
        else:
            # Before the tree, whose line may be the last and without an end.
            at, _ = label.keys.get("fdt") or label.keys["fdtdir"]
            indent = lines[at][: len(lines[at]) - len(lines[at].lstrip(" \t"))]
            lines.insert(at, f"{indent}{word} {name}" + "\r" * lines[0].endswith("\r"))
        return "\n".join(lines).encode("latin-1")


class Extlinux(_Conf):
    """U-Boot's own, where nobody else makes the file."""

    name = "extlinux"

    def unlike(self, path: str) -> str:
        if _is_l4t(self.view, path):
            return "is for NVIDIA's L4T (l4t)"
        if path == UBootMenu.conf and _generates(self.view):
            return f"is made by {_MENU_UPDATE} (u-boot-menu)"
        if image := self._fit(path):
            return f"boots {image} with a tree of its own (fit)"
        return ""

    def _fit(self, path: str) -> str:
        """The FIT image that the default label boots without another tree; "" if it does not."""
        text = self.view.text(path)
        if not re.search(r"^[ \t]*label[ \t]", text, re.MULTILINE | re.IGNORECASE):
            return ""
        label = default_label(text, path)
        # What follows "#" names the configuration.
        kernel = label.value("linux").partition("#")[0]
        if {"fdt", "fdtdir"} & set(label.keys) or not kernel:
            return ""
        folder = posixpath.dirname(posixpath.dirname(path))
        found = self.view.first(self.view.on_partition(folder, kernel))
        return found.path if found and found.data.startswith(FIT_MAGIC) else ""

    def edit(self, file: str, blob: bytes) -> Edit:
        _check_room(blob)
        folder = posixpath.dirname(self.config)
        conf = self.with_name(file, file)
        # Last the file that has it loaded.
        return Edit({f"{folder}/{file}": blob, self.config: conf})


def _check_room(blob: bytes) -> None:
    if len(blob) > _ROOM:
        raise RslError(
            f"the overlay has {len(blob)} bytes, U-Boot makes room for {_ROOM} (FDT_ERR_NOSPACE)",
            hint="install a merged tree: --dtb FILE.dtb",
        )


# NVIDIA's L4T

_L4T_RELEASE = "/etc/nv_tegra_release"
#: The first release that boots by UEFI, and so by a loader that takes overlays.
_L4T_UEFI = 34
#: Chips that NVIDIA's UEFI boots.
_L4T_CHIPS = (b"nvidia,tegra194\0", b"nvidia,tegra234\0", b"nvidia,tegra264\0")


def _is_l4t(view: View, path: str) -> bool:
    """Whether an extlinux.conf is for L4T's loader."""
    text = view.text(path)
    if view.read(_L4T_RELEASE) is not None or "${cbootargs}" in text:
        return True
    if re.search(r"^[ \t]*OVERLAYS[ \t]", text, re.MULTILINE):
        return True
    found = re.search(r"^[ \t]*FDT[ \t]+(\S+)", text, re.MULTILINE | re.IGNORECASE)
    tree = view.read(found[1]) if found else None
    running = view.running("compatible")
    chips = [name[:-1].decode() for name in _L4T_CHIPS]
    return any(chip in (tree or b"") for chip in _L4T_CHIPS) or bool(set(chips) & set(running))


class L4T(_Conf):
    """NVIDIA's UEFI (Silicon/NVIDIA/Application/L4TLauncher/L4TLauncher.c of edk2-nvidia).

    It reads boot/extlinux/extlinux.conf with keywords in capitals. OVERLAYS has absolute paths
    with commas between them, without spaces, and counts only beside FDT.
    """

    name = "l4t"
    files = ("/boot/extlinux/extlinux.conf",)

    def unlike(self, path: str) -> str:
        return "" if _is_l4t(self.view, path) else "is not for NVIDIA's L4T"

    key, between = "overlays", ","

    def label(self, text: str | None = None) -> Label:
        release = re.search(r"# R(\d+) ", self.view.text(_L4T_RELEASE))
        if release and int(release[1]) < _L4T_UEFI:
            raise RslError(
                f"L4T R{release[1]} ({_L4T_RELEASE}) has no boot loader that takes overlays",
                hint="install a merged tree: --dtb FILE.dtb, with the file of FDT in the label",
            )
        if self.view.read(f"{self.config}.sig") is not None:
            raise RslError(
                f"{self.source} is signed: the boot loader would refuse it once it is changed",
                hint="give the overlay to what makes and signs the image (-o FILE.dtbo)",
            )
        # Keywords in small letters are no keywords there.
        text = self.text() if text is None else text
        capitals = re.sub(r"^([ \t]*)([a-z]\S*)", r"\1#\2", text, flags=re.MULTILINE)
        label = default_label(capitals, self.source, _L4T_KEYS)
        if "fdt" not in label.keys:
            raise RslError(
                f"{self.source}: label {label.name!r} has no FDT: L4T's boot loader ignores "
                "OVERLAYS without",
                hint="add FDT /boot/dtb/FILE.dtb to the label, with the board's tree, "
                "as /opt/nvidia/jetson-io does",
            )
        return label

    def edit(self, file: str, blob: bytes) -> Edit:
        path = f"/boot/{file}"
        conf = self.with_name(file, path)
        return Edit({path: blob, self.config: conf})


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
                raise RslError(
                    f"'{view.host.where(file)}': cannot tell {key} from {line.strip()!r}"
                )
            value = said["a"] or said["b"] or said["c"] or ""
    return value or default


class UBootMenu(Loader):
    """Debian's u-boot-menu, which makes the extlinux.conf."""

    name = "u-boot-menu"
    files = (_MENU_UPDATE,)
    #: What it makes.
    conf = "/boot/extlinux/extlinux.conf"

    def unlike(self, path: str) -> str:
        return "" if _generates(self.view) else "is turned off (U_BOOT_UPDATE)"

    def _conf(self) -> _Conf | None:
        if self.view.read(self.conf) is None:
            return None
        return _Conf(dataclasses.replace(self.view, config=self.conf))

    def trees(self) -> list[Part]:
        conf = self._conf()
        return conf.trees() if conf else []

    def overlays(self, file: str) -> list[Part]:
        conf = self._conf()
        found = conf.overlays(file) if conf else []
        self.notes += conf.notes if conf else []
        return found

    def edit(self, file: str, blob: bytes) -> Edit:
        script = self.view.text(_MENU_UPDATE)
        if "U_BOOT_FDT_OVERLAYS" not in script or "/etc/u-boot-menu/conf.d" not in script:
            raise RslError(
                f"'{self.view.host.where(_MENU_UPDATE)}' is too old for overlays",
                hint="u-boot-menu 4.2.0 is the first that can, or use --dtb FILE.dtb",
            )
        _check_room(blob)
        directory = _menu_setting(self.view, "U_BOOT_FDT_OVERLAYS_DIR", _MENU_DIRECTORY)
        if self.view.own_partition("/boot"):
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
        conf = _Conf(View(self.view.host, config=self.conf))
        label = conf.label()
        listed = label.value("fdtoverlays").split(" ")
        if file not in [posixpath.basename(each) for each in listed]:
            raise RslError(
                f"u-boot-update did not put {file} into label {label.name!r} of {conf.source}",
                hint="rslctl overlay uninstall takes back what was written",
            )
