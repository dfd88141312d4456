"""What is reported about deliveries later: one vocabulary, and what each report does to the ledger and to readers.

Reports come late, twice and in any order. Each is kept once, by its id; what became of a delivery is then worked out
from all reports of it together, so that any order and any repetition end the same.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import case, delete, func
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session, SQLModel, col, select

import subscribers
from newsletter import deliveries
from newsletter.masking import ADDRESS
from newsletter.store.tables import DeliveryRow, EventRow

LONGEST_WHY = 300
LONGEST_ID = 200
KEPT = dt.timedelta(days=400)
"""How long a report stays on record: a year's issues can be looked at, and no sender repeats one that long after."""
RECENT, SOFT_BOUNCES = 5, 3
"""So many soft bounces among so many of a reader's newest deliveries count as a hard one."""

_CHUNK = 500
_DROPPED_AT_ONCE = 10_000
_KEY = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


class Kind(StrEnum):
    """What can be reported."""

    ACCEPTED = "accepted"
    """The provider has it. Only ends a doubt, and is not kept."""
    DEFERRED = "deferred"
    """It did not arrive yet; the provider tries on."""
    DELIVERED = "delivered"
    SOFT_BOUNCE = "soft_bounce"
    """It did not arrive, and a later one may: a full mailbox, a server that is away."""
    HARD_BOUNCE = "hard_bounce"
    """It did not arrive, and none will: there is no such mailbox."""
    DROPPED = "dropped"
    """The provider took it and then did not even try."""
    COMPLAINED = "complained"
    UNSUBSCRIBED = "unsubscribed"


_STATES = {
    Kind.ACCEPTED: deliveries.ACCEPTED,
    Kind.DEFERRED: deliveries.ACCEPTED,
    Kind.DELIVERED: deliveries.DELIVERED,
    Kind.DROPPED: deliveries.BOUNCED,
    Kind.SOFT_BOUNCE: deliveries.BOUNCED,
    Kind.HARD_BOUNCE: deliveries.BOUNCED,
    Kind.COMPLAINED: deliveries.COMPLAINED,
}
"""What a delivery comes to, the weakest first: a mailbox can accept a mail and have it bounced afterwards (RFC 5321,
6.1), and who complains has it. Who unsubscribes says nothing of how it arrived."""
_RANKS = {kind: rank for rank, kind in enumerate(_STATES)}


