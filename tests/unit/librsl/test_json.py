# SPDX-License-Identifier: BSD-3-Clause
"""The reader of manifests in rsl.h against Python's json."""

from __future__ import annotations

import errno
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.unit.librsl.support import DRIVER, built

#: As many arrays and objects may lie in one another.
DEPTH = 32


@dataclass(frozen=True)
class Answer:
    """What the reader says of a document and of what is at a path in it."""

    whole: int
    number: tuple[int, int]
    text: tuple[int, bytes]


class Reader:
    """The driver reading documents; started anew after a crash."""

    def __init__(self, driver: Path) -> None:
        self.driver = driver
        self.start()

    def start(self) -> None:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by end)
        self.process = subprocess.Popen(
            [self.driver, "json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
        )

    def read(self, document: bytes, path: str = "", size: int = 256) -> Answer:
        assert self.process.stdin
        assert self.process.stdout
        words = path.encode()
        head = f"{len(document)} {len(words)} {size}\n".encode()
        try:
            self.process.stdin.write(head + document + words)
            self.process.stdin.flush()
            lines = [self.process.stdout.readline().split() for _ in range(3)]
        except BrokenPipeError:
            lines = [[]]
        if lines[-1:] == [[]]:
            said = self.end()
            self.start()
            pytest.fail(f"the reader crashed: {said}")
        (_, whole), (_, number_rc, number), (_, text_rc, *text) = lines
        return Answer(
            int(whole),
            (int(number_rc), int(number)),
            (int(text_rc), bytes.fromhex(b"".join(text).decode())),
        )

    def end(self) -> str:
        """Let it end, which the sanitizer makes a failure of if memory leaked."""
        assert self.process.stdout
        try:
            self.process.communicate(timeout=20)
        except BrokenPipeError:
            self.process.wait(timeout=20)
        with self.errors as errors:
            errors.seek(0)
            return errors.read().decode(errors="replace")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    reader = Reader(built(DRIVER, tmp_path_factory.mktemp("librsl")))
    yield reader
    said = reader.end()
    assert (reader.process.returncode, said) == (0, "")


class _NotHereError(Exception):
    pass


def python_takes(document: bytes) -> bool:
    """Whether Python's json takes a document that has nothing in it that only it takes."""

    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    def good(value: Any, depth: int) -> bool:
        if isinstance(value, str):
            return not any("\ud800" <= char <= "\udfff" or char == "\0" for char in value)
        if isinstance(value, tuple):
            return depth < DEPTH and all(good(key, 0) and good(v, depth + 1) for key, v in value)
        if isinstance(value, list):
            return depth < DEPTH and all(good(item, depth + 1) for item in value)
        return True

    try:
        # Bytes above 127 are taken as they are, inside strings only.
        value = json.loads(
            document.decode("latin-1"), parse_constant=refuse, object_pairs_hook=tuple
        )
    except (ValueError, RecursionError):
        return False
    return good(value, 0)


def at_path(document: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(document, list):
            document = dict(zip(map(str, range(len(document))), document, strict=True))
        if not isinstance(document, dict) or key not in document:
            raise _NotHereError
        document = document[key]
    return document


def expected(document: Any, path: str, size: int) -> Answer:
    try:
        value = at_path(document, path)
    except _NotHereError:
        return Answer(0, (-errno.ENOENT, 0), (-errno.ENOENT, b""))
    number, text = (-errno.EPROTO, 0), (-errno.EPROTO, b"")
    if type(value) is int and 0 <= value < 2**64:
        number = (0, value)
    if isinstance(value, str):
        encoded = value.encode()
        short = len(encoded) >= size
        text = (-errno.ENOSPC if short else 0, encoded[: size - 1])
    return Answer(0, number, text)


KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ("version", "a.b", "0", "k" * 63, "k" * 64)
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-1, 2**65)
    | st.sampled_from((2**64 - 1, 2**64, 2**64 * 10))
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=30,
)


