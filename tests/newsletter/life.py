"""A newsletter that lives for weeks in a moment: a clock to move, readers who change their minds, a post."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlmodel import Session, col, select

import subscribers
from newsletter import deliveries, issues, pieces, pipeline, sending, summaries
from newsletter.config import Config
from newsletter.deliveries import Claimed, Clocks
from newsletter.issues import Draft
from newsletter.pipeline import Built, Press
from newsletter.providers import Accepted, Outcome
from newsletter.rendering import Masthead, Renderer
from newsletter.scheduler import Hands, Keeper
from newsletter.sending import Rules
from newsletter.slots import Slot, day_of
from newsletter.store import Store
from newsletter.store.tables import DeliveryRow, EditionRow, IssueRow, PieceRow, SummaryRow
from newsletter.values import IssuePiece, Message, Selection
from subscribers import Preferences, Subscriber
from tests.newsletter import makers

Wanted = tuple[tuple[str, ...], float]
"""What a piece is for a test: its topics and its score."""


@dataclass(frozen=True)
class Mail:
    """A mail that a reader got: when, of which issue, with the numbers of which pieces."""

    at: dt.datetime
    issue: int
    kind: str
    pieces: tuple[int, ...]


@dataclass
class Life:
    """A newsletter, and the moment that it is. What ``coming`` holds for a slot is written up in its issue."""

    store: Store
    config: Config
    now: dt.datetime
    coming: list[Wanted] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    answer: Any = Accepted
    made: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        names = {topic.key: topic.name for topic in self.config.topics}
        zone = self.config.newsletter.time_zone
        masthead = Masthead(self.config.newsletter.name, self.config.web.base_url, topic_names=names, time_zone=zone)
        clocks = Clocks(now=lambda: self.now, real=lambda: self.now)
        tokens = subscribers.Tokens(("k" * 43,))
        self.press = Press(self.config, self.store, clocks, Renderer(masthead), tokens)

    def keeper(self, **changes: Any) -> Keeper:
        """A process that keeps to the schedule, with its hands changed as told."""
        hands = Hands(self.draft, self.send, self.said.append)
        return Keeper(self.press, replace(hands, **changes), running=lambda: self.now.timestamp())

    def draft(self, slot: Slot) -> Built:
        """What `build` does: a draft of what is coming, unless there is one already, or nothing is coming."""
        with self.store.write() as session:
            known = issues.in_slot(session, slot.key)
            if known is not None:
                return Built(known.id, is_taken=known.state != issues.DRAFT)
            if not self.coming:
                return Built(None, "there is nothing new")
            entries = tuple(self._store(session, *wanted) for wanted in self.coming)
            title = self.press.renderer.title_for(day_of(slot.key))
            draft = Draft(slot.key, day_of(slot.key), title, f"hash {slot.key}", Selection((), ()), entries)
            return Built(issues.save(session, draft, self.now), changed=True)

    def publish(self, *wanted: Wanted) -> tuple[int, ...]:
        """An issue of these pieces, out now and handed over. Returns the numbers of its pieces."""
        self.coming = list(wanted)
        number = self.draft(Slot("every", f"{self.now:%Y-%m-%d}T{next(self.made)}", self.now, self.now)).number
        assert number is not None
        pipeline.freeze(self.press, number)
        self.send(number)
        with self.store.read() as session:
            return tuple(entry.piece.id for entry in issues.load(session, number).pieces)

    def round_up(self, kind: str = "weekly") -> Built:
        """The round-up of the latest slot of a kind, handed over."""
        slot = self.config.timetable().latest(kind, self.now)
        assert slot is not None
        built = pipeline.round_up(self.press, slot)
        if built.number:
            self.send(built.number)
        return built

    def send(self, number: int) -> dict[str, int]:
        """Hand over what is due of an issue."""
        rules = Rules(since=pipeline.window_start(self.press))
        sending.send(self.store, number, _Post(self.answer), _compose, self.press.clocks, rules=rules)
        with self.store.read() as session:
            return deliveries.counts(session, number)

    def join(self, name: str, **preferences: Any) -> None:
        """A new reader."""
        with self.store.write() as session:
            wishes = Preferences(**preferences)
            subscribers.add(
                session, _address(name), now=self.now, how="test", consent_text="yes", active=True, preferences=wishes
            )

    def change(self, name: str, **preferences: Any) -> None:
        """A reader changes what they get."""
        with self.store.write() as session:
            person = _reader(session, name)
            wishes = replace(subscribers.preferences_of(person), **preferences)
            subscribers.set_preferences(session, person, wishes, now=self.now)

    def mails(self, name: str) -> list[Mail]:
        """What a reader got, oldest first."""
        with self.store.read() as session:
            rows = session.exec(
                select(IssueRow, EditionRow)
                .join(DeliveryRow, col(DeliveryRow.issue_id) == col(IssueRow.id))
                .join(EditionRow, col(EditionRow.id) == col(DeliveryRow.edition_id))
                .where(DeliveryRow.subscriber_id == _reader(session, name).id, DeliveryRow.state == deliveries.ACCEPTED)
                .order_by(col(DeliveryRow.id))
            )
            return [
                Mail(issue.frozen_at or self.now, issue.id or 0, issue.kind, tuple(edition.piece_ids))
                for issue, edition in rows
            ]

    def letters(self) -> list[subscribers.ClaimedLetter]:
        """Every letter that waits, which then waits no more."""
        with self.store.write() as session:
            return list(subscribers.claim_letters(session, "test", 100, now=self.now, real_now=self.now))

    def pieces_of(self, name: str) -> list[int]:
        """Every piece that a reader got, mail by mail."""
        return [piece for mail in self.mails(name) for piece in mail.pieces]

    def _store(self, session: Session, topics: tuple[str, ...], score: float) -> tuple[IssuePiece, int]:
        number = next(self.made)
        kept = PieceRow(
            identity=f"made {number}",
            source_key=makers.FORUM.key,
            source_name=makers.FORUM.name,
            title=f"Finding {number}",
            url=f"https://forum.example.com/posts/{number}",
            first_seen=self.now,
            text=makers.prose(300, number),
            origin="feed",
        )
        session.add(kept)
        session.flush()
        row = SummaryRow(
            piece_id=kept.id or 0,
            fingerprint="f",
            source_hash="s",
            kind="digest",
            writer="w",
            created_at=self.now,
            body=_BODY,
        )
        session.add(row)
        session.flush()
        return IssuePiece(pieces.to_piece(kept), makers.summary(), topics, score, "good"), row.id or 0


_BODY = summaries.to_json(makers.summary())


def _address(name: str) -> str:
    return f"{name}@example.com"


def _reader(session: Session, name: str) -> Subscriber:
    person = subscribers.find(session, _address(name))
    assert person is not None
    return person


@dataclass
class _Post:
    """A provider that answers as it is told."""

    answer: Any
    name: str = "post"
    batch: int = 100
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        for message in messages:
            yield self.answer(message.key)


def _compose(claimed: Claimed) -> Message:
    return Message(claimed.key, claimed.address, (("Subject", "x"),), "text")
