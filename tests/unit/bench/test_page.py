# SPDX-License-Identifier: BSD-3-Clause
"""The page of HTML. How it looks is tested in a browser: tests/system/test_pages.py."""

from __future__ import annotations

import copy
import itertools
import math
import operator
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rslctl.bench import measure, page, report

from tests.unit.bench.support import document

#: Elements that have no end.
VOID = ("meta", "col")


class Elements(HTMLParser):
    """The elements of a page, each with its attributes; whether all of them end is checked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def words(text: str) -> str:
    """What a page shows, without its elements."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]*>", " ", text, flags=re.DOTALL).split())


def test_a_page_names_link_board_and_kernel_and_needs_nothing_else() -> None:
    text = page.html([("this run", document())])
    found = Elements(text)
    shown = words(text)
    for told in ("link rpu0", "board qemu-virt", "kernel 6", "when 2026-01-02 03:04 UTC"):
        assert told in shown
    assert "this run" not in shown
    assert not re.search(r"(src|href)=|@import|url\(|<script", text)
    assert {each["viewbox"] for each in found.all("svg")} and all(
        each["aria-label"] for each in found.all("svg")
    )


def test_a_board_that_is_not_known_is_not_named() -> None:
    assert "board not set up by rslctl" in words(page.html([("", {**document(), "board": None})]))


def test_a_page_of_a_run_without_memory_says_nothing_of_it() -> None:
    assert "MB/s" not in page.html([("", document(memory=False))])
    assert "MB/s" in page.html([("", document())])


def test_one_run_compares_its_paths_and_several_are_compared_path_by_path() -> None:
    def captions(text: str) -> list[str]:
        return re.findall("<figcaption>(.*?)</figcaption>", text)

    one = page.html([("a", document())])
    # Of the measure "wake" the path uio has nothing.
    assert captions(one) == ["Paths compared"] * 3 + ["chardev", "uio"]
    two = page.html([("before", document()), ("after", document(3))])
    assert captions(two) == ["chardev", "uio", "chardev", "chardev", "uio", "chardev", "uio"]
    assert "ratio 1.00 3.00 ratio, min 1.00 3.00 ratio, max 1.00 3.00" in words(two)
    assert "before: kicks in a row" in words(two)


def drawings(text: str, measure: str) -> list[str]:
    """The drawings of a section."""
    (section,) = [each for each in text.split("<h2>") if each.startswith(measure)]
    return re.findall("<svg.*?</svg>", section)


@pytest.mark.parametrize("measure", ["Round trip, kick", "Interrupt", "The kick", "Round trips:"])
def test_the_drawings_of_a_section_have_one_axis(measure: str) -> None:
    slow = document(40)
    slow["paths"] = slow["paths"][:1]
    found = drawings(page.html([("before", document()), ("after", slow)]), measure)
    axes = [re.findall('class="grid-line" x1="(.*?)"', each) for each in found]
    labels = [re.findall('text-anchor="middle">(.*?)<', each) for each in found]
    assert len(axes[0]) > 1 and len(axes[0]) == len(labels[0])
    assert all(each == axes[0] for each in axes)
    assert all(each == labels[0] for each in labels)


@pytest.mark.parametrize("most", [1.5, 3, 9, 40, 1e3, 1e6, 1e15])
@pytest.mark.parametrize("least", [1, 110, 600, 95_000])
def test_labels_of_an_axis_are_below_their_lines_and_apart(least: float, most: float) -> None:
    parts = list(page._Axis(least, least * most).drawn(0, 10))
    lines = [float(x) for part in parts for x in re.findall('grid-line" x1="(.*?)"', part)]
    labels = [float(x) for part in parts for x in re.findall('<text.* x="(.*?)"', part)]
    assert lines == labels and 1 <= len(lines) <= page._TICKS
    assert all(after - x >= page._APART - 1 for x, after in itertools.pairwise(lines))


def test_a_histogram_says_what_its_height_is() -> None:
    steps = dict(document()["paths"][0]["round_trip"]["histogram"])
    share = f"{max(steps.values()) / sum(steps.values()):.0%}"
    assert f"tallest bar: {share} of 8 samples" in words(page.html([("", document())]))
    both = words(page.html([("a", document()), ("b", document())]))
    assert f"a tallest bar: {share} b" in both
    assert "logarithmic scale" in both


