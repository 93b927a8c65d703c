# SPDX-License-Identifier: BSD-3-Clause
"""The layer yocto/meta-rsl: linted, and its recipes run by bitbake on what stands for the core."""

from __future__ import annotations

import filecmp
import fnmatch
import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rslctl

from tests.unit import REPOSITORY
from tests.yocto.python3 import PACKAGES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LAYER = REPOSITORY / "yocto/meta-rsl"
SERIES = ("scarthgap", "whinlatter", "wrynose", "blacksail")
OLD_AND_NEW = (SERIES[0], SERIES[-1])
LOCAL = ("kernel-module-rsl-mbox", "rsl-board", "rslctl")
RECIPES = (*LOCAL, "packagegroup-rsl", "python3-fdt", "python3-typer-slim", "rsl-image")
TASKS = ("do_unpack", "do_compile", "do_install")

#: What others' layers provide, in all four series. tests/yocto/real.py asks the layers themselves.
PROVIDED = {
    "dtc",
    "kernel-module-tun",
    "kernel-module-uio-pdrv-genirq",
    "kernel-module-vhost-net",
    "kernel-module-vhost-vsock",
    "python3-click",
    "python3-periphery",
    "python3-pyudev",
    "python3-shellingham",
    "python3-typing-extensions",
}


