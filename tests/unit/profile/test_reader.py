# SPDX-License-Identifier: BSD-3-Clause
"""Board profiles: found, extended and read, and what is said of a mistake."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.errors import RslError
from rslctl.linux.host import Host
from rslctl.profile import model, reader, toml
from rslctl.profile.model import NodeRef
from rslctl.region import Region

from tests.unit import REPOSITORY
from tests.unit.profile.support import PROFILE, parse, write


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


def test_the_cells_of_an_interrupt_are_a_gics_unless_they_are_given() -> None:
    assert parse(PROFILE).interrupt_cells == 3
    assert parse(f"interrupt-cells = 1\n{PROFILE}").interrupt_cells == 1
    with pytest.raises(RslError, match="interrupt-cells: 0x5 is not between 0x1 and 0x4"):
        parse(f"interrupt-cells = 5\n{PROFILE}")


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


VIRTIO = (
    PROFILE
    + """
[link.virtio]
version = 2
devices = ["vsock,cid=42", "blk,region=0x100000"]
"""
)


def test_a_profile_has_words_of_virtio_devices_and_the_version_of_their_registers() -> None:
    (link,) = parse(VIRTIO).links
    assert link.virtio == model.Virtio(
        ("vsock,cid=42", "blk,region=0x100000"), device_tree=False, version=2
    )
    (link,) = parse(VIRTIO.replace("version = 2", "device-tree = true")).links
    assert link.virtio
    assert (link.virtio.device_tree, link.virtio.version) == (True, 1)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("version = 2", "version = 3", "link[0].virtio.version: 0x3 is not between 0x1 and 0x2"),
        (
            "version = 2",
            "version = 2\ndevice-tree = true",
            "virtio.device-tree: true is for version 1; version 2 has no device tree",
        ),
        ('"vsock,cid=42"', '"vsok"', "virtio.devices: 'vsok' is not one of net, blk, console, "),
        ("cid=42", "cid=1", "'vsock,cid=1': 'cid=1' is not cid=VALUE with a decimal number from 3"),
        ("=0x100000", "=0x1000000", "0x1020000 bytes are needed, the shared memory has 0x1000000"),
        ("=0x100000", "=0x1000", "'blk,region=0x1000': its 1 queues of 128 do not fit into"),
    ],
)
def test_a_mistake_about_virtio_devices_is_named(old: str, new: str, message: str) -> None:
    assert VIRTIO.count(old) == 1
    with pytest.raises(RslError) as error:
        parse(VIRTIO.replace(old, new))
    assert message in str(error.value)


REMOTEPROC = (
    PROFILE
    + """
[link.remoteproc]
node = "&m4 /m4"
mode = "split"
regions = [{ base = 0x60000000, size = 0x1000 }, { base = 0x61000000, size = 0x1000 }]
dma-pool = { base = 0x62000000, size = 0x1000 }
memory-region = ["&pool", "&code /reserved-memory/code@0"]
"""
)


def test_a_remotes_regions_are_the_links() -> None:
    (link,) = parse(REMOTEPROC).links
    assert link.remoteproc
    assert link.remoteproc.mode == "split"
    assert link.remoteproc.memory_region == (
        NodeRef("pool"),
        NodeRef("code", ("/reserved-memory/code@0",)),
    )
    assert link.regions() == [
        ("memory", Region(0x70000000, 0x1000000)),
        ("region0", Region(0x60000000, 0x1000)),
        ("region1", Region(0x61000000, 0x1000)),
        ("dma_pool", Region(0x62000000, 0x1000)),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"split"', '"splt"', "remoteproc.mode: 'splt' is not one of 'split', 'lockstep', "),
        ('"&pool"', '"pool"', "remoteproc.memory-region: 'pool' is not a node's label"),
        (
            "0x61000000, size = 0x1000",
            "0x60000000, size = 0x1000",
            ":17: link[0].remoteproc: 0x60000000, 0x1000 bytes, overlaps region0 at 0x60000000",
        ),
        (
            "0x62000000, size = 0x1000",
            "0x70000000, size = 0x1000",
            "link[0].remoteproc: 0x70000000, 0x1000 bytes, overlaps memory at 0x70000000",
        ),
        ("0x62000000, size = 0x1000", "0x62000000, size = 0x10", "dma-pool.size: 0x10 is not a"),
        ("0x61000000, size = 0x1000", "0x61000000", "remoteproc.regions[1].size: is missing"),
        (
            "0x61000000",
            "0x161000000",
            "link[0].remoteproc: 0x161000000, 0x1000 bytes, is outside what the remote reaches",
        ),
    ],
)
def test_a_mistake_about_the_remotes_regions_is_named(old: str, new: str, message: str) -> None:
    assert old in REMOTEPROC
    with pytest.raises(RslError) as error:
        parse(REMOTEPROC.replace(old, new))
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'extends = "zcu12"\n',
            r":1: extends: unknown board 'zcu12' \(did you mean 'zcu102' or 'zcu104'\?",
        ),
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
    assert set(reader.known(Host(tmp_path))) == {"mine", *reader.built_in()}
    assert reader.load("mine", Host(tmp_path)).description == "a board"
    assert reader.load("zcu102", Host(tmp_path)).description == "a board"


def test_an_image_cannot_lead_to_profiles_outside_of_it(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside/mine.toml", PROFILE)
    image = tmp_path / "image"
    (image / "etc/rslctl").mkdir(parents=True)
    (image / "etc/rslctl/boards").symlink_to(outside.parent)
    assert set(reader.known(Host(image))) == set(reader.built_in())
    (image / "etc/rslctl/boards").unlink()
    (image / "etc/rslctl/boards").mkdir()
    (image / "etc/rslctl/boards/mine.toml").symlink_to(outside)
    with pytest.raises(RslError, match=r"cannot read .*mine.toml': No such file"):
        reader.load("mine", Host(image))
    (image / "etc/rslctl/boards/mine.toml").unlink()
    write(image / "etc/rslctl/boards/mine.toml", f'extends = "../../../../{outside}"\n')
    with pytest.raises(RslError, match="No such file"):
        reader.load("mine", Host(image))


def test_a_board_of_ones_own_takes_less_than_25_lines() -> None:
    text = (REPOSITORY / "README.md").read_text()
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(example.splitlines()) < 25
    made = reader.parse(toml.read(example, "README.md"), "imx8mm-evk")
    assert made.links[0].vectors == 3


def test_a_machines_own_profile_may_extend_the_one_it_goes_before(tmp_path: Path) -> None:
    write(tmp_path / "etc/rslctl/boards/zcu102.toml", 'extends = "zcu102"\ndescription = "ours"\n')
    assert reader.load("zcu102", Host(tmp_path)).description == "ours"
    # Those that extend it have it, too.
    assert reader.load("kv260", Host(tmp_path)).links == reader.load("zcu102").links


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


IVSHMEM = """\
description = "two machines"

