# SPDX-License-Identifier: BSD-3-Clause
"""The page of ``rslctl bench --report`` in a browser: Debian's Chromium, without a screen."""

from __future__ import annotations

import base64
import json
import random
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from rslctl.bench import measure, page

CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")
#: A phone and a desk.
WIDTHS = (400, 1200)

#: Says of a page how wide it is; what sticks out of the window, and what text out of its drawing;
#: of frames that have to be scrolled; the size of the smallest text in pixels as it is shown; heads
#: of tables with more than one line; and how many columns the grids have.
MEASURE = """
<script>
const root = document.documentElement;
const measured = found => parent.postMessage(JSON.stringify(found), "*");
const out = [...document.querySelectorAll("body *")].filter(
  each => each.getBoundingClientRect().right > innerWidth + 0.5
).map(each => each.tagName);
const texts = [...document.querySelectorAll("svg text, td, th, dd")].map(each => {
  const drawing = each.closest("svg");
  const scale = drawing ? drawing.getBoundingClientRect().width / drawing.viewBox.baseVal.width : 1;
  return parseFloat(getComputedStyle(each).fontSize) * scale;
});
const crossing = [...document.querySelectorAll("svg")].filter(drawing => {
  const boxes = [...drawing.querySelectorAll("text")].map(each => each.getBoundingClientRect());
  return boxes.some((a, i) => boxes.some((b, j) => i < j && a.width && b.width
    && a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom));
}).map(drawing => drawing.getAttribute("aria-label"));
const cut = [...document.querySelectorAll("svg text")].filter(each => {
  const text = each.getBoundingClientRect(), all = each.closest("svg").getBoundingClientRect();
  return text.left < all.left - 1 || text.right > all.right + 1 || text.bottom > all.bottom + 1;
}).map(each => each.textContent);
const heads = [...document.querySelectorAll("thead th")].filter(each => {
  const range = document.createRange();
  range.selectNodeContents(each);
  return new Set([...range.getClientRects()].map(line => line.top)).size > 1;
}).map(each => each.textContent);
const columns = [...document.querySelectorAll(".grid")].map(
  each => getComputedStyle(each).gridTemplateColumns.split(" ").length);
measured({
  cut, heads, columns: [...new Set(columns)],
  inner: innerWidth, scroll: root.scrollWidth, height: root.scrollHeight, out, crossing,
  frames: [...document.querySelectorAll(".table")].filter(
    each => each.scrollWidth > each.clientWidth).length,
  smallest: Math.min(...texts),
});
</script>
"""

#: A page in a frame. A window is never narrower than 500 pixels, a frame may be. What the page
#: tells is in the document then.
FRAME = """
<body style="margin: 0">
<script>
onmessage = told => {{ document.documentElement.dataset.measured = told.data; }};
</script>
<iframe src="page.html" style="border: 0; width: {width}px; height: {height}px"></iframe>
"""

#: Says of a picture how many of its pixels have which colour.
COUNT = """
<img src="data:image/png;base64,{data}">
<script>
onload = () => {{
  const picture = document.querySelector("img"), canvas = document.createElement("canvas");
  canvas.width = {width}; canvas.height = picture.naturalHeight;
  const drawing = canvas.getContext("2d");
  drawing.drawImage(picture, 0, 0);
  const data = drawing.getImageData(0, 0, canvas.width, canvas.height).data, found = {{}};
  for (let at = 0; at < data.length; at += 4) {{
    const colour = (data[at] << 16 | data[at + 1] << 8 | data[at + 2]).toString(16);
    found[colour] = (found[colour] || 0) + 1;
  }}
  document.documentElement.dataset.measured = JSON.stringify(found);
}};
</script>
"""


def times(middle: float, spread: float) -> dict[str, Any] | None:
    """Times as they are measured: most near to the middle, some much later."""
    chance = random.Random(middle)  # noqa: S311 - the same each time
    late = [1] * 60 + [9, 30]
    return measure.summary(
        [
            [
                int(chance.lognormvariate(0, spread) * middle * chance.choice(late))
                for _ in range(400)
            ]
            for _ in range(5)
        ]
    )


