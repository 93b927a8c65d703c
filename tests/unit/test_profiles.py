# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: what is accepted, and what is said of a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.profile import model, reader, toml
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.command_line import Rslctl

PROFILE = """\
description = "a board"
compatible = "vendor,board"

[[link]]
name = "rpu0"

[link.memory]
base = 0x70000000
size = 0x1000000

[link.doorbell]
register = 0x8020040
kick-values = [80, 81]
spis = [90, 91]
trigger = "edge-rising"
"""


def parse(text: str) -> model.Board:
    return reader.parse(toml.read(text, "test.toml"), "test")


def test_a_profile_is_read() -> None:
    made = parse(PROFILE)
    doorbell = model.Doorbell(0x8020040, (80, 81), (90, 91), "edge-rising")
    assert made == model.Board(
        name="test",
        description="a board",
        compatible=("vendor,board",),
        links=(
            model.Link(
                name="rpu0",
                memory=Region(0x70000000, 0x1000000),
                firmware=None,
                offers={"doorbell": doorbell},
                transport="doorbell",
            ),
        ),
    )
    assert made.links[0].vectors == 2


@pytest.mark.parametrize("name", reader.built_in())
def test_the_profiles_that_come_with_rslctl_are_read(name: str) -> None:
    assert reader.load(name).name == name


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[link]]", "[[link", "test.toml:4: is not TOML: "),
        ('description = "a board"', "", "test.toml:1: description: is missing, expected a string"),
        ('description = "a', 'descripton = "a', "expected a string; is it 'descripton'?"),
        ('"a board"', '"a\\u0007board"', "description: 'a\\x07board' is not a line of text"),
        ("compatible =", "x = 1\ncompatible =", "test.toml:2: x: is not known here; known: "),
        ('"vendor,board"', "3", "test.toml:2: compatible: 3 is not a string"),
        ("[[link]]", "[link]", "test.toml:4: link: {"),
        ('"rpu0"', '"RPU 0"', "test.toml:5: link[0].name: 'RPU 0' is not 1 to 31 of a-z"),
        ('"rpu0"', '"' + "a" * 32 + '"', "is not 1 to 31 of a-z"),
        ("base = 0x7", "bass = 0x7", "memory.base: is missing, expected an integer; is it 'b"),
        (
            "0x1000000",
            "0x1000001",
            "test.toml:9: link[0].memory.size: 0x1000001 is not a multiple of 0x1000",
        ),
        ("0x1000000", "0", "link[0].memory.size: 0x0 is not between 0x1 and 0xffffffffffffffff"),
        ("0x1000000", "true", "link[0].memory.size: True is not an integer"),
        ("0x70000000", "-4096", "link[0].memory.base: -0x1000 is not between 0x0 and"),
        ("0x70000000", "0x70000000\nx = 2", "link[0].memory.x: is not known here"),
        ("0x8020040", "0x8020041", "doorbell.register: 0x8020041 is not a multiple of 4"),
        ("[80, 81]", "[]", "doorbell.kick-values: has 0 values, expected 1 to 32"),
        ("[80, 81]", str([1] * 33), "doorbell.kick-values: has 33 values, expected 1 to 32"),
        ("[80, 81]", "[80, 4294967296]", "doorbell.kick-values: 0x100000000 is not between"),
        ('"edge-rising"', '"edge-risng"', "did you mean 'edge-rising'?"),
        ("[90, 91]", "[90]", "doorbell.spis: has 1 interrupts, but kick-values has 2 vectors"),
        ("[90, 91]", "[90, 90]", "doorbell.spis: has an interrupt twice"),
        ("[90, 91]", "[90, 988]", "doorbell.spis: 0x3dc is not between 0x0 and 0x3db"),
        ("[90, 91]", '[90, "x"]', "doorbell.spis: 'x' is not an integer"),
        ('"edge-rising"', '"rising"', "doorbell.trigger: 'rising' is not one of 'edge-rising', "),
        (
            'compatible = "',
            'disable = ["soc"]\ncompatible = "',
            "disable: 'soc' is not a node's label, path or both",
        ),
        (
            "[link.doorbell]",
            "[link.firmware]\nbase = 0x70fff000\nsize = 0x2000\n[link.doorbell]",
            "link[0].firmware: 0x70fff000, 0x2000 bytes, overlaps memory at 0x70000000",
        ),
    ],
)
def test_a_mistake_is_named_with_its_key(old: str, new: str, message: str) -> None:
    assert old in PROFILE
    with pytest.raises(RslError) as error:
        parse(PROFILE.replace(old, new))
    assert message in str(error.value)


