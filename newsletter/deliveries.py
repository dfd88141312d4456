"""The ledger: who gets which edition of an issue, and what became of it.

    planned -> claimed -> handing -> accepted
    claimed -> planned     its owner died before handing over
    handing -> planned     the provider said "not now", or does not accept us at all
    handing -> failed      the provider refused this reader for good
    handing -> in_doubt    nobody knows
    planned -> skipped     by the freeze, with the reason; or at the claim, when the reader has left meanwhile

`handing` is committed before a byte leaves, so a process that dies leaves in doubt only what was in flight, and nothing
is ever handed over twice without a word of the owner.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import ColumnElement, and_, case, func, insert, literal, not_, or_, update
from sqlmodel import Session, col, select

import subscribers
from newsletter.editions import Assignment, Follows
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Provider, Refused, TryLater
from newsletter.store import Store
from newsletter.store.tables import AudienceGroupRow, DeliveryRow, EditionRow, IssueRow
from newsletter.values import Message
from subscribers import Format, Frequency, UtcDateTime

PLANNED, CLAIMED, HANDING = "planned", "claimed", "handing"
ACCEPTED, FAILED, IN_DOUBT, SKIPPED = "accepted", "failed", "in_doubt", "skipped"
STATES = (PLANNED, CLAIMED, HANDING, ACCEPTED, FAILED, IN_DOUBT, SKIPPED)
UNFINISHED = (PLANNED, CLAIMED, HANDING, IN_DOUBT)

LEASE = dt.timedelta(minutes=15)
"""A claim older than this by the real clock belongs to a process that died."""
BACKOFF = dt.timedelta(minutes=1)
MOST_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class Claimed:
    """One delivery that is ours to hand over now, with what is needed to address it."""

    id: int
    issue: int
    subscriber_id: int
    edition_id: int
    address: str
    name: str
    text_only: bool
    follows: Follows

    @property
    def key(self) -> str:
        """The delivery's key: goes out with the message, and finds the row again."""
        return key_of(self.issue, self.subscriber_id)


def key_of(issue: int, subscriber_id: int) -> str:
    """The key of (issue, subscriber)."""
    return f"{issue}-{subscriber_id}"


def plan(
    session: Session,
    issue: int,
    groups: Mapping[str, Assignment],
    *,
    frequency: Frequency,
    due_at: dt.datetime,
    now: dt.datetime,
) -> None:
    """Write the whole audience of an issue: one row for each mailable reader of its frequency, planned or skipped.

    ``groups`` are the assignments by the subscribers' `follows`. One statement writes all rows, however many.
    Raises RuntimeError when the rows are not exactly the audience: then the transaction must not commit.
    """
    edition_ids = _store_editions(session, issue, groups)
    session.add_all(
        AudienceGroupRow(
            issue_id=issue,
            follows=follows,
            edition_id=edition_ids[given.edition.key] if given.edition else None,
            reason=given.reason,
        )
        for follows, given in groups.items()
    )
    session.flush()
    person, group = subscribers.Subscriber, AudienceGroupRow
    audience = subscribers.in_audience(now, frequency)
    columns: dict[str, Any] = {
        "issue_id": literal(issue),
        "subscriber_id": col(person.id),
        "edition_id": col(group.edition_id),
        "state": case((col(group.edition_id).is_(None), SKIPPED), else_=PLANNED),
        "reason": col(group.reason),
        "due_at": literal(due_at, type_=UtcDateTime()),
        "attempts": literal(0),
        "claimed_by": literal(""),
        "provider": literal(""),
        "provider_ref": literal(""),
        "changed_at": literal(now, type_=UtcDateTime()),
    }
    its_group = and_(col(group.issue_id) == issue, col(group.follows) == col(person.follows))
    rows = sqlalchemy.select(*columns.values()).select_from(person).join(group, its_group).where(audience)
    session.execute(insert(DeliveryRow).from_select(list(columns), rows))
    expected = session.exec(select(func.count()).select_from(person).where(audience)).one()
    written = session.exec(select(func.count()).select_from(DeliveryRow).where(DeliveryRow.issue_id == issue)).one()
    if expected != written:
        raise RuntimeError(f"the audience has {expected} readers and {written} deliveries were planned")


