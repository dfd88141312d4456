"""Who may be mailed, in SQL: what a freeze and a claim join inside their transactions, and the counts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, exists, func, literal, or_, select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers.preferences import is_left_with_none, topics_of
from subscribers.tables import Format, Frequency, Kind, State, Subscriber, Suppression

AUDIENCE = "audience"
"""Key of :func:`audience_counts` for those who are mailed."""


def mailable(now: dt.datetime | ColumnElement[dt.datetime]) -> ColumnElement[bool]:
    """Whether a row of ``subscriber`` may be mailed then: active, no running pause, nothing against it.

    For the WHERE of any statement that selects from or joins :class:`Subscriber`. The suppressions are probed
    by their primary key, row by row, so the answer is that of the transaction it runs in.
    """
    suppressed = exists(literal(1)).where(col(Suppression.identity_hash) == col(Subscriber.identity_hash))
    return and_(col(Subscriber.state) == State.ACTIVE.value, _not_paused(now), ~suppressed.correlate(Subscriber))


def in_audience(now: dt.datetime, frequency: Frequency) -> ColumnElement[bool]:
    """Whether a row of ``subscriber`` belongs to the audience of an issue for readers of that frequency."""
    return and_(mailable(now), col(Subscriber.frequency) == frequency.value)


def audience_counts(session: Session, now: dt.datetime, frequency: Frequency = Frequency.EVERY) -> dict[str, int]:
    """Everyone in the list, counted once: ``audience``, and the reasons of those who are not in it.

    The reasons are ``suppressed: KIND`` (the first kind in the order of the alphabet), ``unsubscribed``,
    ``pending``, ``paused`` and ``frequency: weekly`` and the like, the first that holds. Those that count
    nobody are left out.
    """
    kind = (
        select(func.min(col(Suppression.kind)))
        .where(col(Suppression.identity_hash) == col(Subscriber.identity_hash))
        .correlate(Subscriber)
        .scalar_subquery()
    )
    left = or_(col(Subscriber.state) == State.UNSUBSCRIBED.value, kind == Kind.UNSUBSCRIBED.value)
    reason = case(
        (and_(kind.is_not(None), kind != Kind.UNSUBSCRIBED.value), literal("suppressed: ") + kind),
        (left, State.UNSUBSCRIBED.value),
        (col(Subscriber.state) == State.PENDING.value, State.PENDING.value),
        (~_not_paused(now), State.PAUSED.value),
        (col(Subscriber.frequency) != frequency.value, literal("frequency: ") + col(Subscriber.frequency)),
        else_=AUDIENCE,
    ).label("reason")
    rows = session.execute(select(reason, func.count()).select_from(Subscriber).group_by(reason))
    counts = {AUDIENCE: 0} | {str(name): int(count) for name, count in rows}
    return dict(sorted(counts.items(), key=lambda item: (item[0] != AUDIENCE, item[0])))


@dataclass(frozen=True, slots=True)
class Group:
    """Readers whose mail is the same: what they follow, in which format, and how many they are.

    ``follows`` and ``format`` are the columns of ``subscriber`` as they are stored, to join an edition map
    on; ``topics`` is what ``follows`` means, None for everything.
    """

    follows: str
    format: Format
    readers: int

    @property
    def topics(self) -> frozenset[str] | None:
        """The topics that they follow; None for everything."""
        return topics_of(self.follows)


def groups(session: Session, now: dt.datetime, frequency: Frequency = Frequency.EVERY) -> tuple[Group, ...]:
    """The audience of that frequency, grouped by what they follow and the format, largest group first."""
    columns = (col(Subscriber.follows), col(Subscriber.format))
    readers = func.count().label("readers")
    query = select(*columns, readers).where(in_audience(now, frequency)).group_by(*columns)
    rows = session.execute(query.order_by(readers.desc(), *columns))
    return tuple(Group(follows, Format(format_), count) for follows, format_, count in rows)


def left_with_none(audience: Iterable[Group], known: Collection[str]) -> int:
    """How many readers of those groups chose topics of which none is among the ``known`` ones any more."""
    return sum(group.readers for group in audience if is_left_with_none(group.topics, known))


def _not_paused(now: dt.datetime | ColumnElement[dt.datetime]) -> ColumnElement[bool]:
    return or_(col(Subscriber.paused_until).is_(None), col(Subscriber.paused_until) <= now)
