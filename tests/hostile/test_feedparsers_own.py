"""What feedparser's authors try their parser with, through ours: nothing crashes, and what it reads we keep.

`CORPUS_DIR` names a folder that holds a checkout of https://github.com/kurtmckee/feedparser as ``feedparser``.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import feedparser
import pytest

from newsletter.sandbox import Sandbox
from newsletter.sources.feed import MAX_ENTRIES

_FOLDER = Path(os.environ.get("CORPUS_DIR", "")) / "feedparser" / "tests"
_HEADER = re.compile(rb"^Header:\s*Content-type:(.*)$", re.MULTILINE | re.IGNORECASE)
_TAG, _WEB = re.compile("<[^<>]*>"), re.compile("https?://")
_LONGEST_SECONDS = 5.0
_URL = "http://feeds.example.com/feed.xml"
_NO_FEED = re.compile("empty|JSON|web page|neither RSS nor Atom|damaged feed without a single whole entry")


@dataclass
class Figures:
    """What was tried, and what came of it."""

    files: int = 0
    refused: int = 0
    nameless: int = 0
    read: int = 0
    kept: int = 0
    slowest: float = 0.0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"feedparser's own feeds: {self.files} files, {self.refused} of them no feed to us; {self.read} entries"
            f" with a title or a link, {self.kept} kept; {self.nameless} with neither; slowest {self.slowest:.2f} s"
        )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A child with the limits of the product."""
    with Sandbox(workers=1) as made:
        yield made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.skipif(not _FOLDER.is_dir(), reason="CORPUS_DIR holds no checkout of feedparser: its feeds were not tried")
def test_no_feed_of_feedparsers_own_crashes_us_and_what_it_reads_we_keep(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = Figures()
    for path in sorted(path for path in _FOLDER.rglob("*") if path.suffix in {".xml", ".json"}):
        _try(path, sandbox, figures)
    with capsys.disabled():
        print(f"\n{figures}")
    assert figures.files > 1_000 and figures.slowest < _LONGEST_SECONDS
    assert figures.lost == []


def _try(path: Path, sandbox: Sandbox, figures: Figures) -> None:
    body = path.read_bytes()
    header = _HEADER.search(body)
    kind = header[1].decode("ascii", "replace").strip() if header else "application/xml"
    found = _read_by_feedparser(body, kind)
    expected = [entry for entry in found if _TAG.sub("", entry["title"]).strip() or _WEB.match(entry["link"])]
    began = time.monotonic()
    ours = sandbox.call("newsletter.sources.feed:parse", body, content_type=kind, url=_URL)
    figures.slowest = max(figures.slowest, time.monotonic() - began)
    figures.files += 1
    figures.refused += bool(ours["refusal"])
    figures.read += len(expected)
    figures.nameless += len(found) - len(expected)
    kept = [entry for entry in ours["entries"] if entry["title"] or entry["url"]]
    figures.kept += min(len(kept), len(expected))
    if ours["refusal"]:
        assert _NO_FEED.search(ours["refusal"])
    if len(kept) < len(expected):
        figures.lost.append(f"{path.relative_to(_FOLDER)}: {len(kept)} of {expected}, {ours['refusal']}")


def _read_by_feedparser(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """The titles and links of the entries. Of use to us is a title with a letter outside its tags, or a web address."""
    headers = {"content-type": content_type, "content-location": _URL}
    found = feedparser.parse(io.BytesIO(body), response_headers=headers)
    return [{name: entry.get(name) or "" for name in ("title", "link")} for entry in found.entries[:MAX_ENTRIES]]
