"""Fixtures of the learning tests: runners, some real digits and their classifier, pages in a browser."""

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Collection
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from backends.local import LocalBackend
from qcaan.execution.runner import Runner
from qcaan.execution.store import Store
from qcaan.learn.classifier import Classifier, load_classifier
from qcaan.learn.data import Images, load

MakeRunner = Callable[..., Runner]


class Page(HTMLParser):
    """A page of ours: ids, every attribute that could fetch something, the pictures, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.images: list[bytes] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name in ("src", "href", "srcset", "action", "xlink:href") and value:
                self.links.append(value)
                if value.startswith("data:image/png;base64,"):
                    self.images.append(base64.b64decode(value.partition(",")[2]))


@pytest.fixture
def make_runner() -> MakeRunner:
    """`make_runner(seed=1, **facts)`: a runner with a store of its own; `facts` replace those of the target."""

    def make(seed: int = 1, **facts: object) -> Runner:
        backend = LocalBackend()
        backend.target = dataclasses.replace(backend.target, **facts)
        return Runner(backend, store=Store.open(None), run="test", seed=seed)

    return make


@pytest.fixture(scope="session")
def mnist() -> Images:
    """The first images of MNIST, under its name: enough for every property, and fast."""
    whole = load()
    return dataclasses.replace(
        whole,
        train=whole.train[:1500],
        train_labels=whole.train_labels[:1500],
        test=whole.test[:1500],
        test_labels=whole.test_labels[:1500],
    )


@pytest.fixture(scope="session")
def classifier() -> Classifier:
    """The package's."""
    return load_classifier()


@pytest.fixture
def parse() -> type[Page]:
    """`parse(html)`."""
    return Page


_INSPECT = """
<iframe src="PAGE" style="border:0" width="360" height="700"></iframe>
<script>onload = () => {
  const page = frames[0].document, say = document.createElement("pre");
  say.textContent = JSON.stringify({
    ids: [...page.querySelectorAll("[id]")].map(one => one.id),
    images: [...page.images].map(one => one.naturalWidth),
    width: page.documentElement.scrollWidth,
    background: getComputedStyle(page.body).backgroundColor,
    ink: getComputedStyle(page.querySelector("svg")).color,
    requests: frames[0].performance.getEntriesByType("resource").map(one => one.name),
  });
  document.body.append(say);
}</script>
"""


@pytest.fixture
def on_a_phone(browse: Callable[..., tuple[str, list[str]]], tmp_path: Path) -> Callable[[Path, str], dict[str, Any]]:
    """`on_a_phone(page, "dark")`: what a browser makes of it, 360 pixels wide; it must not say a word about it."""

    def look(page: Path, scheme: str) -> dict[str, Any]:
        frame = tmp_path / "frame.html"
        frame.write_text(_INSPECT.replace("PAGE", page.as_uri()))
        colours = f"--blink-settings=preferredColorScheme={['dark', 'light'].index(scheme)}"
        dom, console = browse(frame.as_uri(), "--allow-file-access-from-files", colours)
        assert console == []
        seen: dict[str, Any] = json.loads(dom.partition("<pre>")[2].partition("</pre>")[0])
        return seen

    return look


@pytest.fixture(params=["dark", "light"])
def check_page(
    request: pytest.FixtureRequest, on_a_phone: Callable[[Path, str], dict[str, Any]]
) -> Callable[[Path, Collection[str], int], None]:
    """`check_page(page, ids, n_images)`: complete and readable on a phone, by day and by night, without the network."""

    def check(page: Path, ids: Collection[str], n_images: int) -> None:
        seen = on_a_phone(page, request.param)
        assert set(ids) <= set(seen["ids"])
        assert len(seen["images"]) == n_images
        assert min(seen["images"]) > 0
        assert seen["requests"] == []
        assert seen["width"] <= 360
        bright = {name: sum(map(int, re.findall(r"\d+", seen[name])[:3])) for name in ("background", "ink")}
        assert (bright["background"] < bright["ink"]) == (request.param == "dark")
        assert abs(bright["background"] - bright["ink"]) > 400

    return check
