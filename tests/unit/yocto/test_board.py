# SPDX-License-Identifier: BSD-3-Clause
"""The recipe rsl-board: a board's overlay, profiles of the user's own, and the start at boot."""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path

import fdt
import pytest

from tests.unit import REPOSITORY
from tests.unit.yocto.test_layer import OLD_AND_NEW, TASKS, bake, baked, contents, packaged


def test_an_image_has_the_overlay_in_its_boot_partition_for_a_loader_that_applies_it(
    tmp_path: Path,
) -> None:
    settings = {"INHERIT": "rsl", "RSL_DEVICE_TREE": "overlay"}
    for image in ("rsl-image", "core-image-minimal"):
        variables = baked(tmp_path, image, **settings)
        assert variables["IMAGE_BOOT_FILES"].split() == ["devicetree/zcu102.dtbo"]
    assert "packagegroup-rsl" in baked(tmp_path, "rsl-image")["IMAGE_INSTALL"].split()
    for other in ({"RSL_DEVICE_TREE": "none"}, {"RSL_DEVICE_TREE": "merged"}, {"RSL_BOARD": ""}):
        assert "IMAGE_BOOT_FILES" not in baked(tmp_path, "rsl-image", **(settings | other))


@pytest.mark.parametrize("series", OLD_AND_NEW)
def test_the_board_of_the_user_is_built(tmp_path: Path, series: str) -> None:
    variables = baked(tmp_path, "rsl-board", *TASKS, "do_deploy", SERIES=series, RSL_BOARD="kv260")
    assert packaged(variables) == {
        "rsl-board": {"boot/devicetree/kv260.dtbo"},
        "rsl-board-autostart": {
            f"lib/systemd/system/{target}.wants/rsl-setup@kv260.service"
            for target in ("multi-user.target", "rsl.target")
        },
        "rsl-board-dev": set(),
        "rsl-board-doc": set(),
        "": set(),
    }
    assert contents(variables["DEPLOYDIR"]) == {"devicetree/kv260.dtbo"}
    blob = (Path(variables["D"]) / "boot/devicetree/kv260.dtbo").read_bytes()
    assert fdt.parse_dtb(blob).exist_node("/__fixups__")
    link = Path(variables["D"]) / "lib/systemd/system/rsl.target.wants/rsl-setup@kv260.service"
    assert os.readlink(link) == "../rsl-setup@.service"


def test_a_board_of_the_users_own_is_built(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    shutil.copy(REPOSITORY / "tools/rslctl/profile/boards/zcu102.toml", own)
    variables = baked(
        tmp_path / "build", "rsl-board", *TASKS, MACHINE="beaglebone", RSL_BOARD=str(own)
    )
    assert packaged(variables)["rsl-board"] == {
        "boot/devicetree/own.dtbo",
        "etc/rslctl/boards/own.toml",
    }
    assert filecmp.cmp(Path(variables["D"]) / "etc/rslctl/boards/own.toml", own, shallow=False)
    units = packaged(variables)["rsl-board-autostart"]
    assert "lib/systemd/system/rsl.target.wants/rsl-setup@own.service" in units


@pytest.fixture
def extended(tmp_path: Path) -> Path:
    """A profile of the user's own that extends two others of theirs, and zcu102 by the last."""
    place = tmp_path / "profiles"
    (place / "common").mkdir(parents=True)
    (place / "own.toml").write_text('extends = """common/soc.toml""" # of all boards\n')
    (place / "common/soc.toml").write_text("description = 'Own'\n\"extends\" = '../all.toml'\n")
    (place / "all.toml").write_text('extends = """zcu102"""\n')
    return place / "own.toml"


def test_profiles_that_a_board_of_the_users_own_extends_come_with_it(
    tmp_path: Path, extended: Path
) -> None:
    variables = baked(tmp_path / "build", "rsl-board", *TASKS, RSL_BOARD=str(extended))
    installed = Path(variables["D"]) / "etc/rslctl/boards"
    names = contents(str(extended.parent))
    assert names == {"own.toml", "common/soc.toml", "all.toml"} == contents(str(installed))
    for name in names:
        assert f"file://{extended.parent / name}" in variables["SRC_URI"].split()
        assert filecmp.cmp(installed / name, extended.parent / name, shallow=False)


def test_a_profile_that_an_image_has_no_place_for_is_refused(
    tmp_path: Path, extended: Path
) -> None:
    for name in ("../../../own.toml", str(tmp_path / "other.toml")):
        extended.write_text(f'extends = "{name}"\n')
        done = bake(tmp_path / "build", "rsl-board", RSL_BOARD=str(extended))
        assert f"RSL_BOARD: a profile extends '{name}', which would be /" in done.stderr


def test_profiles_that_extend_each_other_are_refused(tmp_path: Path, extended: Path) -> None:
    (extended.parent / "all.toml").write_text('extends = "own.toml"\n')
    done = bake(tmp_path / "build", "rsl-board", *TASKS, RSL_BOARD=str(extended))
    assert "'own.toml' extends this profile in turn" in done.stderr
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("board", "told"),
    [
        ("zcu120", "'zcu120' is not one of am625-sk, am642-evm, "),
        ("own.toml", "the path of the profile 'own.toml' is not an absolute one"),
        ("/nowhere/own.toml", "there is no file '/nowhere/own.toml'"),
    ],
)
def test_a_board_that_is_not_there_is_named_before_anything_is_built(
    tmp_path: Path, board: str, told: str
) -> None:
    done = bake(tmp_path, "rsl-board", RSL_BOARD=board)
    assert done.returncode == 1
    assert f"RSL_BOARD: {told}" in done.stderr


def test_a_profile_that_extends_one_that_is_not_there_is_refused(
    tmp_path: Path, extended: Path
) -> None:
    (extended.parent / "all.toml").unlink()
    done = bake(tmp_path / "build", "rsl-board", RSL_BOARD=str(extended))
    assert f"RSL_BOARD: there is no file '{extended.parent}/all.toml'" in done.stderr


def test_without_systemd_a_script_sets_the_links_up_at_boot(tmp_path: Path) -> None:
    variables = baked(tmp_path, "rsl-board", *TASKS, DISTRO_FEATURES="sysvinit")
    assert packaged(variables)["rsl-board-autostart"] == {"etc/init.d/rsl"}
    assert not variables["INHIBIT_UPDATERCD_BBCLASS"]
    script = Path(variables["D"]) / "etc/init.d/rsl"
    assert os.access(script, os.X_OK)
    ours = (REPOSITORY / "tools/bringup/zcu102").read_text().splitlines()
    shebang, board, common = script.read_text().splitlines()
    assert [shebang, board] == [ours[0], *(line for line in ours if line.startswith("BOARD="))]
    assert common == ". /usr/lib/rslctl/bringup/common.sh"
    assert "usr/lib/rslctl/bringup/common.sh" in contents(
        baked(tmp_path, "rslctl", *TASKS, DISTRO_FEATURES="sysvinit")["D"]
    )
    assert baked(tmp_path, "rsl-board")["INHIBIT_UPDATERCD_BBCLASS"] == "1"