def test_two_links_need_two_names() -> None:
    link = PROFILE[PROFILE.index("[[link]]") :]
    other = link.replace("0x70000000", "0x60000000").replace("[90, 91]", "[92, 93]")
    with pytest.raises(RslError, match=r"test\.toml:17: link\[1\]\.name: 'rpu0' is given to more"):
        parse(PROFILE + other)
    made = parse(PROFILE + other.replace("rpu0", "rpu1"))
    with pytest.raises(RslError, match=r"board 'test' has several links: rpu0, rpu1"):
        made.link(None)
    assert made.link("rpu1").name == "rpu1"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0x70000000",
            "0x70fff000",
            r":19: link\[1\]\.memory: 0x70fff000, 0x1000000 bytes, overlap",
        ),
        ("[90, 91]", "[94, 91]", r":23: link\[1\]\.doorbell: SPI 91 is used by link rpu0"),
    ],
)
def test_links_do_not_take_from_each_other(old: str, new: str, message: str) -> None:
    link = PROFILE[PROFILE.index("[[link]]") :].replace("rpu0", "rpu1")
    other = link.replace(old, new)
    for keep in ("0x70000000", "[90, 91]"):
        if keep != old:
            other = other.replace(keep, {"0x70000000": "0x60000000"}.get(keep, "[92, 93]"))
    with pytest.raises(RslError, match=message):
        parse(PROFILE + other)


def test_an_unknown_board_lists_the_known_ones() -> None:
    with pytest.raises(RslError, match="unknown board 'qemu-vrit'") as error:
        reader.load("qemu-vrit")
    assert error.value.hint.startswith("did you mean 'qemu-virt'? known boards: ")
    for name in reader.built_in():
        assert name in error.value.hint


def test_a_profile_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(RslError, match=r"cannot read board profile '.*x.toml': No such file"):
        reader.load(str(tmp_path / "x.toml"))
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RslError, match=r"y\.toml:1: is not UTF-8 text"):
        reader.load(str(tmp_path / "y.toml"))


values = st.recursive(
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=5),
        st.integers(-5, 2**65),
        st.booleans(),
        st.floats(),
    ),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
    return str(value)


@given(st.sampled_from(PROFILE.splitlines()), values)
def test_whatever_a_key_holds_a_profile_is_read_or_refused_in_one_line(
    line: str, value: object
) -> None:
    key, equals, _ = line.partition(" = ")
    changed = f"{key} = {as_toml(value)}" if equals else ""
    try:
        parse(PROFILE.replace(line, changed, 1))
    except RslError as error:
        assert str(error).startswith("test.toml:")
        assert "\n" not in str(error)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_profile_extends_another(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.toml",
        'extends = "zcu102"\ndescription = "mine"\n[[link]]\nname = "rpu0"\n'
        "memory.base = 0x20000000\n[[link]]\nname = 'rpu1'\nmemory.base = 0x21000000\n"
        "memory.size = 0x1000\nzynqmp-ipi = { agent = 8, remote = 2 }\n",
    )
    made = reader.load(str(mine))
    assert (made.name, made.description, made.compatible[0]) == (
        *("mine", "mine"),
        "xlnx,zynqmp-zcu102",
    )
    assert [link.memory for link in made.links] == [
        Region(0x20000000, 0x1000000),
        Region(0x21000000, 0x1000),
    ]
    assert [link.offers["mailbox"] for link in made.links] == [model.Ipi(7, 1), model.Ipi(8, 2)]


def test_mistakes_are_told_where_they_stand_in_whichever_file(tmp_path: Path) -> None:
    base = write(tmp_path / "base.toml", PROFILE.replace("0x1000000", "0x1000001"))
    mine = write(tmp_path / "mine.toml", 'extends = "base.toml"\n\ncompatible = 3\n')
    with pytest.raises(RslError, match=rf"^{mine}:3: compatible: 3 is not a string"):
        reader.load(str(mine))
    mine.write_text('extends = "base.toml"\n')
    with pytest.raises(RslError, match=rf"^{base}:9: link\[0\]\.memory\.size: 0x1000001 is not"):
        reader.load(str(mine))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('extends = "zcu12"\n', r":1: extends: unknown board 'zcu12' \(did you mean 'zcu102'\?"),
        ('# one\nextends = "mine.toml"\n', r":2: extends: 'mine.toml' extends this profile"),
        ('extends = "nowhere.toml"\n', r"cannot read board profile '.*nowhere.toml'"),
        ("extends = 1\n", ":1: extends: 1 is not a string"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path: Path, text: str, message: str) -> None:
    mine = write(tmp_path / "mine.toml", text)
    with pytest.raises(RslError, match=message):
        reader.load(str(mine))


