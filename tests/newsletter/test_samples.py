"""The bundled samples are what the demo promises: ten pieces of the kinds named, served on loopback."""

from __future__ import annotations

import calendar
import datetime as dt
import http.client
import re
import threading
from dataclasses import dataclass
from typing import Any

import feedparser
import lxml.html
import pytest

from newsletter import samples
from newsletter.config import DEFAULT_TOPICS
from newsletter.values import count_words

PAGE = (samples.QUARTERLY_HOST, "/2026/05/two-hundred-approvals-an-hour")
OLD = "Held-out is not unseen: three leaks in our own fine-tuning data"
ANNOUNCEMENT = "Sponsored: an evening for ML engineers in Ghent, 18 June"
CROSS_POSTED = "Nine points from a timeout: what moved our agent benchmark"
REPRINT = "Nine points from a timeout: what moved an agent benchmark (reprint)"
FRAGMENT = "What human oversight catches at 200 approvals an hour"


@dataclass(frozen=True)
class Entry:
    """One entry as feedparser reads it."""

    title: str
    link: str
    guid: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    published: dt.datetime
    html: str

    @property
    def text(self) -> str:
        return text_of(self.html)


def text_of(html: str) -> str:
    return " ".join(lxml.html.fromstring(f"<div>{html}</div>").itertext())


def parse(source_index: int) -> Any:
    url = samples.SOURCES[source_index].url.removeprefix("http://")
    host, _, path = url.partition("/")
    return feedparser.parse(samples.site()[host, f"/{path}"].body)


def entry_of(item: Any) -> Entry:
    return Entry(
        title=item.title,
        link=item.link,
        guid=item.id,
        authors=tuple(author.name for author in item.authors),
        categories=tuple(tag.term for tag in item.tags),
        published=dt.datetime.fromtimestamp(calendar.timegm(item.published_parsed), dt.UTC),
        html=item.content[0].value if "content" in item else item.summary,
    )


@pytest.fixture(scope="module")
def entries() -> dict[str, Entry]:
    found = [entry_of(item) for index in range(2) for item in parse(index).entries]
    return {entry.title: entry for entry in found}


def page() -> Any:
    return lxml.html.fromstring(samples.site()[PAGE].body.decode())


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


@pytest.mark.parametrize(("index", "version"), [(0, "rss20"), (1, "atom10")])
def test_each_feed_is_well_formed_and_holds_five_pieces(index: int, version: str) -> None:
    feed = parse(index)
    assert not feed.bozo
    assert feed.version == version
    assert feed.feed.title == samples.SOURCES[index].name
    assert len(feed.entries) == 5


def test_no_two_pieces_share_title_link_or_guid(entries: dict[str, Entry]) -> None:
    assert len(entries) == 10
    assert len({entry.link for entry in entries.values()}) == 10
    assert len({entry.guid for entry in entries.values()}) == 10


def test_every_piece_names_authors_and_categories(entries: dict[str, Entry]) -> None:
    assert all(entry.authors and all(entry.authors) and entry.categories for entry in entries.values())


def test_full_pieces_have_400_to_900_words_headings_lists_and_links(entries: dict[str, Entry]) -> None:
    full = [entry for title, entry in entries.items() if title not in (ANNOUNCEMENT, FRAGMENT)]
    assert len(full) == 8
    for entry in full:
        assert 400 <= count_words(entry.text) <= 900, entry.title
        assert all(f"<{tag}" in entry.html for tag in ("h2", "p", "li", "code", "a ")), entry.title


def test_links_in_pieces_are_absolute_and_go_to_reserved_names(entries: dict[str, Entry]) -> None:
    links = [link for entry in entries.values() for link in re.findall(r'href="([^"]*)"', entry.html)]
    links += [entry.link for entry in entries.values()]
    assert all(re.match(r"http://([a-z]+\.)?example\.(com|org|net)/", link) for link in links)


def test_titles_and_names_exercise_encodings(entries: dict[str, Entry]) -> None:
    authors = {author for entry in entries.values() for author in entry.authors}
    assert any('"' in title for title in entries)
    assert any("&" in title for title in entries)
    assert {"Søren Vestrup-Lund", "Łucja Marzęcka"} <= authors


def test_all_but_the_old_piece_are_of_the_ten_days_before_the_demo(entries: dict[str, Entry]) -> None:
    ages = {title: samples.DAY - entry.published for title, entry in entries.items()}
    old = ages.pop(OLD)
    assert old > dt.timedelta(days=400)
    assert all(dt.timedelta() < age <= dt.timedelta(days=10) for age in ages.values())


