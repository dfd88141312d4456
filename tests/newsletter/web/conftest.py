"""A newsletter with issues that are out, and a client that reads its pages."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, replace
from typing import Any

import pytest
from lxml import html
from sqlmodel import Session
from starlette.testclient import TestClient

import subscribers
from newsletter import issues, pieces, summaries
from newsletter.config import Config
from newsletter.deliveries import Clocks
from newsletter.issues import Draft
from newsletter.pipeline import Press
from newsletter.rendering import Masthead, Renderer
from newsletter.store import Store
from newsletter.store.tables import PieceRow, SummaryRow
from newsletter.values import IssuePiece, Selection
from newsletter.web import application
from tests.newsletter import makers
from tests.newsletter.makers import DAY

LATER = DAY + dt.timedelta(days=3)


@dataclass
class House:
    """A newsletter's store and parts. Issues come out a day apart, the first one on the day of the makers."""

    press: Press
    made: int = 0

    @property
    def store(self) -> Store:
        """Its database."""
        return self.press.store

    def write(self, *entries: IssuePiece, date: dt.date | None = None) -> int:
        """Store a draft of these pieces, of three when none are given. Returns its number."""
        given = entries or tuple(entry() for _ in range(3))
        day = date or DAY.date() + dt.timedelta(days=self.made)
        self.made += 1
        with self.store.write() as session:
            stored = tuple(self._store(session, given, place) for place in range(len(given)))
            title = self.press.renderer.title_for(day)
            draft = Draft(f"slot {self.made}", day, title, "hash", Selection((), ()), stored)
            return issues.save(session, draft, DAY)

    def publish(self, *entries: IssuePiece, date: dt.date | None = None) -> int:
        """Have these pieces out in an issue. Returns its number."""
        number = self.write(*entries, date=date)
        with self.store.write() as session:
            issues.publish(session, number, DAY + dt.timedelta(days=self.made - 1))
        return number

    def correct(self, number: int, position: int, note: str = "", withdrawn: bool = False) -> None:
        """Correct the piece at that place of an issue."""
        with self.store.write() as session:
            piece_id = issues.load(session, number).pieces[position - 1].piece.id
            issues.correct(session, number, piece_id, note, withdrawn, LATER)

    def browse(self, **web: Any) -> Browser:
        """A client of the pages, with these keys of `[web]` changed."""
        config = Config.model_validate({"web": web})
        return Browser(TestClient(application(press_for(self.store, config)), raise_server_exceptions=False))

    def _store(self, session: Session, given: tuple[IssuePiece, ...], place: int) -> tuple[IssuePiece, int]:
        key = f"{self.made}-{place}"
        piece = given[place].piece
        kept = PieceRow(
            identity=key,
            source_key=piece.source.key,
            source_name=piece.source.name,
            title=piece.title,
            url=piece.url,
            authors=list(piece.authors),
            published=piece.published,
            first_seen=DAY,
            text=piece.text,
            origin=piece.origin.value,
        )
        session.add(kept)
        session.flush()
        stored = pieces.to_piece(kept)
        row = SummaryRow(
            piece_id=stored.id,
            fingerprint="f",
            source_hash="s",
            kind=given[place].summary.kind.value,
            writer="w",
            created_at=DAY,
            body=summaries.to_json(given[place].summary),
        )
        session.add(row)
        session.flush()
        return replace(given[place], piece=stored), row.id or 0


@dataclass
class Browser:
    """Reads pages as a visitor does."""

    client: TestClient

    def page(self, path: str, status: int = 200) -> html.HtmlElement:
        """The page of that path, parsed."""
        answer = self.client.get(path)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return html.document_fromstring(answer.text)

    def text(self, path: str) -> str:
        """What a visitor reads in the main part of a page, on one line."""
        (main,) = self.page(path).xpath("//main")
        return " ".join(main.text_content().split())


_numbers = itertools.count(1)


def entry(**changes: Any) -> IssuePiece:
    """A piece for an issue, different from every other; ``summary`` and ``topics`` may be given too."""
    number = next(_numbers)
    summary = changes.pop("summary", None) or makers.summary()
    topics = changes.pop("topics", ("safety",))
    given = {"text": makers.prose(300, number), **changes}
    return IssuePiece(makers.piece(number, **given), summary, topics)


def press_for(store: Store, config: Config) -> Press:
    """The parts of a newsletter over a database; the clock stands at the end of the first issue's month."""
    masthead = Masthead(
        name=config.newsletter.name,
        tagline=config.newsletter.tagline,
        base_url=config.web.base_url,
        topic_names={topic.key: topic.name for topic in config.topics},
    )
    clocks = Clocks(now=lambda: DAY + dt.timedelta(days=2), real=lambda: DAY)
    return Press(config, store, clocks, Renderer(masthead), subscribers.Tokens(("k" * 43,)))


@pytest.fixture
def house(store: Store) -> House:
    """A newsletter without an issue."""
    return House(press_for(store, Config()))


@pytest.fixture
def browser(house: House) -> Browser:
    """A client of its pages."""
    return house.browse()