def test_a_machines_own_profiles_come_first(tmp_path: Path) -> None:
    write(tmp_path / "etc/rslctl/boards/mine.toml", PROFILE)
    write(tmp_path / "etc/rslctl/boards/zcu102.toml", PROFILE)
    assert set(reader.known(tmp_path)) == {"mine", *reader.built_in()}
    assert reader.load("mine", tmp_path).description == "a board"
    assert reader.load("zcu102", tmp_path).description == "a board"


MAILBOX = PROFILE[: PROFILE.index("[link.doorbell]")] + "[link.mailbox]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tx = [[0]]\nrx = [[1]]\n", ":11: link[0].mailbox.controller: is missing, expected a s"),
        ('controller = "mu"\n', "controller: 'mu' is not a node's label, path or both"),
        ('controller = "&mu"\n', "link[0].mailbox.tx: is missing, expected a list of lists"),
        ('controller = "&mu"\ntx = []\nrx = []\n', "mailbox.rx-tx: has 0 channels, expected 1"),
        ('controller = "&mu"\ntx = [[0]]\nrx = []\n', "rx: has 0 channels, but tx has 1"),
        ('controller = "&mu"\ntx = [[0]]\nrx = [[0, 1], 2]\n', "rx: 2 is not a list of lists"),
        ('controller = "&mu"\nrx-tx = [[0], [0]]\n', ":13: link[0].mailbox.rx-tx: has a channel"),
        ('controller = "&mu"\nrx-tx = [[0], [1]]\nvectors = 4\n', "vectors: is for one channel"),
        ('controller = "&mu"\nfifos = [3]\n', "fifos: [3] is not two FIFOs"),
        ('controller = "&mu"\nfifos = [3, 16]\n', "fifos: 0x10 is not between 0x0 and 0xf"),
    ],
)
def test_a_mistake_in_a_mailbox_is_named(text: str, message: str) -> None:
    with pytest.raises(RslError) as error:
        parse(MAILBOX + text)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("agent = 0\nremote = 1\n", "agent: 0 is not one of 7 (PL0), 8 (PL1), 9 (PL2), 10 (PL3)"),
        ("agent = 7\nremote = 3\n", "remote: 3 is not one of 1 (RPU0), 2 (RPU1), 7 (PL0)"),
        ("agent = 7\nremote = 7\n", "remote: 7 is Linux's own agent"),
        ("agent = 7\n", "remote: is missing, expected an integer"),
    ],
)
def test_a_mistake_in_ipi_agents_is_named(text: str, message: str) -> None:
    with pytest.raises(RslError) as error:
        parse(MAILBOX.replace("mailbox", "zynqmp-ipi") + text)
    assert message in str(error.value)


def test_two_remotes_under_one_agent_are_refused() -> None:
    ipi = MAILBOX.replace("mailbox", "zynqmp-ipi") + "agent = 7\nremote = 1\n"
    link = ipi[ipi.index("[[link]]") :]
    second = link.replace("rpu0", "rpu1").replace("remote = 1", "remote = 2")
    second = second.replace("0x70000000", "0x60000000")
    with pytest.raises(
        RslError, match=r"link\[1\]\.zynqmp-ipi: IPI agent 7 is used by link rpu0; each"
    ):
        parse(ipi + second)


def test_a_link_that_offers_nothing_is_refused() -> None:
    with pytest.raises(RslError, match=r":4: link\[0\]: has no way to notify: expected a table"):
        parse(PROFILE[: PROFILE.index("[link.doorbell]")])


DOORBELL = PROFILE + "size = 0x20\nstatus-offset = 0x10\nstatus-masks = [1, 2]\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[90, 91]", "[90]", ""),
        ("status-masks = [1, 2]\n", "", "status-masks: has 0 masks, expected one per vector"),
        ("0x10", "0x20", "status-offset: 0x20 is not a 32-bit register in 32 bytes"),
        ("0x10", "0x11", "status-offset: 0x11 is not a 32-bit register in 32 bytes"),
        ("status-offset", "clear-offset", "status-offset: is missing, which the other registers"),
    ],
)
def test_registers_for_level_interrupts(old: str, new: str, message: str) -> None:
    try:
        parse(DOORBELL.replace(old, new))
    except RslError as error:
        assert message
        assert message in str(error)
    else:
        assert not message


