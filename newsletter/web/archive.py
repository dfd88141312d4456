"""The public archive: every issue from its freeze on, lists by month, topic and search, a feed, a sitemap.

A page says what the mail says, laid out by the same code. It also says what became known since: a corrected
piece carries its correction, a withdrawn one keeps nothing but its title.
"""

from __future__ import annotations

import datetime as dt
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from newsletter import issues
from newsletter.issues import Correction, ListedIssue, Mention, PublicIssue
from newsletter.pipeline import Press
from newsletter.rendering import Layout, PieceView, one_line, shortened
from newsletter.values import Edition, Topic
from newsletter.web.conditional import answer

PAGE = 30
"""Issues on one page of a list."""
FEED = 10
"""Issues in the feed, each with its whole text."""
SITEMAP = 49_000
"""Issues in the sitemap, which may hold 50,000 addresses (sitemaps.org, protocol)."""
DESCRIPTION_LENGTH = 200
QUERY_LENGTH = 200
MOST_WORDS = 8
_AROUND = r"^[^\w]+|[^\w+#]+$"
"""What stands around a word and is no part of it; "C++" and "F#" end as they do."""

HTML, ATOM, XML, SVG, TEXT = (
    "text/html",
    "application/atom+xml",
    "application/xml",
    "image/svg+xml",
    "text/plain",
)


@dataclass(frozen=True, slots=True)
class Link:
    """Where something leads, and what it says."""

    text: str
    url: str


@dataclass(frozen=True, slots=True)
class Note:
    """A correction as the page shows it: the day it was made, in the newsletter's time zone."""

    day: dt.date
    text: str
    is_withdrawal: bool


@dataclass(frozen=True, slots=True)
class PublicPiece:
    """A piece on the issue's page: as the mail lays it out, and what was said of it since."""

    view: PieceView
    topics: tuple[Link, ...]
    notes: tuple[Note, ...]

    @property
    def is_withdrawn(self) -> bool:
        """Whether only the title is left."""
        return any(note.is_withdrawal for note in self.notes)


@dataclass(frozen=True, slots=True)
class ListEntry:
    """An issue in a list: its title without the newsletter's name, and the pieces that the list is about."""

    link: Link
    day: dt.date
    minutes: int
    pieces: tuple[ListedLink, ...]


