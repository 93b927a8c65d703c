# SPDX-License-Identifier: BSD-3-Clause
"""The packages of rslctl import from each other in one direction only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PACKAGE = REPOSITORY / "tools/rslctl"

#: What each package may import from. docs/explanation/architecture.md has the same list.
MAY_IMPORT = {
    "errors": "",
    "region": "",
    "tables": "",
    "linux": "errors region",
    "ivshmem": "errors linux",
    "client": "errors linux",
    "profile": "errors region linux",
    "devicetree": "errors region linux profile",
    "setup": "errors region linux profile devicetree",
    "daemon": "errors region linux profile devicetree setup",
    "boot": "errors region linux profile devicetree setup",
    "bench": "errors region tables linux profile devicetree setup",
    "virtio": "errors region linux profile client",
    "cli": "errors region tables linux ivshmem client profile devicetree setup daemon boot bench "
    "virtio",
}


def imports(source: str) -> Iterator[tuple[str, ...]]:
    """The parts of each name that is imported from rslctl: ("linux", "host", "Host")."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "rslctl":
            above = (node.module or "").split(".")[1:]
            yield from ((*above, each.name) for each in node.names)
        elif isinstance(node, ast.Import):
            words = [each.name.split(".") for each in node.names]
            yield from (tuple(each[1:]) for each in words if each[0] == "rslctl")


def sources() -> dict[tuple[str, ...], str]:
    """The text of each module by its name, without that of rslctl itself."""
    names = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in files()}
    return {name: path.read_text() for path, name in names.items()}


def files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"]


def exported(package: str) -> set[str]:
    """What the __all__ of a package names; a module has none to name."""
    path = PACKAGE / package / "__init__.py"
    if not path.exists():
        return set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def misplaced(own: str, source: str) -> list[str]:
    """The imports of a module of the package *own* that break the rules."""
    allowed = MAY_IMPORT[own].split()
    found = []
    for name in imports(source):
        package = name[0]
        if package in (own, "__version__"):
            continue
        if package not in allowed:
            found.append(f"{own} may not import from {package}: {'.'.join(name)}")
        elif (PACKAGE / package).is_dir() and name[1] not in exported(package):
            found.append(f"{package}/__init__.py does not export {name[1]}")
    return found


def test_packages_import_only_from_those_that_they_may() -> None:
    found = [each for name, text in sources().items() for each in misplaced(name[0], text)]
    assert found == []


@pytest.mark.parametrize(
    ("own", "source", "told"),
    [
        ("linux", "from rslctl.profile.model import Board", "linux may not import from profile"),
        ("linux", "from rslctl import client", "linux may not import from client"),
        ("profile", "import rslctl.devicetree.tree", "profile may not import from devicetree"),
        ("daemon", "def x():\n    from rslctl.boot import live", "daemon may not import from boot"),
        ("setup", "from rslctl.profile import toml", "profile/__init__.py does not export toml"),
    ],
)
def test_an_import_that_goes_back_up_is_found(own: str, source: str, told: str) -> None:
    assert [each[: len(told)] for each in misplaced(own, source)] == [told]


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    texts = sources()
    graph = {
        name: {found for each in imports(text) if (found := module(each, texts)) != name}
        for name, text in texts.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(error.args[1]) from error


def module(name: tuple[str, ...], known: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    """The module that a name belongs to; one of the package itself has none below it."""
    while name and name not in known:
        name = name[:-1]
    return name


def test_a_package_exports_modules_that_it_has() -> None:
    for package in MAY_IMPORT:
        modules = {path.stem for path in (PACKAGE / package).glob("*.py")}
        assert exported(package) <= modules, package


def test_every_package_has_its_place() -> None:
    assert {name[0] for name in sources()} == set(MAY_IMPORT)


def test_the_document_has_the_same_list() -> None:
    text = (REPOSITORY / "docs/explanation/architecture.md").read_text()
    rows = re.findall(r"^\| `([a-z]+)` \| [^|]+ \| ([^|]*) \|$", text, re.MULTILINE)
    listed = {name: re.findall(r"`([a-z]+)`", cell) for name, cell in rows}
    assert listed == {name: words.split() for name, words in MAY_IMPORT.items()}