[[link]]
name = "vm0"

[link.ivshmem]
size = 0x100000
vectors = 2
role = "remote"
"""


def test_a_link_to_another_machine_has_the_memory_before_the_table() -> None:
    board = parse(IVSHMEM)
    (link,) = board.links
    assert link.ivshmem == model.Ivshmem(vectors=2, role="remote")
    assert (link.memory, link.vectors, link.transport) == (Region(0, 0xF0000), 2, "ivshmem")
    assert (link.seen(link.memory), link.offers) == (link.memory, {})
    assert (board.has_tree, board.compatible) == (False, ())
    by = parse(f'{IVSHMEM}address = "0000:00:04.0"\n').links[0].ivshmem
    assert by == model.Ivshmem(2, "remote", "0000:00:04.0")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("0x100000", "0x30000", "size: 0x30000 is not a power of two"),
        ("0x100000", "0x10000", "size: 0x10000 is not between 0x20000"),
        ("vectors = 2", "vectors = 33", "vectors: 0x21 is not between 0x1 and 0x20"),
        ('"remote"', '"guest"', "role: 'guest' is not one of 'daemon', 'remote'"),
        ("size", 'address = "4.0"\nsize', "address: '4.0' is no PCI address, as '0000:00:04.0'"),
        ("size", 'address = "0000:00:04.0"\ninstance = 1\nsize', "instance: goes without address"),
        ("[link.iv", "[link.memory]\nbase = 0\nsize = 0x1000\n[link.iv", "memory"),
        ("[[link]]", 'compatible = "x"\n[[link]]', "compatible"),
        ("[[link]]", 'disable = ["/soc"]\n[[link]]', "disable: is not known here"),
        ("[[link]]", 'enable = ["/soc"]\n[[link]]', "enable: is not known here"),
        ("[[link]]", "interrupt-cells = 3\n[[link]]", "interrupt-cells: is not known here"),
    ],
)
def test_what_no_link_to_another_machine_can_be_is_told(old: str, new: str, said: str) -> None:
    with pytest.raises(RslError, match=re.escape(said)):
        parse(IVSHMEM.replace(old, new, 1))


def test_links_of_a_board_are_all_to_other_machines_or_none() -> None:
    other = PROFILE[PROFILE.index("[[link]]") :]
    with pytest.raises(RslError, match="a board has links of ivshmem or others, not both"):
        parse(IVSHMEM + other)
    second = IVSHMEM[IVSHMEM.index("[[link]]") :].replace("vm0", "vm1").replace("remote", "daemon")
    with pytest.raises(RslError, match="ivshmem: is the device of another link, too"):
        parse(IVSHMEM + second)
    assert len(parse(f"{IVSHMEM}{second}instance = 1\n").links) == 2


def test_a_profile_that_extends_ivshmem_names_the_device_by_its_address(tmp_path: Path) -> None:
    text = 'extends = "ivshmem"\n[[link]]\nname = "vm0"\n[link.ivshmem]\naddress = "0000:00:05.0"\n'
    made = reader.load(str(write(tmp_path / "mine.toml", text)))
    assert made.links[0].ivshmem == model.Ivshmem(4, "daemon", "0000:00:05.0")


@pytest.mark.parametrize("text", ["link = [1]", "link = 1", 'link = "ivshmem"', "link = [[1]]"])
def test_what_is_no_table_of_a_link_is_told(text: str) -> None:
    with pytest.raises(RslError, match="link"):
        parse(f'description = "x"\ncompatible = "x"\n{text}\n')
