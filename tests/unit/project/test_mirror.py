# SPDX-License-Identifier: BSD-3-Clause
"""The tests of rslctl are where its modules are: a file of the same name, in a folder alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit import REPOSITORY

MODULES = REPOSITORY / "tools/rslctl"
TESTS = REPOSITORY / "tests/unit"
PACKAGES = sorted(path.parent.relative_to(MODULES) for path in MODULES.rglob("__init__.py"))


def modules(package: Path) -> set[str]:
    return {path.stem for path in (MODULES / package).glob("*.py") if path.stem[0] != "_"}


def with_tests(package: Path) -> set[str]:
    paths = (TESTS / package).glob("test_*.py")
    return {path.stem.removeprefix("test_") for path in paths}


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_every_module_has_its_tests(package: Path) -> None:
    assert modules(package) - with_tests(package) == set()


@pytest.mark.parametrize("package", PACKAGES, ids=str)
def test_tests_in_the_folder_of_a_package_are_of_its_modules(package: Path) -> None:
    assert with_tests(package) - modules(package) == set()


def test_every_folder_of_tests_is_a_package() -> None:
    """Files of the same name in two folders are one module to pytest otherwise."""
    folders = {path.parent for path in TESTS.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_a_test_file_has_tests_and_stays_what_one_reads() -> None:
    for path in TESTS.rglob("*.py"):
        text = path.read_text()
        assert ("\ndef test_" in text or "    def test_" in text) == path.stem.startswith(
            "test_"
        ), path
        assert len(text.splitlines()) <= 450, path
