# SPDX-License-Identifier: BSD-3-Clause
"""What a file is: a device tree blob in any legal form, or something else that is named."""

from __future__ import annotations

import gzip
import struct
import subprocess
from collections.abc import Callable

import fdt
import pytest
from rslctl.devicetree import blob
from rslctl.errors import RslError

from tests.unit.devicetree.support import BASE, dtc
from tests.unit.programs import needs_dtc

WORDS = ">10I"


@pytest.fixture(scope="module")
def whole() -> bytes:
    return dtc(BASE.replace("/dts-v1/;", "/dts-v1/;\n/memreserve/ 0x1000 0x10;"))


def header(data: bytes, **words: int) -> bytes:
    """The blob with other words in its header."""
    names = ("magic", "size", "structure", "strings", "reserved", "version", "compatible", "cpu")
    values = dict(zip((*names, "strings_size", "size_of"), struct.unpack_from(WORDS, data)))  # noqa: B905
    return struct.pack(WORDS, *{**values, **words}.values()) + data[40:]


@needs_dtc
def test_a_blob_is_read_as_the_package_fdt_reads_it(whole: bytes) -> None:
    read = blob.read(whole, "base")
    names = {path: [each.name for each in found] for path, _, found in fdt.parse_dtb(whole).walk()}
    assert {path: list(each) for path, each in read.nodes.items()} == names
    assert read.nodes["/"]["compatible"] == b"linux,dummy-virt\0"
    assert [(each.base, each.size) for each in read.reserved] == [(0x1000, 0x10)]


@needs_dtc
def test_what_libfdt_has_deleted_is_passed_over(whole: bytes, tmp_path: object) -> None:
    """fdt_nop_node() and fdt_nop_property() of libfdt put FDT_NOP over what they delete."""
    start = struct.unpack_from(WORDS, whole)[2]
    at = whole.index(b"v2m@8020000\0") - 4
    end = whole.index(struct.pack(">I", 2), at) + 4
    assert (at - start) % 4 == 0
    data = whole[:at] + struct.pack(">I", 4) * ((end - at) // 4) + whole[end:]
    assert "/intc@8000000/v2m@8020000" in blob.read(whole, "base").nodes
    left = blob.read(data, "base").nodes
    assert left.keys() == blob.read(whole, "base").nodes.keys() - {"/intc@8000000/v2m@8020000"}
    assert left["/intc@8000000"] == blob.read(whole, "base").nodes["/intc@8000000"]
    done = subprocess.run(
        ["dtc", "-q", "-I", "dtb", "-O", "dtb"], input=data, capture_output=True, check=True
    )
    assert blob.read(done.stdout, "dtc").nodes == left


@needs_dtc
def test_what_lies_behind_a_blob_and_version_16_are_no_fault(whole: bytes) -> None:
    assert blob.read(whole + b"padding", "base") == blob.read(whole, "base")
    assert blob.read(header(whole, version=16), "base") == blob.read(whole, "base")
    assert blob.read(header(whole, version=18, compatible=16), "base")


OTHERS: list[tuple[Callable[[bytes], bytes], str, str]] = [
    (lambda _: b"", "is empty", "--base takes a .dtb"),
    (lambda _: b"no tree", "is not a device tree blob: it begins with 6e 6f 20 74", "takes a .dt"),
    (lambda _: bytes(4096), "is not a device tree blob: it begins with 00 00 00 00", "takes"),
    (gzip.compress, "is compressed with gzip, not a device tree blob", "gunzip"),
    (lambda each: b"\x28\xb5\x2f\xfd" + each, "is compressed with zstd", "unzstd"),
    (lambda each: b"\x27\x05\x19\x56" + each, "is a U-Boot image (uImage)", "dumpimage"),
    (lambda each: b"\xd7\xb7\xab\x1e" + each, "is an Android table of device trees", "mkdtboimg"),
    (lambda each: b"MZ" + each, "is an EFI program or a kernel image", "--base takes a .dtb"),
    (lambda _: BASE.encode(), "is device tree source", "dtc -@ -I dts"),
    (
        lambda each: each[:4],
        "is a device tree blob that is cut short: it has 4 bytes of 40",
        "anew",
    ),
    (lambda each: each[:-1], "is a device tree blob that is cut short: it has ", "anew"),
    (
        lambda each: header(each, size=len(each) - 8),
        "is a damaged device tree blob: its header says that it has ",
        "anew",
    ),
    (lambda each: header(each, size=len(each) + 1), "that is cut short: it has ", "anew"),
    (lambda each: header(each, version=3), "its version is 3, expected 16 or 17", "anew"),
    (
        lambda each: header(each, version=99, compatible=99),
        "its version is 99, expected 16 or 17",
        "anew",
    ),
    (lambda each: b"\xd0\x0d\xfe\xed" * 20, "is a damaged device tree blob", "anew"),
    (lambda each: header(each, reserved=len(each) - 16), "damaged device tree blob", "anew"),
    (
        lambda each: each.replace(b"\0\0\0\x01intc", b"\0\0\0\x0aintc"),
        "its structure is wrong at byte",
        "anew",
    ),
]


@needs_dtc
@pytest.mark.parametrize(("made", "message", "hint"), OTHERS)
def test_what_is_no_whole_blob_is_named(
    made: Callable[[bytes], bytes], message: str, hint: str, whole: bytes
) -> None:
    with pytest.raises(RslError) as error:
        blob.read(made(whole), "base")
    assert str(error.value).startswith("base: is ")
    assert message in str(error.value)
    assert hint in error.value.hint
