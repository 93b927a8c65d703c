# SPDX-License-Identifier: BSD-3-Clause
"""What is in the wheel and in the source archive."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from rslctl import __version__

from tests import checkout
from tests.amp import packages
from tests.unit import REPOSITORY

PROFILES = {path.name for path in (REPOSITORY / "tools/rslctl/profile/boards").glob("*.toml")}
OVERLAYS = {path.name for path in (REPOSITORY / "dt-overlays").glob("*.dtso")}
LICENCES = {"LICENSE", *(path.name for path in (REPOSITORY / "LICENSES").iterdir())}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


def below(names: list[str], place: str) -> set[str]:
    """What is in a directory, without directories."""
    return {name.removeprefix(f"{place}/") for name in names if name.startswith(f"{place}/")}


def test_the_wheel_has_the_profiles_the_overlays_and_the_licences(made: Path) -> None:
    with zipfile.ZipFile(packages.wheel(made, Path(sys.executable))) as wheel:
        names = wheel.namelist()
    assert below(names, "rslctl/profile/boards") == PROFILES
    data = f"rslctl-{__version__}.data/data/share/rslctl/dt-overlays"
    assert below(names, data) == OVERLAYS
    licences = {Path(name).name for name in names if ".dist-info/" in name}
    assert licences >= LICENCES
    own = {path.name for path in (REPOSITORY / "tools/rslctl").glob("*.py")}
    assert {name for name in below(names, "rslctl") if "/" not in name} == own


def test_the_source_archive_has_what_the_packages_are_made_of(made: Path) -> None:
    with tarfile.open(packages.sdist(made, Path(sys.executable))) as sdist:
        files = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    copy = checkout.copy(REPOSITORY, made / "copy")
    wanted = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    # What is only of use in a checkout, and what setuptools adds.
    unwanted = {name for name in wanted if name.startswith(".")}
    added = {name for name in files if name == "PKG-INFO" or ".egg-info/" in name}
    assert files - added - {"setup.cfg"} == wanted - unwanted
    assert {f"tools/rslctl/profile/boards/{name}" for name in PROFILES} <= files
    assert {f"dt-overlays/{name}" for name in OVERLAYS} <= files
    assert {"LICENSE", "kmod/rsl_mbox/dkms.conf", "docs/how-to/debian.md", "debian/rules"} <= files


def test_everything_has_the_same_version() -> None:
    changelog = (REPOSITORY / "debian/changelog").read_text()
    dkms = (REPOSITORY / "kmod/rsl_mbox/dkms.conf").read_text()
    assert re.findall(r"^rslctl \((.*?)\)", changelog, re.MULTILINE)[0] == __version__
    assert re.findall(r'^PACKAGE_VERSION="(.*)"', dkms, re.MULTILINE) == [__version__]