@dataclass(frozen=True, slots=True)
class Event:
    """One report. ``key`` is the delivery's, as the report has it; ``at`` is when it happened; ``id`` is the report's.

    ``address`` is where the mail went, when the report says so surely: a bounce says something of that address alone,
    and the reader may have another one by now. ``subscriber`` is the reader whom the report proves to come from. Both
    are not kept.
    """

    key: str
    kind: Kind
    at: dt.datetime
    why: str
    id: str
    address: str = ""
    subscriber: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of reports: new ones by kind, how many of those named no delivery of ours, and repetitions."""

    new: Mapping[Kind, int]
    unknown: int = 0
    known: int = 0

    def __add__(self, other: Recorded) -> Recorded:
        new = Counter(self.new)
        new.update(other.new)
        return Recorded(dict(new), self.unknown + other.unknown, self.known + other.known)


def record(session: Session, events: Iterable[Event], now: dt.datetime) -> Recorded:
    """Keep reports and do what they ask for: ledger and suppressions, in the caller's transaction.

    ``now`` is the machine's time. A report whose id was kept before changes nothing.
    """
    given, total = [_clean(event, now) for event in events], Recorded({})
    for start in range(0, len(given), _CHUNK):
        total += _record(session, given[start : start + _CHUNK], now)
    return total


def counts(session: Session) -> dict[str, int]:
    """How many reports of each kind are kept, and how many of all name no delivery of ours (``unknown``)."""
    rows = session.exec(select(EventRow.kind, func.count()).group_by(EventRow.kind)).all()
    found = {kind.value: count for kind in Kind for name, count in rows if name == kind}
    unknown = select(func.count()).select_from(EventRow).where(col(EventRow.delivery_id).is_(None))
    return {**found, "unknown": session.exec(unknown).one()}


def newest(session: Session, limit: int) -> Sequence[EventRow]:
    """The reports that came last, newest first."""
    return session.exec(select(EventRow).order_by(col(EventRow.id).desc()).limit(limit)).all()


def tidy(session: Session, now: dt.datetime) -> int:
    """Drop reports that were heard of 400 days ago and earlier, so many that a transaction stays short.

    Returns how many; after 10,000 there may be more. What they did stays: states, suppressions. ``now`` is the
    machine's time.
    """
    # They come in the order of their numbers: the oldest are found without reading the others.
    oldest = select(EventRow.id, EventRow.heard_at).order_by(col(EventRow.id)).limit(_DROPPED_AT_ONCE).subquery()
    old = select(oldest.c.id).where(oldest.c.heard_at <= now - KEPT)
    dropped = session.execute(delete(EventRow).where(col(EventRow.id).in_(old)).returning(col(EventRow.id)))
    return len(dropped.all())


def _clean(event: Event, now: dt.datetime) -> Event:
    """The report as it is kept: no address in it (it outlives the person), no control character, no date to come."""
    why = ADDRESS.sub("(address)", " ".join(_CONTROL.sub(" ", event.why).split()))[:LONGEST_WHY]
    key, ref = _CONTROL.sub("", event.key)[:50], _CONTROL.sub("", event.id)[:LONGEST_ID]
    return replace(event, why=why, key=key, id=ref, at=min(event.at, now))


def _record(session: Session, events: Sequence[Event], now: dt.datetime) -> Recorded:
    found = _deliveries(session, {event.key for event in events})
    kept = [event for event in events if event.kind is not Kind.ACCEPTED or event.key not in found]
    fresh = _insert(session, kept, found, now)
    new = [event for event in kept if fresh.pop(event.id, False)]
    _tell_ledger(session, [event for event in events if event.kind is Kind.ACCEPTED], new, found, now)
    _tell_readers(session, new, found, now)
    unknown = sum(event.key not in found for event in new)
    return Recorded(dict(Counter(event.kind for event in new)), unknown, len(kept) - len(new))


def _deliveries(session: Session, keys: Iterable[str]) -> dict[str, tuple[int, int]]:
    """The deliveries of these keys: number and reader."""
    wanted: dict[int, set[int]] = {}
    for key in keys:
        if found := _KEY.fullmatch(key):
            wanted.setdefault(int(found[1]), set()).add(int(found[2]))
    result = {}
    for issue, readers in wanted.items():
        query = select(DeliveryRow.id, DeliveryRow.subscriber_id).where(
            DeliveryRow.issue_id == issue, col(DeliveryRow.subscriber_id).in_(readers)
        )
        for number, reader in session.exec(query):
            result[deliveries.key_of(issue, reader)] = (number or 0, reader)
    return result


def _insert(
    session: Session, events: Sequence[Event], found: Mapping[str, tuple[int, int]], now: dt.datetime
) -> dict[str, bool]:
    """Keep what is not kept yet. Returns the ids that are new."""
    rows = [
        {
            "ref": event.id,
            "key": event.key,
            "delivery_id": found[event.key][0] if event.key in found else None,
            "kind": event.kind.value,
            "at": event.at,
            "heard_at": now,
            "why": event.why,
        }
        for event in events
    ]
    if not rows:
        return {}
    dialects: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    table = SQLModel.metadata.tables["event"]
    statement = dialects[session.get_bind().dialect.name](table).values(rows).on_conflict_do_nothing()
    return dict.fromkeys(session.execute(statement.returning(table.c.ref)).scalars(), True)


def _tell_ledger(
    session: Session,
    accepted: Sequence[Event],
    new: Sequence[Event],
    found: Mapping[str, tuple[int, int]],
    now: dt.datetime,
) -> None:
    """Have the ledger know what became of the deliveries that these reports are about."""
    proven = [found[event.key][0] for event in accepted if event.key in found]
    if proven:
        deliveries.report(session, proven, deliveries.ACCEPTED, "", now)
    told = {found[event.key][0] for event in new if event.key in found and event.kind in _RANKS}
    verdicts: dict[tuple[str, str], list[int]] = {}
    for number, (kind, why) in _strongest(session, told).items():
        reason = "" if kind in (Kind.DEFERRED, Kind.DELIVERED) else f"{kind.value.replace('_', ' ')}: {why}".strip(": ")
        verdicts.setdefault((_STATES[kind], reason), []).append(number)
    for (state, reason), numbers in verdicts.items():
        deliveries.report(session, numbers, state, reason, now)


def _strongest(session: Session, numbers: Iterable[int]) -> dict[int, tuple[Kind, str]]:
    """The report that counts for each delivery, whatever order they came in: of the same kind, the earliest."""
    rank = case({kind.value: rank for kind, rank in _RANKS.items()}, value=col(EventRow.kind), else_=-1)
    query = (
        select(EventRow.delivery_id, EventRow.kind, EventRow.why)
        .where(col(EventRow.delivery_id).in_(numbers), rank >= 0)
        .order_by(rank, col(EventRow.at).desc(), col(EventRow.ref).desc())
    )
    return {number or 0: (Kind(kind), why) for number, kind, why in session.exec(query)}


def _tell_readers(
    session: Session, new: Sequence[Event], found: Mapping[str, tuple[int, int]], now: dt.datetime
) -> None:
    """Mail nobody again who does not want it or cannot get it."""
    bounced = set[int]()
    for event in new:
        reader = found[event.key][1] if event.key in found else event.subscriber
        if reader is None:
            _heed_letter(session, event, now)
            continue
        if event.kind is Kind.UNSUBSCRIBED:
            subscribers.unsubscribe(session, reader, now=now, reason="mail" if event.subscriber else "provider")
        elif event.kind is Kind.COMPLAINED:
            subscribers.suppress_subscriber(session, reader, subscribers.Kind.COMPLAINT, now=now, note=event.why)
        elif event.kind is Kind.HARD_BOUNCE:
            _bar(session, reader, event, now)
        elif event.kind is Kind.SOFT_BOUNCE:
            bounced.add(reader)
    for reader in bounced:
        if _soft_bounces(session, reader) >= SOFT_BOUNCES:
            note = f"soft bounces of {SOFT_BOUNCES} of the last {RECENT} mails"
            subscribers.suppress_subscriber(session, reader, subscribers.Kind.HARD_BOUNCE, now=now, note=note)


def _heed_letter(session: Session, event: Event, now: dt.datetime) -> None:
    """A letter has no delivery, and perhaps no reader: what is reported of it concerns the address that it went to."""
    kind = {Kind.COMPLAINED: subscribers.Kind.COMPLAINT, Kind.HARD_BOUNCE: subscribers.Kind.HARD_BOUNCE}.get(event.kind)
    if kind and event.address and event.key.startswith(subscribers.LETTER_KEY):
        with suppress(subscribers.InvalidAddress):
            subscribers.suppress(session, event.address, kind, now=now, note=event.why)


def _bar(session: Session, reader: int, event: Event, now: dt.datetime) -> None:
    """Mail no more to an address that does not exist: the report's, else the reader's."""
    barred = subscribers.Kind.HARD_BOUNCE
    if event.address:
        try:
            subscribers.suppress(session, event.address, barred, now=now, note=event.why)
            return
        except subscribers.InvalidAddress:
            pass
    subscribers.suppress_subscriber(session, reader, barred, now=now, note=event.why)


def _soft_bounces(session: Session, reader: int) -> int:
    """How many of a reader's newest deliveries that left bounced softly."""
    left = (deliveries.ACCEPTED, deliveries.DELIVERED, deliveries.BOUNCED, deliveries.COMPLAINED)
    recent = (
        select(DeliveryRow.id)
        .where(DeliveryRow.subscriber_id == reader, col(DeliveryRow.state).in_(left))
        .order_by(col(DeliveryRow.issue_id).desc())
        .limit(RECENT)
    )
    query = select(func.count(func.distinct(EventRow.delivery_id))).where(
        EventRow.kind == Kind.SOFT_BOUNCE, col(EventRow.delivery_id).in_(recent)
    )
    return session.exec(query).one()