def _store_editions(session: Session, issue: int, groups: Mapping[str, Assignment]) -> dict[str, int]:
    editions = {given.edition.key: given.edition for given in groups.values() if given.edition}
    rows = [
        EditionRow(issue_id=issue, key=key, piece_ids=[entry.piece.id for entry in edition.pieces])
        for key, edition in editions.items()
    ]
    session.add_all(rows)
    session.flush()
    return {row.key: row.id or 0 for row in rows}


def counts(session: Session, issue: int) -> dict[str, int]:
    """How many deliveries of an issue are in each state; states without any are left out."""
    query = select(DeliveryRow.state, func.count()).where(DeliveryRow.issue_id == issue).group_by(DeliveryRow.state)
    found = dict(session.exec(query).all())
    return {state: found[state] for state in STATES if state in found}


def skips(session: Session, issue: int) -> dict[str, int]:
    """How many readers of an issue were skipped, by reason."""
    query = (
        select(DeliveryRow.reason, func.count())
        .where(DeliveryRow.issue_id == issue, DeliveryRow.state == SKIPPED)
        .group_by(DeliveryRow.reason)
    )
    return dict(session.exec(query).all())


def of_reader(session: Session, subscriber_id: int) -> dict[str, int]:
    """How many deliveries to one reader are in each state, over all issues; states without any are left out."""
    query = (
        select(DeliveryRow.state, func.count())
        .where(DeliveryRow.subscriber_id == subscriber_id)
        .group_by(DeliveryRow.state)
    )
    found = dict(session.exec(query).all())
    return {state: found[state] for state in STATES if state in found}


def newest_of_reader(session: Session, subscriber_id: int, limit: int) -> Sequence[DeliveryRow]:
    """The deliveries of the newest issues to one reader, newest first."""
    query = select(DeliveryRow).where(DeliveryRow.subscriber_id == subscriber_id)
    return session.exec(query.order_by(col(DeliveryRow.issue_id).desc()).limit(limit)).all()


def history(session: Session, subscriber_id: int) -> list[tuple[int, str, str, dt.datetime]]:
    """Every delivery to one reader, oldest first: issue, its title, state, and when that was last changed."""
    query = (
        select(DeliveryRow.issue_id, IssueRow.title, DeliveryRow.state, DeliveryRow.changed_at)
        .join(IssueRow, col(IssueRow.id) == col(DeliveryRow.issue_id))
        .where(DeliveryRow.subscriber_id == subscriber_id)
        .order_by(col(DeliveryRow.issue_id))
    )
    return [(number, title, state, at) for number, title, state, at in session.exec(query).all()]


def unfinished_issue(session: Session) -> int | None:
    """The oldest issue with deliveries that can still be handed over, or None."""
    query = select(func.min(DeliveryRow.issue_id)).where(col(DeliveryRow.state).in_((PLANNED, CLAIMED, HANDING)))
    return session.exec(query).one()


def editions_of(session: Session, issue: int) -> dict[int, tuple[int, ...]]:
    """The numbers of the pieces of each edition of a frozen issue, by the edition's id."""
    rows = session.exec(select(EditionRow).where(EditionRow.issue_id == issue))
    return {row.id or 0: tuple(row.piece_ids) for row in rows}


def recover(session: Session, issue: int, now: dt.datetime, *, repeatable: str = "") -> dict[str, int]:
    """Take over what dead processes left: their claims are planned again, their hand-overs are in doubt.

    Hand-overs to the provider ``repeatable``, which repeats safely, are planned again too.
    A process is dead when it ran on this machine and is gone, or when its lease has run out. ``now`` is the real time.
    Returns how many of each.
    """
    held = and_(col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state).in_((CLAIMED, HANDING)))
    owners = session.exec(select(DeliveryRow.claimed_by).where(held).distinct()).all()
    gone = [owner for owner in owners if _is_gone(owner)]
    dead = and_(held, or_(col(DeliveryRow.claimed_at) < now - LEASE, _owned_by(gone)))
    claimed = session.execute(
        update(DeliveryRow)
        .where(dead, or_(col(DeliveryRow.state) == CLAIMED, col(DeliveryRow.provider) == repeatable))
        .values(state=PLANNED, claimed_by="", changed_at=now)
    )
    handing = session.execute(
        update(DeliveryRow)
        .where(dead, col(DeliveryRow.state) == HANDING)
        .values(state=IN_DOUBT, claimed_by="", reason="the sending process ended while it handed over", changed_at=now)
    )
    return {PLANNED: _rowcount(claimed), IN_DOUBT: _rowcount(handing)}