@dataclass(frozen=True, slots=True)
class ListedLink:
    """A piece in a list."""

    link: Link
    source: str
    minutes: int


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An issue in the feed. ``content`` is HTML."""

    name: str
    title: str
    link: str
    published: str
    updated: str
    summary: str
    topics: tuple[Topic, ...]
    content: str


@dataclass(frozen=True, slots=True)
class Query:
    """What a visitor asks a list for: words, and the number of the issue after which the page begins."""

    text: str = ""
    words: tuple[str, ...] = ()
    before: int | None = None

    def older(self, number: int) -> str:
        """The query string of the next page: what comes after the issue of that number."""
        asked = {"q": self.text} if self.text else {}
        return "?" + urlencode({**asked, "before": str(number)})


class Archive:
    """The public pages of one newsletter."""

    def __init__(self, press: Press) -> None:
        self._press = press
        self._render = press.renderer.page
        self._base = press.config.web.base_url
        self._root = urlsplit(self._base).path
        self._zone = ZoneInfo(press.config.newsletter.time_zone)
        self._topics = tuple(map(_clean, press.config.topic_values()))

    def routes(self) -> list[BaseRoute]:
        """Every address of the archive. All answer GET and HEAD, and nothing else."""
        handlers = {
            "/": self.issues,
            "/issues": self.issues,
            "/issues/{number}": self.issue,
            "/topics": self.topics,
            "/topics/{key}": self.topic,
            "/feed.xml": self.feed,
            "/sitemap.xml": self.sitemap,
            "/robots.txt": self.robots,
            "/mark.svg": self.mark,
        }
        return [Route(path, handler, methods=["GET"]) for path, handler in handlers.items()]

    def issues(self, request: Request) -> Response:
        """All issues by month, or the pieces that a search finds."""
        query = read_query(request.query_params.get("q", ""), request.query_params.get("before", ""))
        entries, older = self._list(query)
        page = self._render(
            "archive.html",
            query=query,
            months=by_month(entries),
            older=older,
            canonical=f"{self._base}/issues",
            search=f"{self._root}/issues",
        )
        return answer(request, page, HTML)

    def topics(self, request: Request) -> Response:
        """What readers can follow, and how much came out of each lately."""
        with self._press.store.read() as session:
            counts = issues.topic_counts(session, self._press.clocks.now())
        listed = [(topic, self._topic_link(topic).url, counts[topic.key]) for topic in self._topics]
        page = self._render("topics.html", topics=listed, canonical=f"{self._base}/topics")
        return answer(request, page, HTML)

    def topic(self, request: Request) -> Response:
        """The pieces of one topic. Answers 404 for a topic that the newsletter does not have."""
        topic = next((topic for topic in self._topics if topic.key == request.path_params["key"]), None)
        if topic is None:
            raise HTTPException(404)
        query = read_query("", request.query_params.get("before", ""))
        entries, older = self._list(query, topic.key)
        page = self._render(
            "topic.html",
            topic=topic,
            query=query,
            months=by_month(entries),
            older=older,
            canonical=f"{self._base}/topics/{topic.key}",
        )
        return answer(request, page, HTML)

    def issue(self, request: Request) -> Response:
        """One issue. Answers 404 for one that is not public."""
        number = whole_number(request.path_params["number"])
        with self._press.store.read() as session:
            found = issues.public(session, number) if number else None
            if found is None:
                raise HTTPException(404)
            older, newer = issues.neighbours(session, found.issue.number)
        layout = self._layout(found)
        page = self._render(
            "issue.html",
            issue=layout.issue,
            description=describe(layout),
            pieces=self._pieces(found, layout),
            published=timestamp(found.frozen_at),
            updated=timestamp(found.updated),
            topics=self._links(key for entry in found.issue.pieces for key in entry.topics),
            older=self._mention_link(older),
            newer=self._mention_link(newer),
            canonical=layout.issue.link,
        )
        # The page also links to the issue after it, so it changes when that one comes out.
        modified = max(found.updated, newer.updated) if newer else found.updated
        return answer(request, page, HTML, modified)

    def feed(self, request: Request) -> Response:
        """The newest issues as an Atom feed (RFC 4287)."""
        with self._press.store.read() as session:
            numbers = [mention.number for mention in itertools.islice(issues.mentions(session), FEED)]
            found = [public for public in (issues.public(session, number) for number in numbers) if public]
        updated = max((public.updated for public in found), default=None)
        page = self._render(
            "feed.xml",
            base=self._base,
            updated=timestamp(updated or dt.datetime.fromtimestamp(0, dt.UTC)),
            entries=[self._feed_entry(public) for public in found],
        )
        return answer(request, page, ATOM, updated)

    def sitemap(self, request: Request) -> Response:
        """Every address that a search engine should know (sitemaps.org)."""
        with self._press.store.read() as session:
            found = list(itertools.islice(issues.mentions(session), SITEMAP))
        pages = [(f"{self._base}/issues/{mention.number}", timestamp(mention.updated)) for mention in found]
        lists = ["/issues", "/topics", *(f"/topics/{topic.key}" for topic in self._topics)]
        pages += [(self._base + path, "") for path in lists]
        return answer(request, self._render("sitemap.xml", pages=pages), XML)

    def robots(self, request: Request) -> Response:
        """Everything may be read; pages that should not be found say so themselves (RFC 9309)."""
        return answer(request, f"User-agent: *\nDisallow:\n\nSitemap: {self._base}/sitemap.xml\n", TEXT)

    def mark(self, request: Request) -> Response:
        """The newsletter's mark, for the browser's tab."""
        return answer(request, self._render("mark.svg"), SVG)

    def _list(self, query: Query, topic: str = "") -> tuple[list[ListEntry], str]:
        """One page of a list, and the query string of the page after it, empty when there is none."""
        with self._press.store.read() as session:
            found = read_page(session, query, topic)
        shown = found[:PAGE]
        older = query.older(shown[-1].number) if len(found) > PAGE else ""
        return [self._list_entry(listed) for listed in shown], older

    def _list_entry(self, listed: ListedIssue) -> ListEntry:
        address = self._address(listed.number)
        return ListEntry(
            link=Link(self._press.renderer.title_parts(listed.title)[1], address),
            day=listed.date,
            minutes=listed.minutes,
            pieces=tuple(
                ListedLink(
                    Link(one_line(piece.title), f"{address}#piece-{piece.position}"),
                    one_line(piece.source),
                    piece.minutes,
                )
                for piece in listed.pieces
            ),
        )

    def _layout(self, found: PublicIssue) -> Layout:
        return self._press.renderer.layout(Edition(found.issue, found.issue.pieces))

    def _pieces(self, found: PublicIssue, layout: Layout) -> tuple[PublicPiece, ...]:
        said = notes_by_piece(found.corrections, self._zone)
        return tuple(
            PublicPiece(view, self._links(entry.topics), said.get(entry.piece.id, ()))
            for entry, view in zip(found.issue.pieces, layout.pieces, strict=True)
        )

    def _feed_entry(self, found: PublicIssue) -> FeedEntry:
        layout = self._layout(found)
        keys = {key for entry in found.issue.pieces for key in entry.topics}
        return FeedEntry(
            name=found.name,
            title=layout.issue.title,
            link=layout.issue.link,
            published=timestamp(found.frozen_at),
            updated=timestamp(found.updated),
            summary=describe(layout),
            topics=tuple(topic for topic in self._topics if topic.key in keys),
            content=self._render("feed_entry.html", issue=layout.issue, pieces=self._pieces(found, layout)),
        )

    def _links(self, keys: Iterable[str]) -> tuple[Link, ...]:
        by_key = {topic.key: topic for topic in self._topics}
        return tuple(self._topic_link(by_key[key]) for key in dict.fromkeys(keys) if key in by_key)

    def _topic_link(self, topic: Topic) -> Link:
        return Link(one_line(topic.name), f"{self._root}/topics/{topic.key}")

    def _mention_link(self, mention: Mention | None) -> Link | None:
        if mention is None:
            return None
        return Link(self._press.renderer.title_parts(mention.title)[1], self._address(mention.number))

    def _address(self, number: int) -> str:
        return f"{self._root}/issues/{number}"


def _clean(topic: Topic) -> Topic:
    """The topic without what XML may not hold, which the feed would be unreadable by (XML 1.0, 2.2)."""
    return replace(topic, name=one_line(topic.name), description=one_line(topic.description))


def read_page(session: Session, query: Query, topic: str = "") -> list[ListedIssue]:
    """The issues of one page of a list, and one more when there is another page."""
    found = issues.archive(session, before=query.before, words=query.words, topic=topic)
    return list(itertools.islice(found, PAGE + 1))


def read_query(text: str, before: str) -> Query:
    """What a visitor asked for, from whatever stands in the address. Quotes around a word are not in it."""
    asked = one_line(text)[:QUERY_LENGTH].strip()
    bare = (re.sub(_AROUND, "", word) for word in asked.split())
    words = tuple(dict.fromkeys(filter(None, bare)))[:MOST_WORDS]
    return Query(asked if words else "", words, whole_number(before))


def whole_number(text: str) -> int | None:
    """The number of an issue as an address has it; None for anything else."""
    return int(text) if re.fullmatch(r"[1-9][0-9]{0,8}", text) else None


def describe(layout: Layout) -> str:
    """An issue in a line or two, for where only its address is shown: how long, and its pieces' titles."""
    titles = " · ".join(piece.title for piece in layout.pieces)
    return shortened(f"{layout.issue.minutes}: {titles}", DESCRIPTION_LENGTH)


def timestamp(moment: dt.datetime) -> str:
    """A moment as RFC 3339 writes it, in UTC and whole seconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def notes_by_piece(corrections: Sequence[Correction], zone: ZoneInfo) -> dict[int, tuple[Note, ...]]:
    """What was said of each piece, oldest first, by the piece's number."""
    found: dict[int, tuple[Note, ...]] = {}
    for correction in corrections:
        day = correction.at.astimezone(zone).date()
        note = Note(day, one_line(correction.note), correction.is_withdrawal)
        found[correction.piece_id] = (*found.get(correction.piece_id, ()), note)
    return found


def by_month(entries: Iterable[ListEntry]) -> list[tuple[dt.date, list[ListEntry]]]:
    """Entries under the first day of their month, in the order in which they come."""
    months = itertools.groupby(entries, key=lambda entry: entry.day.replace(day=1))
    return [(month, list(found)) for month, found in months]
