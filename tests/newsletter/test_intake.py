"""From a source to stored pieces with their whole text."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Iterator

import pytest

from newsletter import pieces
from newsletter.config import FetchingConfig
from newsletter.fetching import Door
from newsletter.intake import MOST_PAGES, Intake, SourceReport
from newsletter.sandbox import Sandbox
from newsletter.store import Store
from newsletter.values import Piece, Source, TextOrigin
from tests.newsletter.feeds import Answer, Publisher, publisher
from tests.newsletter.makers import DAY


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


@pytest.fixture
def site() -> Iterator[Publisher]:
    with publisher() as served:
        yield served


@pytest.fixture
def intake(store: Store, sandbox: Sandbox, site: Publisher) -> Intake:
    door = Door(allow=[f"127.0.0.1:{site.port}"], timeout_seconds=5)
    return Intake(store, door, sandbox, FetchingConfig(), max_age_days=30)


def _source(site: Publisher, path: str = "/feed.xml") -> Source:
    return Source(site.base + path, f"Source {path}", site.base + path)


def _fetch(intake: Intake, site: Publisher, *paths: str, now: dt.datetime = DAY) -> list[SourceReport]:
    return intake.fetch([_source(site, path) for path in paths or ("/feed.xml",)], now)


def _item(site: Publisher, number: int, description: str, extra: str = "") -> str:
    return (
        f"<item><title>Piece {number} with a title of its own</title><link>{site.base}/p/{number}</link>"
        f"<guid>g{number}</guid>{extra}<description>{html.escape(description)}</description></item>"
    )


def _page(site: Publisher, number: int, words: int) -> None:
    sentence = f"Page {number} tells what the experiment of that number found in its run. "
    paragraphs = "".join(f"<p>{sentence * 3} Paragraph {n}.</p>" for n in range(words // 40))
    article = f"<article><h1>Title</h1>{paragraphs}</article>"
    body = f"<html><body><nav>Home About</nav>{article}<footer>Imprint</footer></body></html>"
    site.answers[f"/p/{number}"] = Answer(body.encode(), kind="text/html")


def _stored(store: Store) -> list[Piece]:
    with store.read() as session:
        return [candidate.piece for candidate in pieces.candidates(session, DAY + dt.timedelta(hours=2), 30)]


def test_a_whole_post_in_the_feed_is_the_text_and_no_page_is_asked_for(
    intake: Intake, site: Publisher, store: Store
) -> None:
    site.feed("/feed.xml", [site.item(1, words=400)])
    _fetch(intake, site)
    stored = _stored(store)[0]
    assert stored.origin == TextOrigin.FEED and stored.words > 300
    assert [path for path, _ in site.asked] == ["/feed.xml"]


def test_a_description_becomes_the_text_of_its_page(intake: Intake, site: Publisher, store: Store) -> None:
    site.feed("/feed.xml", [_item(site, 1, "The beginning of it, and then...")])
    _page(site, 1, 600)
    _fetch(intake, site)
    stored = _stored(store)[0]
    assert stored.origin == TextOrigin.PAGE and stored.words > 400 and stored.note == ""
    assert "Imprint" not in stored.text


def test_a_long_description_that_is_cut_off_is_no_full_text(intake: Intake, site: Publisher, store: Store) -> None:
    site.feed(
        "/feed.xml",
        [_item(site, 1, "A sentence that is said again and again. " * 60 + "</p><p><a href='/p/1'>Read more</a>")],
    )
    _page(site, 1, 800)
    _fetch(intake, site)
    assert _stored(store)[0].origin == TextOrigin.PAGE


def test_a_page_with_less_than_the_feed_leaves_the_feeds_text_and_a_note(
    intake: Intake, site: Publisher, store: Store
) -> None:
    site.feed("/feed.xml", [_item(site, 1, "A description of the piece in a few words.")])
    site.answers["/p/1"] = Answer(b"<html><body><p>Please sign in to read on.</p></body></html>", kind="text/html")
    _fetch(intake, site)
    stored = _stored(store)[0]
    assert stored.origin == TextOrigin.DESCRIPTION and "words of text were found on it" in stored.note


def test_pieces_beyond_the_age_limit_ask_for_no_page(intake: Intake, site: Publisher, store: Store) -> None:
    site.feed("/feed.xml", [_item(site, 1, "Old.", "<pubDate>Mon, 01 Jan 2024 00:00:00 GMT</pubDate>")])
    _fetch(intake, site)
    assert [path for path, _ in site.asked] == ["/feed.xml"]


def test_a_feed_of_many_new_pieces_asks_for_so_many_pages_and_the_rest_the_next_time(
    intake: Intake, site: Publisher, store: Store
) -> None:
    count = MOST_PAGES + 5
    site.feed("/feed.xml", [_item(site, n, f"Short number {n}.") for n in range(count)])
    for number in range(count):
        _page(site, number, 400)
    _fetch(intake, site)
    assert sum(p.origin == TextOrigin.PAGE for p in _stored(store)) == MOST_PAGES
    _fetch(intake, site, now=DAY + dt.timedelta(hours=1))
    assert sum(p.origin == TextOrigin.PAGE for p in _stored(store)) == count


def test_one_slow_source_delays_the_others_by_no_more_than_its_limit(
    store: Store, sandbox: Sandbox, site: Publisher
) -> None:
    site.feed("/feed.xml", [site.item(1)])
    site.answers["/slow.xml"] = Answer(b"", seconds=3)
    door = Door(allow=[f"127.0.0.1:{site.port}"], timeout_seconds=1)
    reports = _fetch(Intake(store, door, sandbox, FetchingConfig(), 30), site, "/slow.xml", "/feed.xml")
    assert [report.status for report in reports] == ["failed", "read"]


def test_the_same_piece_in_two_sources_is_stored_once_in_the_configured_order(intake: Intake, site: Publisher) -> None:
    site.feed("/a.xml", [site.item(1)])
    site.feed("/b.xml", [site.item(1).replace("/posts/1", "/other/1").replace("post-1", "other-1")])
    site.answers["/a.xml"].seconds = 0.3
    first, second = _fetch(intake, site, "/a.xml", "/b.xml")
    assert (len(first.new), len(second.new), len(second.merged)) == (1, 0, 1)


def test_markup_in_titles_and_names_is_gone_before_it_is_stored(intake: Intake, site: Publisher, store: Store) -> None:
    body = site.item(1, title="<b>Bold</b> &amp; <script>alert(1)</script>\u202eevil\u0092s")
    site.feed("/feed.xml", [body])
    _fetch(intake, site)
    title = _stored(store)[0].title
    assert "<b>" not in title and "\u202e" not in title and "\u0092" not in title
    assert title.startswith("Bold &")


def test_an_edited_item_stays_as_it_was_first_seen(intake: Intake, site: Publisher, store: Store) -> None:
    site.feed("/feed.xml", [site.item(1, title="First words for this one")])
    _fetch(intake, site)
    site.feed("/feed.xml", [site.item(1, title="Quite other words for it")])
    report = _fetch(intake, site)[0]
    assert (report.status, report.new, report.known) == ("read", (), 1)
    assert [p.title for p in _stored(store)] == ["First words for this one"]