def test_the_near_duplicates_share_most_words_but_no_title_or_address(entries: dict[str, Entry]) -> None:
    first, second = entries[CROSS_POSTED], entries[REPRINT]
    ours, theirs = words_of(first.text), words_of(second.text)
    assert 0.85 < len(ours & theirs) / len(ours | theirs) < 1
    assert first.authors == second.authors
    assert first.published < second.published


def test_the_fragment_is_the_beginning_of_what_its_page_holds(entries: dict[str, Entry]) -> None:
    fragment = entries[FRAGMENT]
    assert fragment.link == f"http://{PAGE[0]}{PAGE[1]}"
    assert fragment.text.endswith("...")
    assert 250 <= len(fragment.text) <= 350
    article = page().find(".//article").text_content()
    assert fragment.text.removesuffix("...") in article
    assert 700 <= count_words(article) <= 900


def test_the_page_wraps_its_article_in_navigation_sidebar_and_footer() -> None:
    outside = page()
    article = outside.find(".//article")
    assert {item.getparent().tag for item in article.iter("li")} == {"ul", "ol"}
    article.drop_tree()
    assert all(outside.find(f".//{tag}") is not None for tag in ("nav", "footer"))
    assert {aside.get("class") for aside in outside.iter("aside")} == {"related", "sidebar"}


def test_the_announcement_is_short_and_its_page_says_no_more(entries: dict[str, Entry]) -> None:
    announcement = entries[ANNOUNCEMENT]
    assert 60 <= count_words(announcement.text) <= 120
    host, _, path = announcement.link.removeprefix("http://").partition("/")
    body = lxml.html.fromstring(samples.site()[host, f"/{path}"].body.decode())
    assert words_of(announcement.text) <= words_of(body.find(".//article").text_content())


def test_every_default_topic_has_a_piece_filed_under_it(entries: dict[str, Entry]) -> None:
    filed = {category.casefold() for entry in entries.values() for category in entry.categories}
    assert {topic.key for topic in DEFAULT_TOPICS} <= filed


def test_subscribers_follow_known_topics_and_need_several_editions() -> None:
    known = {topic.key for topic in DEFAULT_TOPICS}
    assert len({reader.address for reader in samples.SUBSCRIBERS}) == 5
    assert len({reader.topics for reader in samples.SUBSCRIBERS}) == 4
    assert {reader.format for reader in samples.SUBSCRIBERS} == {"html", "text"}
    assert all(set(reader.topics or ()) <= known for reader in samples.SUBSCRIBERS)
    assert all(reader.address.endswith(("@example.com", "@example.org")) for reader in samples.SUBSCRIBERS)


Answer = tuple[int, str, str, bytes]
"""Status, content type, entity tag and body."""


def ask(port: int, host: str, path: str, headers: dict[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host, **(headers or {})})
        answer = connection.getresponse()
        content_type, etag = answer.getheader("Content-Type", ""), answer.getheader("ETag", "")
        return answer.status, content_type, etag, answer.read()
    finally:
        connection.close()


def test_the_server_answers_every_address_of_the_site_by_host_and_path() -> None:
    with samples.serve() as port:
        for (host, path), resource in samples.site().items():
            answer = ask(port, host, path)
            assert answer == (200, resource.content_type, resource.etag, resource.body)


def test_the_host_may_carry_a_port_and_capitals() -> None:
    with samples.serve() as port:
        assert ask(port, f"FieldNotes.Example.com:{port}", "/feed.xml?page=1")[0] == 200


def test_an_entity_tag_that_fits_is_answered_with_304_and_no_body() -> None:
    with samples.serve() as port:
        etag = ask(port, samples.QUARTERLY_HOST, "/atom.xml")[2]
        again = ask(port, samples.QUARTERLY_HOST, "/atom.xml", {"If-None-Match": f'"other", W/{etag}'})
        other = ask(port, samples.QUARTERLY_HOST, "/atom.xml", {"If-None-Match": '"other"'})
    assert again == (304, "", etag, b"")
    assert other[0] == 200


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (samples.QUARTERLY_HOST, "/feed.xml"),
        ("unknown.example.com", "/feed.xml"),
        (samples.FIELD_NOTES_HOST, "/"),
    ],
)
def test_an_unknown_host_or_path_is_404(host: str, path: str) -> None:
    with samples.serve() as port:
        assert ask(port, host, path)[0] == 404


def test_other_resources_can_be_served() -> None:
    with samples.serve({("a.example.com", "/"): samples.Resource("text/plain", b"hello")}) as port:
        assert ask(port, "a.example.com", "/")[3] == b"hello"


def test_the_server_ends_with_its_block() -> None:
    before = set(threading.enumerate())
    with samples.serve() as port:
        assert ask(port, samples.QUARTERLY_HOST, "/atom.xml")[0] == 200
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        ask(port, samples.QUARTERLY_HOST, "/atom.xml")