def test_boards_are_shown_and_checked(tmp_path: Path, rslctl: Rslctl) -> None:
    status, out, _ = rslctl("boards", "show", "zcu102")
    assert status == 0
    assert "offers: mailbox, doorbell" in out
    bad = write(tmp_path / "bad.toml", PROFILE.replace("trigger", "tiger"))
    worse = write(tmp_path / "worse.toml", "")
    status, out, err = rslctl("boards", "check", "kv260", bad, worse)
    assert (status, out) == (1, "kv260: 1 link(s), no mistake found\n")
    assert [line.split(": ")[1] for line in err.splitlines()] == [f"{bad}:15", f"{worse}:1"]
    assert rslctl("boards", "check")[0] == 0


def test_a_board_of_ones_own_takes_less_than_25_lines() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(example.splitlines()) < 25
    made = reader.parse(toml.read(example, "README.md"), "imx8mm-evk")
    assert made.links[0].vectors == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[link.mailbox]\ncontroller = '&mu'\ntx = [\n  [2, 0],\n  [2, 1]\n]\nrx = 3\n", 7),
        ('[link.mailbox]\ncontroller = "&mu" # """\n\n\nrx-tx = 3\n', 5),
        ('[link.mailbox]\ncontroller = "&mu" # \u2028\nrx-tx = 3\n', 3),
        ("[link.mailbox]\ncontroler = '&mu'\n", 2),
        ('mailbox = { controller = "&mu", tx = 3 }\n', 1),
        ('"mailbox".controller = "&mu"\nmailbox.rx-tx = 3\n', 2),
    ],
)
def test_a_mistake_is_told_by_its_line(text: str, line: int) -> None:
    head = "description = 'x'\ncompatible = 'y'\n[[link]]\nname = 'a'\n"
    head += "memory = { base = 0, size = 4096 }\n"
    with pytest.raises(RslError) as error:
        parse(head + text)
    assert str(error.value).startswith(f"test.toml:{head.count(chr(10)) + line}: link[0].mailbox.")


def test_a_machines_own_profile_may_extend_the_one_it_goes_before(tmp_path: Path) -> None:
    write(tmp_path / "etc/rslctl/boards/zcu102.toml", 'extends = "zcu102"\ndescription = "ours"\n')
    assert reader.load("zcu102", tmp_path).description == "ours"
    # Those that extend it have it, too.
    assert reader.load("kv260", tmp_path).links == reader.load("zcu102").links


def test_what_an_extended_profile_has_can_be_taken_away(tmp_path: Path) -> None:
    mine = write(
        tmp_path / "mine.toml",
        'extends = "zcu102"\n[[link]]\nname = "rpu0"\nremote-dt = false\nfirmware = false\n',
    )
    (link,) = reader.load(str(mine)).links
    assert (link.remote_dt, link.firmware) == (None, None)


def test_a_broken_profile_hides_no_other(tmp_path: Path, rslctl: Rslctl) -> None:
    write(tmp_path / "etc/rslctl/boards/mine.toml", "oops")
    status, out, err = rslctl("boards", "--root", tmp_path)
    assert status == 1
    assert [line.split()[0] for line in out.splitlines()] == reader.built_in()
    assert "mine.toml:1: is not TOML" in err


def test_names_that_cannot_be_printed_and_links_in_circles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RslError, match="the name of a profile has to be printable"):
        reader.load("a\nb.toml")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    mine = write(tmp_path / "mine.toml", 'extends = "loop.toml"\n')
    with pytest.raises(RslError, match="cannot read board profile"):
        reader.load(str(mine))


def test_a_profile_says_what_boots_the_remote() -> None:
    table = '\n[link.remoteproc]\nnode = "&r5f0 /remoteproc/r5f@0"\n'
    made = parse(PROFILE + table).links[0].remoteproc
    assert made == model.Remoteproc(NodeRef("r5f0", ("/remoteproc/r5f@0",)), "", "daemon")
    made = parse(PROFILE + table + 'firmware = "a/b.elf"\nstart = "setup"\n').links[0].remoteproc
    assert made and (made.firmware, made.start) == ("a/b.elf", "setup")


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a b"])
def test_firmware_is_below_its_directory(name: str) -> None:
    text = f'\n[link.remoteproc]\nnode = "&r5f0"\nfirmware = "{name}"\n'
    with pytest.raises(RslError, match="is not the name of a file below /lib/firmware"):
        parse(PROFILE + text)
