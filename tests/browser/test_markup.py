"""Texts that want to be more than text, all at once, in a real browser: nothing runs, and nothing is asked for.

The pages are opened without the policy that would forbid what they hold: the escaping alone keeps it quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from newsletter.store import open_store
from tests.browser.conftest import Open
from tests.hostile import payloads
from tests.hostile.payloads import OWN, innocent
from tests.hostile.places import Documents, Stage

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Dialog, Page, Route

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BASE = "http://127.0.0.1/"
OURS = ("/mark.svg",)
"""What a page asks for by itself: the mark in the browser's tab."""
IN_ONE_LETTER = 15
SHAPE = """
() => {
  const nodes = [], walker = document.createTreeWalker(document, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_COMMENT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const depth = (function of(one) { return one ? 1 + of(one.parentNode) : 0 })(node);
    nodes.push(`${depth} ${node.nodeName} ${[...(node.attributes ?? [])].map(one => one.name).sort().join(' ')}`);
  }
  return nodes;
}
"""
"""The elements and comments of a page as the browser made them, each with its depth and the names of its attributes."""
TOUCH = """
() => {
  for (const element of document.querySelectorAll('body *')) {
    for (const name of ['mouseover', 'pointerenter', 'focus', 'toggle', 'animationstart']) {
      element.dispatchEvent(new Event(name, {bubbles: true}));
    }
  }
}
"""


@dataclass
class Watch:
    """What a page did beside being shown."""

    heard: list[str] = field(default_factory=list)
    markup: str = ""

    def open(self, page: Page, markup: str) -> list[str]:
        """Show a document and touch everything on it. Returns its shape."""
        self.markup = markup
        page.goto(BASE, wait_until="load")
        # The preview has a script of its own, which shows the mail in a frame: a mail's scripts must not run there.
        page.evaluate(TOUCH)
        page.wait_for_timeout(50)
        shape: list[str] = page.evaluate(SHAPE)
        return shape

    def answer(self, route: Route) -> None:
        """Give out the document, and nothing else."""
        url = route.request.url
        if url == BASE and route.request.is_navigation_request():
            route.fulfill(body=self.markup, content_type="text/html; charset=utf-8")
            return
        if url.removeprefix(BASE.rstrip("/")) not in OURS:
            self.heard.append(f"asked for {url}")
        route.abort()

    def say(self, message: ConsoleMessage) -> None:
        """Keep what a page writes on its console, but that its mark was not given to it."""
        if "ERR_FAILED" not in message.text:
            self.heard.append(f"said {message.text}")

    def ask(self, dialog: Dialog) -> None:
        """Keep what a page shows in a window of the browser's."""
        self.heard.append(f"showed {dialog.message}")
        dialog.dismiss()


@pytest.fixture(scope="module")
def watched(open_page: Open) -> Iterator[tuple[Page, Watch]]:
    """A page whose every act is kept."""
    with open_page() as page:
        watch = Watch()
        page.route("**/*", watch.answer)
        page.on("console", watch.say)
        page.on("dialog", watch.ask)
        page.on("pageerror", lambda error: watch.heard.append(f"raised {error.message}"))
        yield page, watch


@pytest.mark.parametrize("collection", ["own", *payloads.NAMES])
def test_whatever_is_said_nothing_runs_and_nothing_is_asked_for(
    watched: tuple[Page, Watch], tmp_path: Path, collection: str
) -> None:
    texts = OWN if collection == "own" else payloads.corpora().get(collection)
    if texts is None:
        pytest.skip(f"CORPUS_DIR names no folder, so the payloads of {collection} were not tried")
    empty = tmp_path / "empty.sqlite3"
    open_store(f"sqlite:///{empty}").close()
    page, watch = watched
    hostile, harmless = (documents(Stage(texts, mean, empty, tmp_path)) for mean in (str, innocent))
    for place, markup in hostile.items():
        shown = watch.open(page, markup)
        assert (watch.heard, place) == ([], place)
        assert shown == watch.open(page, harmless[place]), place
    assert watch.heard == []


def test_the_watch_hears_what_it_listens_for(watched: tuple[Page, Watch]) -> None:
    page, watch = watched
    markup = "<script>alert(1); console.log(2); fetch('/3'); throw Error(4)</script><a onmouseover='alert(5)'>x</a>"
    watch.open(page, f"<!doctype html><body>{markup}")
    heard, watch.heard = set(watch.heard), []
    assert heard >= {"showed 1", "said 2", f"asked for {BASE}3", "raised 4", "showed 5"}


def documents(stage: Stage) -> Documents:
    """Every page and mail of a stage, with as many texts in each as it can hold."""
    made: Documents = {}
    for start, texts in stage.batches():
        made[f"mail {start}"] = stage.mail(start, texts)["mail"]
    for start, texts in stage.batches(60):
        made |= {
            f"{place} {start}": markup for place, markup in stage.pages(start, texts).items() if "xml" not in place
        }
        made[f"preview {start}"] = stage.preview(start, texts)["preview"]
    for start, texts in stage.batches(IN_ONE_LETTER):
        made[f"letter {start}"] = stage.letters("\n".join(texts))["letter approval"]
    return made
