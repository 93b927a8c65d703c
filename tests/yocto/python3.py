# SPDX-License-Identifier: BSD-3-Clause
"""rslctl on the part of Python that an image has.

python -m tests.yocto.python3 [--manifest FILE] PACKAGE...

openembedded-core splits python3 into packages, and those of other projects do not all ask for
what they import. With the given packages (names without "python3-") and what they ask for, all
of rslctl is imported and some commands are run. The interpreter has the libraries of the image.

PACKAGES plays python3-manifest.json of openembedded-core; --manifest takes the real one.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Iterable
from pathlib import Path

#: Of each package the modules, and the packages that it asks for (python3-manifest.json).
PACKAGES = {
    "core": ("", ""),
    "asyncio": ("_asyncio asyncio concurrent", "io logging netclient numbers stringold"),
    "crypt": ("_blake2 _hashlib _md5 _sha1 _sha2 _sha3 hashlib", ""),
    "ctypes": ("_ctypes ctypes", "io math"),
    "curses": ("_curses curses", ""),
    "datetime": ("_datetime _strptime calendar datetime", ""),
    "difflib": ("difflib", ""),
    "email": ("email imaplib", "datetime io math mime netclient stringold"),
    "fcntl": ("", ""),
    "html": ("html", ""),
    "image": ("colorsys", ""),
    "io": ("_pyio _socket _ssl socket ssl tempfile termios", "math netclient"),
    "json": ("_json json", ""),
    "logging": ("logging", "io netserver pickle stringold threading"),
    "math": ("_random cmath random", ""),
    "mime": ("quopri", ""),
    "mmap": ("mmap", ""),
    "multiprocessing": (
        "_multiprocessing _posixshmem multiprocessing",
        "crypt ctypes io math mmap netclient pickle threading",
    ),
    "netclient": (
        "_uuid base64 ftplib hmac http mimetypes poplib secrets smtplib uuid",
        "crypt datetime email io math mime stringold",
    ),
    "netserver": ("socketserver", "io"),
    "numbers": ("_contextvars _decimal _pydecimal contextvars decimal fractions numbers", ""),
    "pickle": ("_compat_pickle _pickle pickle pickletools shelve", ""),
    "pprint": ("pprint", ""),
    "profile": ("_lsprof cProfile profile pstats", ""),
    "pydoc": ("pydoc", ""),
    "resource": ("resource", ""),
    "shell": ("cmd shlex", "stringold"),
    "sqlite3": ("_sqlite3 sqlite3", "datetime"),
    "statistics": ("_statistics statistics", "math numbers"),
    "stringold": ("string", ""),
    "syslog": ("syslog", ""),
    "terminal": ("pty tty", "io"),
    "threading": ("_queue _threading_local queue", ""),
    "tomllib": ("tomllib", ""),
    "unittest": ("unittest", "asyncio difflib io logging netclient numbers pprint stringold"),
    "unixadmin": ("getpass", "io"),
    "xml": ("_elementtree pyexpat xml", ""),
}

#: The module of a file, and the comment that a manifest begins with.
_MODULE = re.compile(r"\$\{libdir\}/python[^/]*/(?:lib-dynload/)?(\w+)")
_COMMENT = re.compile("^ *#.*$", re.MULTILINE)

#: Commands that print tables, help and errors, and the status that they end with.
COMMANDS = (
    (["--help"], 0),
    (["setup", "--help"], 0),
    (["no-such-command"], 2),
    (["boards"], 0),
    (["layout", "--board", "zcu102"], 0),
    (["overlay", "--board", "zcu102"], 0),
)


def manifest(path: Path) -> dict[str, tuple[str, str]]:
    """What :data:`PACKAGES` has, from a python3-manifest.json."""
    found = {}
    for name, entry in json.loads(_COMMENT.sub("", path.read_text())).items():
        names = (_MODULE.match(file) for file in entry.get("files", ()))
        modules = {match[1] for match in names if match}
        found[name] = (" ".join(modules), " ".join(entry.get("rdepends", ())))
    # What is in the core is there, whoever else names it.
    core = set(found["core"][0].split())
    return {
        name: (" ".join(set(modules.split()) - core) if name != "core" else "", rdepends)
        for name, (modules, rdepends) in found.items()
    }


def missing(
    packages: Iterable[str], known: dict[str, tuple[str, str]] | None = None
) -> dict[str, str]:
    """The modules that an image with these packages lacks, and their packages."""
    known = known or PACKAGES
    there: set[str] = set()
    left = list(packages)
    while left:
        package = left.pop()
        if package not in there:
            there.add(package)
            left += known[package][1].split()
    return {
        module: package
        for package, (modules, _) in known.items()
        if package not in there
        for module in modules.split()
    }


class Finder:
    """Finds no module that is missing: keys are modules, values packages without "python3-"."""

    def __init__(self, modules: dict[str, str]) -> None:
        self.modules = modules

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse a module."""
        package = self.modules.get(name.partition(".")[0])
        if package:
            raise ModuleNotFoundError(f"{name} is in python3-{package}", name=name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.yocto.python3")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("packages", nargs="+")
    given = parser.parse_args()
    absent = missing(given.packages, given.manifest and manifest(given.manifest))
    for name in list(sys.modules):
        if name.partition(".")[0] in absent:
            del sys.modules[name]
    sys.meta_path.insert(0, Finder(absent))
    rslctl = importlib.import_module("rslctl")
    for module in pkgutil.walk_packages(rslctl.__path__, "rslctl."):
        if module.name != "rslctl.__main__":
            importlib.import_module(module.name)
    cli = importlib.import_module("rslctl.cli.main")
    for arguments, wanted in COMMANDS:
        sys.argv = ["rslctl", *arguments]
        status: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            status = ended.code
        if (status or 0) != wanted:
            raise SystemExit(f"rslctl {' '.join(arguments)}: status {status}, not {wanted}")


if __name__ == "__main__":
    main()