def test_a_long_name_keeps_both_ends() -> None:
    names = [f"a-run-of-a-kernel-with-a-long-name-{end}" for end in ("one", "two")]
    text = page.html([(name, document()) for name in names])
    heads = re.findall('<th scope="col" .*?>(.*?)</th>', text)
    assert set(heads) == {"a-run-of-a-ke\u2026-long-name-one", "a-run-of-a-ke\u2026-long-name-two"}
    assert {len(each) for each in heads} == {page._LABEL}
    assert all(name in text for name in names)


def test_columns_have_the_colours_of_their_runs_and_these_are_seen_on_white() -> None:
    text = page.html([("a", document()), ("b", document())])
    heads = re.findall('<th scope="col" style="border-bottom-color: (.*?)">(.*?)<', text)
    assert set(heads) == {(page._COLOURS[0], "a"), (page._COLOURS[1], "b")}
    assert "border-bottom-color" not in page.html([("a", document())])
    for colour in page._COLOURS:
        shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        light = [
            each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares
        ]
        luminance = sum(map(operator.mul, (0.2126, 0.7152, 0.0722), light))
        assert 1.05 / (luminance + 0.05) >= 3, colour


def test_what_is_not_known_is_a_dash_and_large_numbers_have_separators() -> None:
    run = document()
    run["paths"][0]["kicks_coalesced"] = None
    run["paths"][0]["round_trip"] = {**run["paths"][0]["round_trip"], "samples": 25_000}
    shown = words(page.html([("", run)]))
    assert "kicks/s coalesced chardev 10 \u2013 uio 10 25%" in shown
    assert "samples 25,000 8" in shown


def test_every_step_of_a_histogram_is_a_bar_as_high_as_its_share() -> None:
    found = Elements(page.html([("", document())]))
    bars = [(float(each["x"] or 0), float(each["height"] or 0)) for each in found.all("rect")]
    steps = document()["paths"][0]["round_trip"]["histogram"]
    assert len(bars) == 2 * len(steps)  # two paths
    heights = [height for _, height in bars[: len(steps)]]
    most = max(count for _, count in steps)
    assert heights == [pytest.approx(count / most * page._TALL, abs=0.1) for _, count in steps]
    assert [x for x, _ in bars[: len(steps)]] == sorted(x for x, _ in bars[: len(steps)])
    assert pytest.approx(measure.lower(21) / measure.lower(20), rel=0.01) == 2**page._STEP


def test_notifications_that_were_no_answers_are_told() -> None:
    run = document()
    run["paths"][0]["other_notifications"] = 4
    assert "chardev: 4 notifications were no answers" in words(page.html([("", run)]))


def test_names_in_a_run_are_shown_as_they_are() -> None:
    run = document()
    run["kernel"] = run["paths"][0]["path"] = "<b>&amp;"
    text = page.html([('"<i>', run), ("b", document())])
    assert "<b>" not in text and "<i>" not in text
    assert Elements(text)
    assert "kernel &lt;b&gt;&amp;amp; " in words(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths to all values in a document, but for its own."""
    below: dict[Any, Any] = value if isinstance(value, dict) else {}
    if isinstance(value, list):
        below = dict(enumerate(value))
    found = [each for key, inner in below.items() for each in places(inner, (*path, key))]
    return [path, *found] if path else found


@given(st.sampled_from(places(document())), JSON)
def test_whatever_a_run_holds_it_is_shown_or_refused(path: tuple[Any, ...], value: Any) -> None:
    spoilt = copy.deepcopy(document())
    place: Any = spoilt
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    try:
        report.check(spoilt)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        found = Elements(page.html([("a", spoilt), ("b", document())]))
        numbers = [
            float(value or "nan")
            for _, attributes in found.found
            for key, value in attributes.items()
            if key in ("x", "y", "x1", "y1", "x2", "y2", "cx", "width", "height")
        ]
        assert all(math.isfinite(each) and -1 < each < 1000 for each in numbers)
        assert list(report.run(spoilt))
