"""The contract of every kind of source, found by listing the folder, and how an answer finds its kind."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from newsletter import sources
from newsletter.sandbox import Sandbox
from newsletter.sources import Entry, NotAFeed
from newsletter.values import Source

SOURCE = Source("key", "Field Notes", "https://notes.example.com/feed.xml")
FEED = b"""<?xml version="1.0"?><rss version="2.0"><channel><title>Notes of a lab</title>
<item><title>One</title><link>/one</link></item></channel></rss>"""
ARXIV = b"""<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom"><title>cs.AI</title>
<id>http://rss.arxiv.org/atom/cs.AI</id>
<entry><title>P</title><id>oai:arXiv.org:2601.00001v1</id><link href="https://arxiv.org/abs/2601.00001"/></entry></feed>"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


class Counting:
    """The sandbox's call, which notes how often it was made."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.calls: list[str] = []

    def __call__(self, function: str, /, *arguments: Any, **named: Any) -> Any:
        self.calls.append(function)
        return self.sandbox.call(function, *arguments, **named)


def test_every_file_of_the_folder_is_a_kind() -> None:
    files = {file.stem for file in Path(sources.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(sources.kinds()) == files and {"feed", "arxiv"} <= files


def test_an_unknown_kind_is_named(sandbox: Sandbox) -> None:
    with pytest.raises(KeyError, match="gopher"):
        sources.load("gopher")
    with pytest.raises(KeyError, match="gopher"):
        sources.read(Source("k", "n", "https://a.example.com", kind="gopher"), FEED, "", sandbox.call)


@pytest.mark.parametrize("kind", sources.kinds())
def test_a_kind_has_the_four_functions_of_the_contract(kind: str) -> None:
    module = sources.load(kind)
    for name in ("parse", "certainty", "entries", "adopt"):
        wanted = list(inspect.signature(getattr(sources.Kind, name)).parameters)[1:]
        assert list(inspect.signature(getattr(module, name)).parameters) == wanted
        assert inspect.getdoc(getattr(module, name))


@pytest.mark.parametrize("kind", sources.kinds())
@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<html><body>hello</body></html>", b'{"items": []}', b"\x89PNG\r\n", b"x"]
)
def test_a_kind_refuses_what_holds_no_pieces_in_one_line(kind: str, body: bytes, sandbox: Sandbox) -> None:
    source = Source("key", "name", "https://notes.example.com/", kind=kind)
    with pytest.raises(NotAFeed) as caught:
        sources.read(source, body, "text/html", sandbox.call)
    assert str(caught.value).isprintable() and len(str(caught.value)) > 10


@pytest.mark.parametrize("kind", sources.kinds())
def test_what_a_kind_parses_can_be_carried_by_json_and_gives_entries(kind: str) -> None:
    module = sources.load(kind)
    for body in (FEED, ARXIV):
        parsed = json.loads(json.dumps(module.parse(body, "application/xml", "https://notes.example.com/feed.xml")))
        assert parsed["refusal"] == "" and isinstance(parsed["title"], str)
        assert module.certainty(parsed) in (0, 1, 2)
        entries, notes = module.entries(parsed, SOURCE)
        assert all(isinstance(entry, Entry) and entry.source == SOURCE for entry in entries) and notes == []


@pytest.mark.parametrize("kind", sources.kinds())
def test_a_kind_leaves_the_entries_of_others_alone(kind: str) -> None:
    entry = Entry("T", "https://nobody.example.com/1", "g", ("A",), None, (), "<p>c</p>", "s", False, SOURCE)
    assert sources.load(kind).adopt(entry) is entry


def test_a_source_without_kind_is_recognised_and_parsed_once(sandbox: Sandbox) -> None:
    for body, kind in ((FEED, "feed"), (ARXIV, "arxiv")):
        counting = Counting(sandbox)
        assert sources.read(SOURCE, body, "application/xml", counting).kind == kind
        assert counting.calls == ["newsletter.sources.feed:parse"]


def test_a_source_that_names_its_kind_is_read_as_that(sandbox: Sandbox) -> None:
    source = Source("key", "name", "https://notes.example.com/", kind="feed")
    assert sources.read(source, ARXIV, "", sandbox.call).kind == "feed"


def test_a_feed_without_title_has_the_name_of_its_source(sandbox: Sandbox) -> None:
    body = b"<rss version='2.0'><channel></channel></rss>"
    reading = sources.read(SOURCE, body, "", sandbox.call)
    assert (reading.title, reading.entries, reading.skipped) == ("Field Notes", (), ())


def test_relative_links_are_taken_from_where_the_redirects_led(sandbox: Sandbox) -> None:
    urls = [
        sources.read(SOURCE, FEED, "", sandbox.call, url).entries[0].url
        for url in ("", "https://moved.example.com/deep/feed.xml")
    ]
    assert urls == ["https://notes.example.com/one", "https://moved.example.com/one"]


def test_the_parent_never_loads_feedparser() -> None:
    code = """import sys; from newsletter import sources
for kind in sources.kinds(): sources.load(kind)
print("feedparser" in sys.modules)"""
    checkout = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=checkout)
    assert done.stdout == "False\n"
