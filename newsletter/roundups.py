"""Round-ups: the best of a period that a reader has not had yet; and what who changes to every issue would miss.

What a reader had is not stored but derived: the pieces of the editions of their deliveries, but for those that failed,
were skipped or cancelled. Readers of round-ups are put into groups by what they follow and which editions they had
since the period began; that is done in the database, and only the groups come here.

Who changed the frequency, and got no mail since, is behind: what came out after their last mail is theirs too, in a
round-up as well as in the next issue. So nobody misses a piece by a change, and nobody gets one twice.
"""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy
from sqlalchemy import Column, ColumnElement, Integer, MetaData, String, Table, Text, and_, cast, func, literal, select
from sqlmodel import Session, col

import subscribers
from newsletter import deliveries, editions, issues
from newsletter.editions import Assignment, Follows
from newsletter.issues import Published
from newsletter.store.tables import DeliveryRow, EditionRow, IssueRow
from newsletter.values import EVERY, Edition, Issue, IssuePiece
from subscribers import Frequency

LOOK_BACK = dt.timedelta(days=62)
"""What came out longer ago is in no round-up, whatever happened since: two months, or a missed one."""

NOT_HAD = (deliveries.FAILED, deliveries.SKIPPED, deliveries.CANCELLED)
"""States of deliveries whose pieces a reader does not have."""

MOST_BYTES = 88_000
_BYTES_OF_FRAME, _BYTES_OF_PIECE = 15_000, 3_000
"""More than the HTML of a mail takes beside its pieces, and a piece beside its texts."""
_TITLE_TIMES = 4
"""More often than a mail says a piece's title or address."""

NOTHING_UNREAD = "no unread piece fits their topics"

_SINCE, _HAD = "since", "had"