@st.composite
def paths(draw: st.DrawFn, document: Any) -> str:
    """Where something is in a document, or near it."""
    keys: list[str] = []
    while isinstance(document, list | dict) and document and draw(st.integers(0, 9)):
        if isinstance(document, list):
            document = dict(enumerate(document))
        key = draw(st.sampled_from(list(document)))
        keys.append(str(key))
        document = document[key]
    if not keys or not draw(st.integers(0, 5)):
        keys.append(draw(KEYS | st.sampled_from(("00", "-1", "12", "4294967296"))))
    return ".".join(keys)


@st.composite
def written(draw: st.DrawFn, document: Any) -> bytes:
    """A document, in one of the forms that Python writes it in."""
    return json.dumps(
        document,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from((None, 0, 2, "\t", "\r\n"))),
        separators=draw(st.sampled_from(((",", ":"), (" , ", "\n:\t")))),
    ).encode()


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_the_same_is_found_as_by_python(reader: Reader, data: st.DataObject) -> None:
    document = data.draw(DOCUMENTS)
    path = data.draw(paths(document))
    size = data.draw(st.integers(1, 30))
    answer = reader.read(data.draw(written(document)), path, size)
    wanted = expected(document, path, size)
    if any(len(key.encode()) > 63 for key in path.split(".")):
        wanted = expected(None, path, size)
    event(f"number {wanted.number[0]}, text {wanted.text[0]}")
    assert answer == wanted


#: What documents consist of, and what they must not have.
PIECES = st.sampled_from(
    [bytes([byte]) for byte in b'{}[]",:\\/ubfnrtdD8c0123456789.eE+- \t\n\r\x00\x1f\x7f\x80\xff']
    + [b"true", b"false", b"null", b"NaN", b"Infinity", b"\\u0000", b"\\ud834\\udd1e", b"\\udd1e"]
    + [
        b"\\u20AC",
        b"\\ud834",
        b"1e5",
        b"-0",
        b"01",
        b"[[[[",
        b"]]]]",
        b'"":',
        b"//",
        b"\xef\xbb\xbf",
    ]
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A document with a few bytes more, less, or others."""
    text = draw(DOCUMENTS.flatmap(written))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(start + 3, len(text))))
        text = text[:start] + draw(PIECES | st.just(b"")) + text[end:]
    return text[: draw(st.integers(0, len(text)))] if not draw(st.integers(0, 4)) else text


@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow])
@given(damaged() | st.lists(PIECES, max_size=12).map(b"".join) | st.binary(max_size=20), KEYS)
def test_what_python_refuses_is_refused_and_nothing_crashes(
    reader: Reader, document: bytes, path: str
) -> None:
    takes = python_takes(document)
    event(f"taken: {takes}")
    assert reader.read(document, path).whole == (0 if takes else -errno.EPROTO)


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_documents_are_nested_as_deeply_as_documented(
    reader: Reader, opening: bytes, closing: bytes
) -> None:
    for depth, whole in ((DEPTH, 0), (DEPTH + 1, -errno.EPROTO), (100_000, -errno.EPROTO)):
        document = opening * depth + b"1" + closing * depth
        assert reader.read(document).whole == whole
        assert reader.read(opening * depth).whole == -errno.EPROTO


def test_a_manifest_is_read_to_its_last_number(reader: Reader) -> None:
    assert reader.read(b'{"a":[7]}', "a.0").number == (0, 7)
    # Cut off, it is not read past its end to find more digits.
    assert reader.read(b'{"a":[7', "a.0").whole == -errno.EPROTO
    for bad in (b"-", b"1.", b"1e", b"1e+", b".5", b"+1", b"0x1", b"00"):
        assert reader.read(bad).whole == -errno.EPROTO


def test_characters_are_escaped_in_pairs_or_alone(reader: Reader) -> None:
    escaped = "\\u0041\\u00e9\\u20AC\\uD834\\udd1e\\/"
    answer = reader.read(f'["{escaped}"]'.encode(), "0")
    assert answer.text == (0, "A\u00e9\u20ac\U0001d11e/".encode())
    for bad in (
        "\\ud834",
        "\\ud834x",
        "\\ud834\\u0041",
        "\\udd1e",
        "\\udd1e\\udd1e",
        "\\u12g4",
        "\\u00",
        "\\x",
    ):
        assert reader.read(f'["{bad}"]'.encode(), "0").whole == -errno.EPROTO