def bake(
    build: Path, recipe: str, *tasks: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Parse a recipe and run its tasks."""
    given = {"SERIES": "blacksail", "MACHINE": "zcu102-zynqmp", "DISTRO_FEATURES": "systemd"}
    command = [sys.executable, "-m", "tests.yocto.bake", str(build), json.dumps(given | settings)]
    return subprocess.run(
        [*command, recipe, *tasks], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )


def baked(build: Path, recipe: str, *tasks: str, **settings: str) -> dict[str, Any]:
    """The variables of a recipe whose tasks have been run."""
    done = bake(build, recipe, *tasks, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return dict(json.loads(done.stdout))


def contents(directory: str) -> set[str]:
    """What is in an image directory, besides directories."""
    root = Path(directory)
    return {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def packaged(variables: dict[str, Any]) -> dict[str, set[str]]:
    """What each package of a recipe takes of its image directory; the rest is under ""."""
    rest = contents(variables["D"])
    found: dict[str, set[str]] = {}
    for package in variables["PACKAGES"].split():
        patterns = [each[1:] for each in variables.get(f"FILES:{package}", "").split()]
        patterns += [f"{each}/*" for each in patterns]
        found[package] = {
            file for file in rest if any(fnmatch.fnmatch(file, each) for each in patterns)
        }
        rest -= found[package]
    return found | {"": rest}


def machines() -> dict[str, str]:
    """The board of each machine."""
    text = (LAYER / "conf/rsl-boards.inc").read_text()
    return dict(re.findall(r'^RSL_BOARD_MACHINE:(\S+) = "(\S+)"$', text, re.MULTILINE))


def oelint(series: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """What oelint-adv says of files, as configured for this layer."""
    command = ["-m", "oelint_adv", "--quiet", "--relpaths", "--release", series]
    return subprocess.run(
        [sys.executable, *command, *map(str, files)],
        cwd=LAYER.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("series", SERIES)
def test_oelint_adv_finds_nothing(series: str) -> None:
    files = sorted([*LAYER.rglob("*.bb"), *LAYER.rglob("*.bbappend"), *LAYER.rglob("*.bbclass")])
    assert len(files) > len(RECIPES)
    done = oelint(series, *files)
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr


def test_oelint_adv_would_find_a_mistake(tmp_path: Path) -> None:
    (recipe,) = LAYER.rglob("rsl-board_*.bb")
    bad = tmp_path / recipe.name
    bad.write_text(recipe.read_text().replace('LICENSE = "BSD-3-Clause"\n', ""))
    done = oelint("blacksail", bad)
    assert done.returncode == 1
    assert "oelint.var.mandatoryvar.LICENSE" in done.stderr


@pytest.mark.parametrize("series", OLD_AND_NEW)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_parses(tmp_path: Path, recipe: str, series: str) -> None:
    variables = baked(tmp_path, recipe, SERIES=series)
    assert variables["PN"] == recipe
    assert variables["SUMMARY"]
    assert not [name for name, value in variables.items() if "${LAYERDIR}" in str(value)]


def test_the_layer_is_for_these_series(tmp_path: Path) -> None:
    for series in SERIES:
        baked(tmp_path, "rslctl", SERIES=series)
    assert "Layer rsl is not compatible" in bake(tmp_path, "rslctl", SERIES="kirkstone").stderr


@pytest.mark.parametrize("series", OLD_AND_NEW)
def test_every_dependency_is_there(tmp_path: Path, series: str) -> None:
    """Of packages, that is; what recipes depend on to be built is in PROVIDED of the classes."""
    own: set[str] = set()
    wanted: set[str] = set()
    for recipe in RECIPES:
        variables = baked(tmp_path, recipe, SERIES=series)
        own |= set(variables["PACKAGES"].split())
        for name, value in variables.items():
            if name.startswith(("RDEPENDS:", "RRECOMMENDS:")) or name == "IMAGE_INSTALL":
                wanted |= set((value or "").split())
    python = {f"python3-{package}" for package in PACKAGES}
    assert wanted - own - PROVIDED - python - {"base"} == set()


@pytest.mark.parametrize("recipe", LOCAL)
def test_licences_are_those_of_the_repository(tmp_path: Path, recipe: str) -> None:
    """In S, and S all of the sources: devtool modify of scarthgap knows no other place."""
    variables = baked(tmp_path, recipe)
    assert variables["S"] == f"{variables['UNPACKDIR']}/{variables['BP']}"
    for entry in variables["LIC_FILES_CHKSUM"].split():
        name, _, md5 = entry.removeprefix("file://").partition(";md5=")
        data = (REPOSITORY / name).read_bytes()
        assert hashlib.md5(data, usedforsecurity=False).hexdigest() == md5, name


@pytest.mark.parametrize("recipe", LOCAL)
def test_versions_are_those_of_rslctl(tmp_path: Path, recipe: str) -> None:
    assert baked(tmp_path, recipe)["PV"] == rslctl.__version__


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """The layer, and nothing else of the repository."""
    return Path(shutil.copytree(LAYER, tmp_path / "meta-rsl"))


@pytest.mark.parametrize("recipe", LOCAL)
def test_without_sources_a_recipe_says_what_to_set(
    tmp_path: Path, alone: Path, recipe: str
) -> None:
    for settings, told in (
        ({"LAYER": str(alone)}, "no sources: set RSL_URI and RSL_REVISION, or RSL_SOURCE to a"),
        # Also in a checkout, which is not what was asked for.
        (
            {"RSL_URI": "git://git.example.com/rsl.git"},
            "no sources: set RSL_REVISION, or RSL_SOURCE",
        ),
        ({"RSL_SOURCE": "/nowhere"}, "RSL_SOURCE: '/nowhere' is no checkout: it has no directory "),
    ):
        done = bake(tmp_path / "build", recipe, **settings)
        assert done.returncode == 1
        assert told in done.stderr
    assert baked(tmp_path / "build", "python3-fdt", LAYER=str(alone))["PV"]


@pytest.mark.parametrize("series", OLD_AND_NEW)
@pytest.mark.parametrize("recipe", LOCAL)
def test_a_layer_alone_gets_its_sources_from_a_commit(
    tmp_path: Path, alone: Path, checkout: Path, recipe: str, series: str
) -> None:
    git = ["git", "-C", str(checkout), "-c", "user.name=a", "-c", "user.email=a@b"]
    if not (checkout / ".git").exists():
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "all"]):
            subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    settings = {
        "LAYER": str(alone),
        "RSL_URI": f"git://{checkout};protocol=file;branch=main",
        "RSL_REVISION": commit.stdout.strip(),
    }
    variables = baked(tmp_path / "build", recipe, *TASKS, SERIES=series, **settings)
    assert contents(variables["D"])


def test_nothing_is_newer_than_the_oldest_python_of_scarthgap() -> None:
    """bitbake 2.8 runs on Python 3.8 (bin/bitbake), which has no such methods."""
    for path in LAYER.rglob("*"):
        if path.is_file():
            assert not re.search(r"\.remove(prefix|suffix)\(", path.read_text()), path


def test_each_overlay_is_some_machines_and_each_machine_has_one() -> None:
    overlays = {path.stem for path in (REPOSITORY / "dt-overlays").glob("*.dtso")}
    assert set(machines().values()) == overlays


@pytest.mark.parametrize(("machine", "board"), machines().items())
def test_a_machine_has_its_board(tmp_path: Path, machine: str, board: str) -> None:
    variables = baked(tmp_path, "packagegroup-rsl", MACHINE=machine)
    assert variables["RSL_BOARD"] == board
    assert "rsl-board" in variables["RDEPENDS:packagegroup-rsl"].split()
    assert "rsl-board-autostart" in variables["RRECOMMENDS:packagegroup-rsl"].split()


def test_a_machine_with_the_overrides_of_another_has_not_its_board(tmp_path: Path) -> None:
    """meta-kria's k26-smk-kr requires k26-smk.inc."""
    overrides = {"MACHINEOVERRIDES": "k26-smk:k26-smk-kr", "MACHINE": "k26-smk-kr"}
    assert baked(tmp_path, "packagegroup-rsl", **overrides)["RSL_BOARD"] == ""


def test_the_readme_has_the_machines_and_the_recipes() -> None:
    text = (LAYER / "README.md").read_text()
    rows = re.findall(r"^\| `(\S+)` \| (`.*`) \|", text, re.MULTILINE)
    told = {name: board for board, names in rows[1:] for name in re.findall(r"`(\S+)`", names)}
    assert told == machines()
    for recipe in RECIPES:
        assert f"`{recipe}`" in text, recipe


def test_a_machine_without_a_board_is_told_what_to_do(tmp_path: Path) -> None:
    done = bake(tmp_path, "rsl-board", MACHINE="beaglebone")
    assert done.returncode == 1
    assert "no board is known for MACHINE 'beaglebone': set RSL_BOARD to the name" in done.stderr
    group = baked(tmp_path, "packagegroup-rsl", MACHINE="beaglebone")
    assert "rsl-board" not in group["RDEPENDS:packagegroup-rsl"].split()


@pytest.mark.parametrize("series", OLD_AND_NEW)
def test_the_module_is_made_of_the_files_that_git_has(tmp_path: Path, series: str) -> None:
    variables = baked(tmp_path, "kernel-module-rsl-mbox", *TASKS, SERIES=series)
    listed = subprocess.run(
        ["git", "ls-files", "kmod/rsl_mbox"], cwd=REPOSITORY, capture_output=True, check=True
    ).stdout
    known = {*listed.decode().split(), "LICENSES/GPL-2.0-only.txt"}
    assert contents(variables["S"]) == known - {"kmod/rsl_mbox/dkms.conf"}
    assert packaged(variables)["kernel-module-rsl-mbox-dev"] == {"usr/include/linux/rsl_mbox.h"}


def test_a_dependency_of_rslctl_is_one_of_its_recipe(tmp_path: Path) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    names = {re.split("[<>=;]", each)[0].strip() for each in project["dependencies"]}
    names -= {"tomli"}  # only for a Python that no series has
    # It says which shell completion is for.
    names = names - {"typer"} | {"typer-slim", "shellingham"}
    packages = {f"python3-{name.removeprefix('python-')}" for name in names}
    rdepends = set(baked(tmp_path, "rslctl")["RDEPENDS:rslctl"].split())
    standard = {f"python3-{package}" for package in PACKAGES}
    assert rdepends - standard == packages


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as git has it."""
    root = tmp_path_factory.mktemp("checkout") / "rsl"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / name).is_file():
            shutil.copy(REPOSITORY / name, root / name)
    return root


def wanted(root: Path) -> dict[str, dict[str, Path]]:
    """Which files of a checkout each package of rslctl has to have, and where."""
    units = "lib/systemd/system"
    completion = "tools/completions"
    places = (
        ("rslctl", units, "tools/systemd/*.service"),
        ("rslctl", units, "tools/systemd/*.socket"),
        ("rslctl", units, "tools/systemd/*.target"),
        ("rslctl", "lib/udev/rules.d", "tools/udev/*"),
        ("rslctl", "usr/lib/sysusers.d", "tools/systemd/sysusers.d/*"),
        ("rslctl", "usr/lib/tmpfiles.d", "tools/systemd/tmpfiles.d/*"),
        ("rslctl", "usr/lib/rslctl/bringup", "tools/bringup/*"),
        ("rslctl-dev", "usr/include", "tools/librsl/*"),
        ("rslctl-doc", "usr/share/doc/rslctl/examples", "tools/examples/*"),
        ("rslctl-doc", "usr/share/doc/rslctl/examples", "tools/systemd/*.conf"),
        ("rslctl-doc", "usr/share/man/man1", "docs/man/*"),
        ("rslctl-bash-completion", "usr/share/bash-completion/completions", f"{completion}/rslctl"),
        ("rslctl-zsh-completion", "usr/share/zsh/site-functions", f"{completion}/_rslctl"),
        ("rslctl-fish-completion", "usr/share/fish/vendor_completions.d", f"{completion}/*.fish"),
    )
    found: dict[str, dict[str, Path]] = {}
    for package, place, pattern in places:
        files = [path for path in root.glob(pattern) if path.is_file()]
        assert files, pattern
        found.setdefault(package, {}).update({f"{place}/{path.name}": path for path in files})
    for page in (root / "docs").rglob("*.md"):
        found["rslctl-doc"][f"usr/share/doc/rslctl/{page.relative_to(root / 'docs')}"] = page
    return found


@pytest.mark.parametrize("series", OLD_AND_NEW)
def test_all_that_belongs_to_rslctl_is_installed(
    tmp_path: Path, checkout: Path, series: str
) -> None:
    variables = baked(tmp_path, "rslctl", *TASKS, SERIES=series, RSL_SOURCE=str(checkout))
    found = packaged(variables)
    assert found[""] == set(), "installed, but in no package"
    sources = set()
    for package, files in wanted(checkout).items():
        assert set(files) <= found[package], package
        for file, source in files.items():
            assert filecmp.cmp(Path(variables["D"]) / file, source, shallow=False), file
            sources.add(source)
    for directory in ("systemd", "udev", "librsl", "examples", "completions", "bringup"):
        for path in (checkout / "tools" / directory).rglob("*"):
            assert path.is_dir() or path in sources, f"{path} is not installed"


def test_the_package_of_rslctl_is_what_its_wheel_has(tmp_path: Path, checkout: Path) -> None:
    """What the recipe leaves of the repository is nothing that is packaged."""
    variables = baked(tmp_path, "rslctl", *TASKS, RSL_SOURCE=str(checkout))
    source = shutil.copytree(checkout, tmp_path / "source")
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "whole")]
    command = [sys.executable, "-m", "pip", "-q", "install", *options, str(source)]
    subprocess.run(command, check=True)
    packages = ("rslctl/*", "share/*")
    whole = {
        file
        for file in contents(str(tmp_path / "whole"))
        if any(fnmatch.fnmatch(file, each) for each in packages) and "__pycache__" not in file
    }
    assert "rslctl/profile/boards/zcu102.toml" in whole
    (site,) = Path(variables["D"]).glob("usr/lib/python3*/site-packages")
    prefix = Path(variables["D"]) / "usr"
    for file in whole:
        place = prefix if file.startswith("share/") else site
        assert (place / file).is_file(), file


def test_nothing_of_systemd_is_installed_without_it(tmp_path: Path) -> None:
    variables = baked(tmp_path, "rslctl", *TASKS, DISTRO_FEATURES="sysvinit")
    found = packaged(variables)
    assert found[""] == set()
    assert not [file for file in found["rslctl"] if re.search("systemd|sysusers|tmpfiles", file)]
    assert "lib/udev/rules.d/60-rsl.rules" in found["rslctl"]
