# SPDX-License-Identifier: BSD-3-Clause
"""The units of tools/systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rslctl.virtio import options, tap, vhost

from tests import documents
from tests.unit import REPOSITORY

UNITS = REPOSITORY / "tools/systemd"
VIRTIO, TAP = "virtio.conf", "virtio-tap.conf"
HOW_TO = REPOSITORY / "docs/how-to/virtio.md"


def analyzed(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says; the test is skipped without it."""
    analyze = shutil.which("systemd-analyze")
    if not analyze:
        pytest.skip("systemd-analyze is missing (package systemd)")
    return subprocess.run([analyze, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("unit", "drop_ins", "most"),
    [
        ("setup", (), 29),
        ("watch", (), 19),
        ("daemon", (), 19),
        ("daemon", (VIRTIO,), 10),
        ("daemon", (VIRTIO, TAP), 10),
        ("broker", (), 19),
    ],
)
def test_the_units_have_no_more_rights_than_they_need(
    tmp_path: Path, unit: str, drop_ins: tuple[str, ...], most: int
) -> None:
    """In tenths of what systemd-analyze calls exposure: 0 is the safest, 100 no hardening."""
    file = Path(shutil.copy(UNITS / f"rsl-{unit}@.service", tmp_path))
    directory = tmp_path / f"{file.name}.d"
    directory.mkdir()
    for each in drop_ins:
        shutil.copy(UNITS / each, directory)
    limit = f"--threshold={most}"
    done = analyzed("security", "--no-pager", "--offline=yes", limit, file)
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges no files (systemd 250 is the first that does)")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("drop_ins", [(), ("legacy.conf",), (VIRTIO,), (VIRTIO, TAP)])
def test_the_units_are_such_that_systemd_takes_them(
    tmp_path: Path, drop_ins: tuple[str, ...]
) -> None:
    directory = tmp_path / "rsl-daemon@.service.d"
    directory.mkdir()
    for unit in [each for each in UNITS.iterdir() if each.is_file()]:
        if unit.suffix == ".conf" and unit.name not in drop_ins:
            continue
        # Where rslctl and the manual are is the installation's.
        text = unit.read_text().replace("rslctl ", "/bin/true ").replace("sh -c", "/bin/sh -c")
        lines = [line for line in text.splitlines() if not line.startswith("Documentation")]
        place = directory if unit.suffix == ".conf" else tmp_path
        (place / unit.name).write_text("\n".join(lines))
    done = analyzed("verify", *sorted(each for each in tmp_path.iterdir() if each.is_file()))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_drop_ins_for_virtio_show_the_daemon_the_devices_that_it_opens() -> None:
    opened = {VIRTIO: {vhost.VSOCK}, TAP: {tap.TUN, vhost.NET}}
    given = set()
    for drop_in, devices in opened.items():
        text = (UNITS / drop_in).read_text()
        bound = re.findall(r"^BindPaths=(.*)$", text, re.MULTILINE)
        assert {path.removeprefix("-") for line in bound for path in line.split()} == devices
        assert {*re.findall(r"^DeviceAllow=(\S+) rw$", text, re.MULTILINE)} == devices
        instead = dict(re.findall(r"^#   OpenFile=(\S+):(\S+)$", text, re.MULTILINE))
        assert instead.keys() == devices
        given |= {*instead.values()}
    assert given == {*options.GIVEN}


def test_the_units_of_back_ends_that_the_how_to_shows_are_such_that_systemd_takes_them(
    tmp_path: Path,
) -> None:
    place = "# /etc/systemd/system/"
    shown = [each.text for each in documents.blocks(HOW_TO) if each.text.startswith(place)]
    shown.append("[Service]\nExecStart=/bin/true\n")
    made = []
    for text in shown:
        name = text.split("\n", 1)[0].removeprefix(place)
        path = tmp_path / (name if text.startswith(place) else "rsl-daemon@.service")
        # Where the programs are is the installation's.
        path.write_text(re.sub(r"^(Exec\w+=)\S+", r"\1/bin/true", text, flags=re.MULTILINE))
        made.append(path)
    assert len(made) == 3
    done = analyzed("verify", "--man=no", *made)
    assert (done.returncode, done.stderr) == (0, "")