def _owned_by(owners: Sequence[str]) -> ColumnElement[bool]:
    return col(DeliveryRow.claimed_by).in_(owners)


def _owner() -> str:
    """A name for this sending: the machine, the process, and a word that no other sending has."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


def _is_gone(owner: str) -> bool:
    """Whether a sending's process surely is no more: it ran on this machine, and no process has its number."""
    machine, _, rest = owner.partition("/")
    number = rest.partition("/")[0]
    if machine != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def claim(
    session: Session, issue: int, owner: str, limit: int, now: dt.datetime, real_now: dt.datetime
) -> list[Claimed]:
    """Claim up to ``limit`` due deliveries for ``owner``, in one transaction with the question who may still be mailed.

    Whoever unsubscribed before this transaction, or was erased, is skipped by it. ``now`` says what is due,
    ``real_now`` starts the lease.
    """
    due = _due(issue, now)
    mailable = _exists(subscribers.mailable(now))
    gone = update(DeliveryRow).where(due, not_(mailable))
    session.execute(gone.values(state=SKIPPED, reason="left or paused after the freeze", changed_at=real_now))
    chosen = select(DeliveryRow.id).where(due, mailable).order_by(col(DeliveryRow.id)).limit(limit)
    if session.get_bind().dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True)
    session.execute(
        update(DeliveryRow)
        .where(col(DeliveryRow.id).in_(chosen))
        .values(state=CLAIMED, claimed_by=owner, claimed_at=real_now, changed_at=real_now)
    )
    return _claimed(session, issue, owner)


def _due(issue: int, now: dt.datetime) -> ColumnElement[bool]:
    return and_(
        col(DeliveryRow.issue_id) == issue,
        col(DeliveryRow.state) == PLANNED,
        col(DeliveryRow.due_at) <= now,
        col(DeliveryRow.try_at).is_(None) | (col(DeliveryRow.try_at) <= now),
    )