def run(factor: float = 1.0, **more: Any) -> dict[str, Any]:
    """A run as long and as wide as those of a board, whose times *factor* is a part of."""
    paths = [
        {
            "path": name,
            "kick": times(38_000 * each * factor, 0.15),
            "round_trip": times(258_000 * each * factor, 0.2),
            "wake": None if name == "uio" else times(91_000 * each * factor, 0.25),
            "kicks_per_second": round(21_000 / each / factor),
            "kicks": 5000,
            "kicks_coalesced": None if name == "uio" else 4312,
            "other_notifications": 0,
        }
        for name, each in (("chardev", 1.0), ("eventfd", 0.85), ("sysfs", 1.3), ("uio", 0.6))
    ]
    rates = {"private": 2811e6, "read": 143e6, "write": 512e6}
    return {
        "link": "rpu0",
        "vector": 0,
        "transport": "doorbell",
        "board": "qemu-virt",
        "date": "2026-01-02 03:04 UTC",
        "machine": "aarch64 with 1 CPU",
        "kernel": "6.12.48+deb13-arm64",
        "paths": paths,
        "memory": [
            {"copy": name, "block": measure.BLOCK, "bytes_per_second": rate}
            for name, rate in rates.items()
        ],
        **more,
    }


PAGES = {
    "one": [("this run", run())],
    "three": [
        ("before", run()),
        ("after", run(0.7, kernel="7.2.1-rt3-arm64")),
        ("a-rather-long-name-of-a-third-run-with-preempt-rt", run(1.2, board=None)),
    ],
}


def chromium(*arguments: str | Path) -> str:
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [*CHROMIUM, f"--user-data-dir={home}", *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    return done.stdout


def measured(path: Path, text: str) -> Any:
    """What a script in a page has found."""
    path.write_text(text)
    dom = chromium("--dump-dom", "--virtual-time-budget=5000", path)
    (found,) = re.findall('data-measured="(.*?)"', dom)
    return json.loads(found.replace("&quot;", '"').replace("&amp;", "&"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_report_fits_its_window_and_is_not_blank(tmp_path: Path, name: str, width: int) -> None:
    text = page.html(PAGES[name])
    shown = tmp_path / "page.html"
    shown.write_text(text + MEASURE)
    found = measured(tmp_path / "frame.html", FRAME.format(width=width, height=900))
    assert (found["inner"], found["scroll"]) == (width, width)
    assert (found["out"], found["frames"], found["crossing"]) == ([], 0, [])
    assert found["smallest"] >= 11.5
    assert found["cut"] == []
    # A name of a path is one line. Four paths are two and two.
    assert {each[:12] for each in found["heads"]} <= {"a-rather-lon"}
    assert found["columns"] == [2 if width > 1000 else 1]

    shown.write_text(text)
    height = found["height"]
    frame, picture = tmp_path / "frame.html", tmp_path / f"{name}-{width}.png"
    frame.write_text(FRAME.format(width=width, height=height))
    chromium(f"--window-size={max(width, 500)},{height}", f"--screenshot={picture}", frame)
    data = base64.b64encode(picture.read_bytes()).decode()
    colours = measured(tmp_path / "count.html", COUNT.format(data=data, width=width))
    total = sum(colours.values())
    assert total == width * height
    # It is light, there is something on it, and the runs have their colours.
    assert 0.75 < colours["ffffff"] / total < 0.98
    for colour in page._COLOURS[: len(PAGES[name])]:
        assert colours[f"{int(colour[1:], 16):x}"] > 500


@pytest.mark.parametrize("name", PAGES)
def test_a_report_can_be_printed(tmp_path: Path, name: str) -> None:
    (tmp_path / "page.html").write_text(page.html(PAGES[name]))
    printed = tmp_path / "page.pdf"
    chromium("--no-pdf-header-footer", f"--print-to-pdf={printed}", tmp_path / "page.html")
    pages = len(re.findall(rb"/Type /Page\b", printed.read_bytes()))
    # One run is two sheets: no third one has a line or two.
    assert pages == {"one": 2, "three": 5}[name]