# Lives within one transaction: which readers differ from the others of their topics, and by what.
_shelf = Table(
    "reader_shelf",
    MetaData(),
    Column("subscriber_id", Integer, primary_key=True, autoincrement=False),
    Column("word", Text, nullable=False),
    prefixes=["TEMPORARY"],
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Which edition each group of readers gets.

    ``group`` is a reader's group, as an expression over their row; None: by nothing but what they follow.
    """

    groups: Mapping[str, Assignment]
    group: ColumnElement[str] | None


@dataclass(frozen=True, slots=True)
class _Group:
    """A group by its name: what its readers follow, and how they differ from others who do."""

    name: str
    follows: Follows
    since: int = 0
    """The first issue that they are behind with; 0: none."""
    had: frozenset[int] = frozenset()
    """Editions that they had."""


def round_up(
    session: Session, issue: Issue, *, after: dt.datetime, now: dt.datetime, most: int, known_topics: Iterable[str]
) -> Plan:
    """The editions of a round-up: for each reader the best unread pieces that came out after a moment.

    Must be followed by `done` within the same transaction.
    """
    groups = _groups(session, Frequency(issue.kind), after, now)
    return _plan(session, issue, groups, after, most, frozenset(known_topics), fresh=False)


def catch_up(session: Session, issue: Issue, *, now: dt.datetime, most: int, known_topics: Iterable[str]) -> Plan:
    """The editions of an issue: its pieces that fit, and for readers who are behind the best of what they miss too.

    Must be called before the issue is published, and be followed by `done` within the same transaction.
    """
    groups = _groups(session, Frequency.EVERY, now, now)
    return _plan(session, issue, groups, now, most, frozenset(known_topics), fresh=True)


def done(session: Session) -> None:
    """Forget what the groups were made from."""
    _shelf.drop(session.connection())


def _groups(session: Session, frequency: Frequency, after: dt.datetime, now: dt.datetime) -> list[_Group]:
    """Fill the shelf, and read the groups from it."""
    _shelf.create(session.connection())
    session.execute(_those_behind(frequency, after, now))
    if frequency is not Frequency.EVERY:
        session.execute(_those_who_had(frequency, after, now))
    person = subscribers.Subscriber
    if session.execute(select(_shelf.c.word).limit(1)).first() is None:
        # The common case: all who follow the same get the same.
        plain = select(col(person.follows)).where(subscribers.in_audience(now, frequency)).distinct()
        return [_read(follows, None) for follows in session.scalars(plain)]
    query = (
        select(col(person.follows), _shelf.c.word)
        .select_from(person)
        .outerjoin(_shelf, _shelf.c.subscriber_id == col(person.id))
        .where(subscribers.in_audience(now, frequency))
        .distinct()
    )
    return [_read(follows, word) for follows, word in session.execute(query)]


def _read(follows: str, word: str | None) -> _Group:
    topics = subscribers.topics_of(follows)
    if not word:
        return _Group(follows, topics)
    kind, _, numbers = word.partition(":")
    name = f"{follows} {word}"
    if kind == _SINCE:
        return _Group(name, topics, since=int(numbers))
    return _Group(name, topics, had=frozenset(map(int, numbers.split(","))))


def _those_behind(frequency: Frequency, after: dt.datetime, now: dt.datetime) -> sqlalchemy.Insert:
    """Who changed the frequency since their last mail, each with the first issue that came out since that mail.

    Only if it came out by ``after``: what came out later is in the mail anyhow.
    """
    person, oldest = subscribers.Subscriber, now - LOOK_BACK
    last = (
        select(func.max(col(IssueRow.frozen_at)))
        .join(DeliveryRow, col(DeliveryRow.issue_id) == col(IssueRow.id))
        .where(col(DeliveryRow.subscriber_id) == col(person.id))
        .correlate(person)
        .scalar_subquery()
    )
    known_since = func.coalesce(last, col(person.confirmed_at), col(person.created_at))
    out = IssueRow.__table__.alias("missed")  # type: ignore[attr-defined]  # SQLModel gives no type to its tables
    first = (
        select(out.c.id)
        .where(
            out.c.kind == EVERY,
            out.c.frozen_at > known_since,
            out.c.frozen_at > oldest,
            out.c.frozen_at <= after,
        )
        .order_by(out.c.frozen_at, out.c.id)
        .limit(1)
        .correlate(person)
        .scalar_subquery()
    )
    changed = and_(col(person.frequency_since) > oldest, col(person.frequency_since) >= known_since)
    words = select(col(person.id).label("reader"), first.label("first"))
    found = words.where(changed, subscribers.in_audience(now, frequency)).subquery()
    rows = select(found.c.reader, literal(f"{_SINCE}:") + cast(found.c.first, String)).where(found.c.first.is_not(None))
    return _shelf.insert().from_select(["subscriber_id", "word"], rows)


def _those_who_had(frequency: Frequency, after: dt.datetime, now: dt.datetime) -> sqlalchemy.Insert:
    """Who had editions since the period began, each with these. (Who is behind had none.)"""
    person = subscribers.Subscriber
    recent = select(col(IssueRow.id)).where(col(IssueRow.frozen_at) > after)
    had = (
        select(func.aggregate_strings(cast(col(DeliveryRow.edition_id), String), ","))
        .where(
            col(DeliveryRow.subscriber_id) == col(person.id),
            col(DeliveryRow.issue_id).in_(recent),
            col(DeliveryRow.edition_id).is_not(None),
            col(DeliveryRow.state).not_in(NOT_HAD),
        )
        .correlate(person)
        .scalar_subquery()
    )
    behind = select(_shelf.c.subscriber_id)
    found = (
        select(col(person.id).label("reader"), had.label("had"))
        .where(subscribers.in_audience(now, frequency), col(person.id).not_in(behind))
        .subquery()
    )
    rows = select(found.c.reader, literal(f"{_HAD}:") + found.c.had).where(found.c.had.is_not(None))
    return _shelf.insert().from_select(["subscriber_id", "word"], rows)


def _plan(
    session: Session,
    issue: Issue,
    groups: Sequence[_Group],
    after: dt.datetime,
    most: int,
    known: frozenset[str],
    *,
    fresh: bool,
) -> Plan:
    """An edition for each group. ``fresh``: of an issue, whose own pieces come before those that are made up for."""
    begins = _moments(session, {group.since for group in groups} - {0})
    had = _pieces(session, {edition for group in groups for edition in group.had})
    pool = issues.published_since(session, min([after, *begins.values()]))
    chosen: dict[str, tuple[int, ...]] = {}
    for group in groups:
        # What came out at the moment itself was in the mail before, but for an issue that readers are behind with.
        open_to = [p for p in pool if p.at > after or (group.since and p.at >= begins[group.since])]
        gone = {piece for edition in group.had for piece in had[edition]}
        topics = group.follows if group.follows is editions.EVERYTHING else group.follows & known
        chosen[group.name] = best(open_to, topics, gone, most)
    entries = issues.published(session, {number for numbers in chosen.values() for number in numbers})
    made: dict[tuple[int, ...], Edition] = {}
    given: dict[str, Assignment] = {}
    for group in groups:
        own = editions.fitting(issue, group.follows if group.follows is None else group.follows & known)
        pieces = _that_fit(own, [entries[number] for number in chosen[group.name]])
        numbers = tuple(entry.piece.id for entry in pieces)
        edition = made.setdefault(numbers, Edition(issue, pieces)) if pieces else None
        left = group.follows is not None and not group.follows & known
        given[group.name] = Assignment(edition, "" if edition else _reason(left, fresh))
    alike = all(group.name == subscribers.follows_of(group.follows) for group in groups)
    return Plan(given, None if alike else _group_of())


def _reason(left_with_none: bool, fresh: bool) -> str:
    if left_with_none:
        return editions.NO_TOPIC_LEFT
    return editions.NOTHING_FITS if fresh else NOTHING_UNREAD


def _group_of() -> ColumnElement[str]:
    person = subscribers.Subscriber
    word = select(" " + _shelf.c.word).where(_shelf.c.subscriber_id == col(person.id)).correlate(person)
    return col(person.follows) + func.coalesce(word.scalar_subquery(), "")


def _moments(session: Session, numbers: Collection[int]) -> dict[int, dt.datetime]:
    rows = session.execute(select(col(IssueRow.id), col(IssueRow.frozen_at)).where(col(IssueRow.id).in_(numbers)))
    return {number: at for number, at in rows if number is not None and at is not None}


def _pieces(session: Session, numbers: Collection[int]) -> dict[int, frozenset[int]]:
    rows = session.execute(select(col(EditionRow.id), col(EditionRow.piece_ids)).where(col(EditionRow.id).in_(numbers)))
    return {number: frozenset(pieces) for number, pieces in rows if number is not None}


def best(pool: Iterable[Published], follows: Follows, had: Collection[int], most: int) -> tuple[int, ...]:
    """The numbers of the best pieces for readers who follow these topics and had those pieces, best first.

    Of equal pieces the newer is better, and of one issue's the one that stands first.
    """
    fitting = [p for p in pool if p.number not in had and (follows is editions.EVERYTHING or follows & p.topics)]
    ordered = sorted(fitting, key=lambda p: (-p.score, -p.at.timestamp(), p.position))
    return tuple(p.number for p in ordered[:most])


def _that_fit(own: Sequence[IssuePiece], more: Sequence[IssuePiece]) -> tuple[IssuePiece, ...]:
    """An issue's own pieces, and of the others as many as surely leave the mail smaller than what Gmail clips."""
    pieces, size = list(own), _BYTES_OF_FRAME + sum(map(_bytes, own))
    for entry in more:
        size += _bytes(entry)
        if size > MOST_BYTES and pieces:
            break
        pieces.append(entry)
    return tuple(pieces)


def _bytes(entry: IssuePiece) -> int:
    """More than a piece takes in HTML."""
    texts = sum(_size(text) for section in entry.summary.sections for text in section.texts)
    return _BYTES_OF_PIECE + texts + _TITLE_TIMES * (_size(entry.piece.title) + _size(entry.piece.url))


def _size(text: str) -> int:
    return len(html.escape(text).encode())