def _exists(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    person = subscribers.Subscriber
    return select(person.id).where(col(person.id) == col(DeliveryRow.subscriber_id), condition).exists()


def _claimed(session: Session, issue: int, owner: str) -> list[Claimed]:
    person = subscribers.Subscriber
    rows = session.exec(
        select(DeliveryRow.id, DeliveryRow.subscriber_id, DeliveryRow.edition_id, person)
        .join(person, col(person.id) == col(DeliveryRow.subscriber_id))
        .where(DeliveryRow.issue_id == issue, DeliveryRow.claimed_by == owner, DeliveryRow.state == CLAIMED)
        .order_by(col(DeliveryRow.id))
    ).all()
    return [
        Claimed(
            number or 0,
            issue,
            reader,
            edition or 0,
            who.address,
            who.name,
            who.format == Format.TEXT,
            subscribers.topics_of(who.follows),
        )
        for number, reader, edition, who in rows
    ]


def mark_handing(session: Session, ids: Sequence[int], owner: str, provider: str, real_now: dt.datetime) -> set[int]:
    """Record that these deliveries are about to leave. Must be committed before a byte does.

    Returns those that still are the owner's: whoever slept longer than the lease may have lost some to another process.
    """
    marked = session.execute(
        update(DeliveryRow)
        .where(col(DeliveryRow.id).in_(ids), col(DeliveryRow.state) == CLAIMED, col(DeliveryRow.claimed_by) == owner)
        .values(
            state=HANDING,
            provider=provider,
            attempts=DeliveryRow.attempts + 1,
            claimed_at=real_now,
            changed_at=real_now,
        )
        .returning(col(DeliveryRow.id))
    )
    return set(marked.scalars())


def mark(
    session: Session,
    results: Iterable[tuple[int, Outcome | None]],
    owner: str,
    now: dt.datetime,
    real_now: dt.datetime,
) -> None:
    """Record what became of deliveries that ``owner`` was handing over.

    No outcome: it was not taken, and that was no try. A delivery that another process took for a doubt meanwhile is
    resolved: now somebody knows.
    """
    ours = and_(col(DeliveryRow.state) == HANDING, col(DeliveryRow.claimed_by) == owner)
    for number, outcome in results:
        session.execute(
            update(DeliveryRow)
            .where(col(DeliveryRow.id) == number, or_(ours, col(DeliveryRow.state) == IN_DOUBT))
            .values(claimed_by="", changed_at=real_now, **_mark(outcome, now))
        )


def _mark(outcome: Outcome | None, now: dt.datetime) -> dict[str, object]:
    match outcome:
        case None:
            return {"state": PLANNED, "attempts": DeliveryRow.attempts - 1}
        case Accepted(ref=ref):
            return {"state": ACCEPTED, "provider_ref": ref, "reason": ""}
        case Refused(why=why):
            return {"state": FAILED, "reason": why}
        case TryLater(why=why, after=after):
            wait = max(BACKOFF, dt.timedelta(seconds=after))
            spent = col(DeliveryRow.attempts) >= MOST_ATTEMPTS
            return {"state": case((spent, FAILED), else_=PLANNED), "try_at": now + wait, "reason": why}
        case InDoubt(why=why):
            return {"state": IN_DOUBT, "reason": why}


def give_back(session: Session, owner: str, real_now: dt.datetime) -> None:
    """Plan again what this process claimed and did not hand over."""
    session.execute(
        update(DeliveryRow)
        .where(col(DeliveryRow.claimed_by) == owner, col(DeliveryRow.state) == CLAIMED)
        .values(state=PLANNED, claimed_by="", changed_at=real_now)
    )


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` is what day it is (it may be frozen); ``real`` is the machine's, for leases alone."""

    now: Callable[[], dt.datetime]
    real: Callable[[], dt.datetime]


def send(
    store: Store,
    issue: int,
    provider: Provider,
    compose: Callable[[Claimed], Message],
    clocks: Clocks,
    *,
    chunk: int = 500,
    progress: Callable[[int], None] = lambda handed: None,
) -> None:
    """Hand over every due delivery of a frozen issue; return when none is due.

    ``compose`` addresses a message; ``progress`` hears how many have been handed over since the last call.
    Raises NotAllowed when the provider does not accept us: what was not taken is planned again.
    """
    owner = _owner()
    with store.write() as session:
        recover(session, issue, clocks.real(), repeatable=provider.name if provider.repeats_safely else "")
    try:
        while True:
            with store.write() as session:
                claimed = claim(session, issue, owner, chunk, clocks.now(), clocks.real())
            if not claimed:
                return
            for start in range(0, len(claimed), provider.batch):
                batch = claimed[start : start + provider.batch]
                _hand_over(store, provider, batch, owner, compose, clocks)
                progress(len(batch))
    finally:
        with store.write() as session:
            give_back(session, owner, clocks.real())


def _hand_over(
    store: Store,
    provider: Provider,
    batch: Sequence[Claimed],
    owner: str,
    compose: Callable[[Claimed], Message],
    clocks: Clocks,
) -> None:
    composed = {claimed.id: compose(claimed) for claimed in batch}
    with store.write() as session:
        ours = mark_handing(session, list(composed), owner, provider.name, clocks.real())
    messages = {number: message for number, message in composed.items() if number in ours}
    outcomes: dict[str, Outcome] = {}
    refusal: NotAllowed | None = None
    try:
        for outcome in provider.hand_over(list(messages.values())):
            outcomes[outcome.key] = outcome
    except NotAllowed as error:
        refusal = error
    missing = None if refusal else InDoubt("", "the provider gave no answer for this message")
    results = [(number, outcomes.get(message.key, missing)) for number, message in messages.items()]
    with store.write() as session:
        mark(session, results, owner, clocks.now(), clocks.real())
    if refusal:
        raise refusal


def _rowcount(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
