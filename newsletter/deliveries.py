"""The ledger: who gets which edition of an issue, and what became of it.

    planned -> claimed -> handing -> accepted -> delivered | bounced | complained
    claimed -> planned     its owner died before handing over, or gave it back
    handing -> planned     the provider said "not now", or does not accept us at all
    handing -> failed      the provider refused this reader for good, or had no time too often
    handing -> in_doubt    nobody knows
    in_doubt -> planned | accepted | failed    when someone does: the owner, a report, or the configured policy
    planned -> skipped     by the freeze, with the reason; or when the reader has left meanwhile
    planned, claimed -> cancelled    by the owner; what goes out at that moment still arrives

`handing` is committed before a byte leaves, so a process that dies leaves in doubt only what was in flight, and nothing
is ever handed over twice without a word of the owner. Here are the statements, each for a transaction of the caller's;
:mod:`newsletter.sending` says in which order. They serve SQLite, where a writer is alone, and PostgreSQL, where rows
that another sender holds are passed over (SKIP LOCKED, which SQLite's dialect leaves out).
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    CursorResult,
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate
from sqlmodel import Session, SQLModel, col, select

import subscribers
from newsletter.editions import Assignment, Follows
from newsletter.masking import mask_addresses
from newsletter.problems import Misused
from newsletter.providers import Accepted, InDoubt, Outcome, Refused, TryLater
from newsletter.store.tables import AudienceGroupRow, AudienceHourRow, DeliveryRow, EditionRow, IssueRow, SendingRow
from subscribers import Format, Frequency, UtcDateTime

PLANNED, CLAIMED, HANDING = "planned", "claimed", "handing"
ACCEPTED, FAILED, IN_DOUBT, SKIPPED, CANCELLED = "accepted", "failed", "in_doubt", "skipped", "cancelled"
DELIVERED, BOUNCED, COMPLAINED = "delivered", "bounced", "complained"
STATES = (PLANNED, CLAIMED, HANDING, ACCEPTED, DELIVERED, BOUNCED, COMPLAINED, FAILED, IN_DOUBT, SKIPPED, CANCELLED)
UNFINISHED = (PLANNED, CLAIMED, HANDING, IN_DOUBT)
GOING, PAUSED = "going", "paused"
"""How a sending stands; it can also be CANCELLED."""

LEASE = dt.timedelta(minutes=15)
"""A claim older than this by the real clock belongs to a process that died."""
BACKOFF, LONGEST_BACKOFF = dt.timedelta(minutes=1), dt.timedelta(hours=2)
LONGEST_WISH = dt.timedelta(days=1)
"""The longest wait that a provider can ask for."""
MOST_ATTEMPTS = 10
"""With the waits between them, six hours: a provider's bad night."""
LEFT = "left or paused after the freeze"
_DELIVERY = SQLModel.metadata.tables["delivery"]
"""For statements in bulk: without what SQLModel does for objects in the session."""


class LedgerError(Misused):
    """That cannot be done to an issue's deliveries. The text says what, why and which command mends it."""


class _Bulk:
    """An UPDATE of deliveries that are named when it runs: by the first and the last id where none is missing between.

    Most often none is; to name each then takes SQLAlchemy a third of the statement's time.
    """

    def __init__(self, statement: Update | ReturningUpdate[Any]) -> None:
        self._run = statement.where(col(DeliveryRow.id).between(bindparam("first"), bindparam("last")))
        self._each = statement.where(col(DeliveryRow.id).in_(bindparam("ids", expanding=True)))

    def execute(self, at: At, ids: Sequence[int], values: Mapping[str, object]) -> CursorResult[Any]:
        """Update these deliveries and no others; ``values`` are those of the statement's parameters."""
        first, last = min(ids, default=0), max(ids, default=0)
        if last - first + 1 == len(set(ids)):
            return _plain(at).execute(self._run, {**values, "first": first, "last": last})
        return _plain(at).execute(self._each, {**values, "ids": ids})


class Verdict(StrEnum):
    """What the owner says became of a delivery: the reader has it, will never get it, or should get it now."""

    SENT = "sent"
    FAILED = "failed"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` is what day it is (it may be frozen); ``real`` is the machine's, for leases alone."""

    now: Callable[[], dt.datetime]
    real: Callable[[], dt.datetime]


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


def parse_key(key: str) -> tuple[int, int] | None:
    """The issue and the subscriber of a key; None for what is no key."""
    issue, dash, subscriber_id = key.partition("-")
    return (int(issue), int(subscriber_id)) if dash and issue.isdecimal() and subscriber_id.isdecimal() else None


def plan(
    session: Session,
    issue: int,
    groups: Mapping[str, Assignment],
    *,
    frequency: Frequency,
    due_at: dt.datetime,
    now: dt.datetime,
    group_of: ColumnElement[str] | None = None,
    due_in: Mapping[str, dt.datetime] | None = None,
) -> None:
    """Write the whole audience of an issue: one row for each mailable reader of its frequency, planned or skipped.

    ``groups`` are the assignments by the subscribers' `follows`, or by ``group_of``, an expression over their row;
    ``due_in`` is when readers of a time zone are due, for each zone in `time_zones`, in place of ``due_at``.
    One statement writes all rows, however many.
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
    session.add_all(AudienceHourRow(issue_id=issue, time_zone=z, due_at=due) for z, due in (due_in or {}).items())
    sending = SendingRow(issue_id=issue)
    session.add(sending)
    session.flush()
    audience = subscribers.in_audience(now, frequency)
    columns, rows = _rows(issue, due_at, now, group_of, by_hour=due_in is not None)
    if len(edition_ids) > 1:
        # They go out in this order: so each edition is made once, and fills calls of the provider.
        rows = rows.order_by(col(AudienceGroupRow.edition_id))
    session.execute(insert(DeliveryRow).from_select(columns, rows.where(audience)))
    expected = session.exec(select(func.count()).select_from(subscribers.Subscriber).where(audience)).one()
    written = session.exec(select(func.count()).select_from(DeliveryRow).where(DeliveryRow.issue_id == issue)).one()
    if expected != written:
        raise RuntimeError(f"the audience has {expected} readers and {written} deliveries were planned")
    sending.audience = written


def _rows(
    issue: int, due_at: dt.datetime, now: dt.datetime, group_of: ColumnElement[str] | None, *, by_hour: bool
) -> tuple[list[str], Select[Any]]:
    """The columns of the audience's deliveries, and the query for them."""
    person, group, hour = subscribers.Subscriber, AudienceGroupRow, AudienceHourRow
    due = col(hour.due_at) if by_hour else literal(due_at, type_=UtcDateTime())
    columns: dict[str, Any] = {
        "issue_id": literal(issue),
        "subscriber_id": col(person.id),
        "edition_id": col(group.edition_id),
        "state": case((col(group.edition_id).is_(None), SKIPPED), else_=PLANNED),
        "reason": col(group.reason),
        "due_at": due,
        "try_at": due,
        "attempts": literal(0),
        "claimed_by": literal(""),
        "provider": literal(""),
        "provider_ref": literal(""),
        "changed_at": literal(now, type_=UtcDateTime()),
    }
    name = col(person.follows) if group_of is None else group_of
    its_group = and_(col(group.issue_id) == issue, col(group.follows) == name)
    rows = sqlalchemy.select(*columns.values()).select_from(person).join(group, its_group)
    if by_hour:
        rows = rows.join(hour, and_(col(hour.issue_id) == issue, col(hour.time_zone) == col(person.time_zone)))
    return list(columns), rows


def time_zones(session: Session, frequency: Frequency, now: dt.datetime) -> Sequence[str]:
    """The time zones in which readers of an issue live, as their rows have them."""
    zone = col(subscribers.Subscriber.time_zone)
    return session.exec(select(zone).where(subscribers.in_audience(now, frequency)).distinct()).all()


def at_hour(hour: int, zone: str, default: str, now: dt.datetime) -> dt.datetime:
    """The next time that it is ``hour`` o'clock in a time zone, or now when it is just that hour.

    A zone that there is not counts as ``default``. Where the clock leaps over that hour, the hour after it counts;
    where it comes twice, the first (PEP 495).
    """
    local = now.astimezone(_zone(zone, default))
    if local.hour == hour:
        return now
    days = (0, 1, 2)
    found = (_moment(local.date() + dt.timedelta(days=day), hour, local.tzinfo) for day in days)
    return next(moment for moment in found if moment > now)


def _moment(day: dt.date, hour: int, zone: dt.tzinfo | None) -> dt.datetime:
    # Through UTC: an hour that the clock leaps over becomes the one that comes in its place.
    return dt.datetime.combine(day, dt.time(hour), zone).astimezone(dt.UTC)


def _zone(name: str, default: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or default)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo(default)


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


def unfinished_issue(session: Session, since: dt.datetime | None = None) -> int | None:
    """The oldest issue with deliveries that can still be handed over, or None; paused and cancelled ones do not count.

    Nor do, with ``since``, those that were due before it and are too late to go by themselves.
    """
    row, sending = DeliveryRow, SendingRow
    waits = and_(col(row.state) == PLANNED, *_not_before(since))
    left = exists(literal(1)).where(col(row.issue_id) == col(sending.issue_id))
    held = left.where(col(row.state).in_((CLAIMED, HANDING)))
    query = select(func.min(sending.issue_id)).where(sending.state == GOING, or_(left.where(waits), held))
    return session.exec(query).one()


def due_issues(
    session: Session, now: dt.datetime, since: dt.datetime, doubted_until: dt.datetime | None = None
) -> Sequence[int]:
    """Issues that a sending would change now, oldest first.

    They have deliveries that are due, and not due before ``since``; or what processes left behind; or, with
    ``doubted_until``, doubts as old as that by the real clock, which are to be handed over again.
    """
    row, sending = DeliveryRow, SendingRow
    left = exists(literal(1)).where(col(row.issue_id) == col(sending.issue_id))
    due = left.where(col(row.state) == PLANNED, col(row.try_at) <= now, *_not_before(since))
    held = left.where(col(row.state).in_((CLAIMED, HANDING)))
    wants = and_(
        col(sending.state) == GOING, or_(col(sending.held_until).is_(None), col(sending.held_until) <= now), due
    )
    if doubted_until is not None:
        doubted = left.where(col(row.state) == IN_DOUBT, col(row.changed_at) <= doubted_until)
        wants = or_(wants, and_(col(sending.state) == GOING, doubted))
    query = select(sending.issue_id).where(or_(wants, held))
    return session.exec(query.order_by(col(sending.issue_id))).all()


def editions_of(session: Session, issue: int) -> dict[int, tuple[int, ...]]:
    """The numbers of the pieces of each edition of a frozen issue, by the edition's id."""
    rows = session.exec(select(EditionRow).where(EditionRow.issue_id == issue))
    return {row.id or 0: tuple(row.piece_ids) for row in rows}


def readers_of_editions(session: Session, issue: int) -> dict[int, int]:
    """How many readers of a frozen issue get each edition, by the edition's id."""
    query = select(DeliveryRow.edition_id, func.count()).where(DeliveryRow.issue_id == issue)
    return {key: count for key, count in session.exec(query.group_by(col(DeliveryRow.edition_id))) if key}


def edition_of_reader(session: Session, issue: int, subscriber_id: int) -> int | None:
    """The id of the edition of an issue that a reader gets or got; None for who is no reader of it, or was skipped."""
    query = select(DeliveryRow.edition_id).where(
        DeliveryRow.issue_id == issue, DeliveryRow.subscriber_id == subscriber_id
    )
    return session.exec(query).first()


class Lock(StrEnum):
    """What others may do, until the transaction ends, with how a sending stands: anything, read it, or wait."""

    NONE = "none"
    SHARED = "shared"
    OWN = "own"


At = Session | Connection
"""Where the statements run that are needed for every few messages: a session costs as much as they do."""


def _plain(at: At) -> Connection:
    return at.connection() if isinstance(at, Session) else at


_STANDING = (
    sqlalchemy.select(SendingRow)
    .where(col(SendingRow.issue_id) == bindparam("issue"))
    .execution_options(populate_existing=True)
)
_STANDINGS = {
    Lock.NONE: _STANDING,
    Lock.SHARED: _STANDING.with_for_update(read=True),
    Lock.OWN: _STANDING.with_for_update(),
}


def standing(session: Session, issue: int, lock: Lock = Lock.NONE) -> SendingRow:
    """How the sending of an issue stands. Take the lock before those of any delivery, and `OWN` to change it.

    Raises LedgerError for one whose audience is not frozen.
    """
    row = session.scalars(_STANDINGS[lock], {"issue": issue}).first()
    if row is None:
        raise _not_being_sent(issue)
    return row


def _not_being_sent(issue: int) -> LedgerError:
    return LedgerError(f"issue {issue} is not being sent; `newsletter issues list` shows where it is")


_STATE = sqlalchemy.select(col(SendingRow.state)).where(col(SendingRow.issue_id) == bindparam("issue"))
_STATE_LOCKED = _STATE.with_for_update(read=True)


def state_of(at: At, issue: int) -> str:
    """Whether an issue is going, paused or cancelled, and nobody changes that until the transaction ends.

    Take it before the locks of any delivery. Raises LedgerError for an issue whose audience is not frozen.
    """
    found = _plain(at).execute(_STATE_LOCKED, {"issue": issue}).scalar()
    if found is None:
        raise _not_being_sent(issue)
    return str(found)


def pause(session: Session, issue: int) -> None:
    """Let no further message of an issue leave until `resume`. Raises LedgerError when it is cancelled or a draft."""
    _set_state(session, issue, PAUSED)


def resume(session: Session, issue: int) -> None:
    """Let an issue go on, at once, whatever the provider asked for. Raises LedgerError: cancelled, or a draft."""
    row = _set_state(session, issue, GOING)
    row.held_until, row.held = None, 0


def cancel(session: Session, issue: int, real_now: dt.datetime) -> int:
    """Send no more of an issue, for good; returns how many readers will not get it.

    It stays public and its pieces stay published. What is being handed over at this moment still arrives.
    Raises LedgerError when it is cancelled already or a draft.
    """
    _set_state(session, issue, CANCELLED)
    waiting = and_(col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state).in_((PLANNED, CLAIMED)))
    values = {"state": CANCELLED, "claimed_by": "", "reason": "cancelled by the owner", "changed_at": real_now}
    return _rowcount(session.execute(update(_DELIVERY).where(waiting).values(values)))


def _set_state(session: Session, issue: int, state: str) -> SendingRow:
    row = standing(session, issue, Lock.OWN)
    if row.state == CANCELLED:
        raise LedgerError(f"issue {issue} is cancelled, which is for good; its page stays public")
    row.state = state
    session.add(row)
    return row


def pause_unfinished(session: Session) -> list[int]:
    """Pause every issue with deliveries that could still go out. Returns their numbers."""
    unfinished = exists(literal(1)).where(
        col(DeliveryRow.issue_id) == col(SendingRow.issue_id), col(DeliveryRow.state).in_(UNFINISHED)
    )
    paused = session.exec(select(SendingRow).where(SendingRow.state == GOING, unfinished)).all()
    for row in paused:
        row.state = PAUSED
        session.add(row)
    return [row.issue_id for row in paused]


def recover(session: Session, issue: int, now: dt.datetime, *, repeatable: str = "") -> dict[str, int]:
    """Take over what dead processes left: their claims are planned again, their hand-overs are in doubt.

    Hand-overs to the provider ``repeatable``, which repeats safely, are planned again too.
    A process is dead when it ran on this machine and is gone, or when its lease has run out. ``now`` is the real time.
    Returns how many of each.
    """
    state = _waiting(state_of(session, issue))
    held = and_(col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state).in_((CLAIMED, HANDING)))
    owners = session.exec(select(DeliveryRow.claimed_by).where(held).distinct()).all()
    gone = [owner for owner in owners if _is_gone(owner)]
    dead = and_(held, or_(col(DeliveryRow.claimed_at) < now - LEASE, _owned_by(gone)))
    claimed = session.execute(
        update(_DELIVERY)
        .where(dead, or_(col(DeliveryRow.state) == CLAIMED, col(DeliveryRow.provider) == repeatable))
        .values(state=state, claimed_by="", changed_at=now)
    )
    handing = session.execute(
        update(_DELIVERY)
        .where(dead, col(DeliveryRow.state) == HANDING)
        # It stays this process's: should it live after all, then its answer ends this doubt, and no later one.
        .values(state=IN_DOUBT, reason="the sending process ended while it handed over", changed_at=now)
    )
    return {PLANNED: _rowcount(claimed), IN_DOUBT: _rowcount(handing)}


def _waiting(state: str) -> str:
    """The state of what waits to be handed over: in a cancelled issue nothing does."""
    return CANCELLED if state == CANCELLED else PLANNED


def _owned_by(owners: Sequence[str]) -> ColumnElement[bool]:
    return col(DeliveryRow.claimed_by).in_(owners)


def owner() -> str:
    """A name for a sending: the machine, the process and when it began, and a word that no other sending has."""
    process = os.getpid()
    return f"{socket.gethostname()}/{process}/{_began(process)}/{secrets.token_hex(4)}"


def _is_gone(name: str) -> bool:
    """Whether a sending's process surely is no more: it ran on this machine, and no process has its number, or another.

    In a container every process that is started anew may have the same number.
    """
    machine, _, rest = name.partition("/")
    number, _, rest = rest.partition("/")
    if machine != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    began = rest.partition("/")[0]
    return began.isdigit() and began != _began(int(number))


def _began(process: int) -> str:
    """When a process began, in ticks since the machine did; empty where nobody says (proc_pid_stat(5), field 22)."""
    try:
        line = Path(f"/proc/{process}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return ""
    return line.rpartition(")")[2].split()[19]


def claim(
    session: Session,
    issue: int,
    owner: str,
    limit: int,
    now: dt.datetime,
    real_now: dt.datetime,
    since: dt.datetime | None = None,
) -> list[Claimed]:
    """Claim up to ``limit`` due deliveries for ``owner``, in one transaction with the question who may still be mailed.

    Whoever unsubscribed before this transaction, or was erased, is skipped by it. ``now`` says what is due, ``since``
    leaves out what was due before it, and ``real_now`` starts the lease. None are claimed of an issue that is paused or
    cancelled, or whose provider asked to wait.
    """
    sending = standing(session, issue, Lock.SHARED)
    if sending.state != GOING or (sending.held_until and sending.held_until > now):
        return []
    query = _next(issue, now, since).limit(limit)
    while True:
        rows = session.execute(query).all()
        mine = [_claimed(issue, *row) for *row, mailable in rows if mailable]
        if len(mine) < len(rows):
            _SKIPPING.execute(session, [row.id for row in rows if not row.mailable], {"at": real_now})
        _CLAIMING.execute(session, [claimed.id for claimed in mine], {"of": owner, "at": real_now})
        if mine or len(rows) < limit:
            return mine


def _next(issue: int, now: dt.datetime, since: dt.datetime | None) -> Select[Any]:
    """What is due, earliest first, with its reader. The index on `try_at` gives this order: nothing is sorted."""
    row, person = DeliveryRow, subscribers.Subscriber
    columns: tuple[Any, ...] = (
        col(row.id),
        col(row.subscriber_id),
        col(row.edition_id),
        col(person.address),
        col(person.name),
        col(person.format),
        col(person.follows),
        subscribers.mailable(now).label("mailable"),
    )
    return (
        sqlalchemy.select(*columns)
        .outerjoin_from(row, person, col(person.id) == col(row.subscriber_id))
        .where(col(row.issue_id) == issue, col(row.state) == PLANNED, col(row.try_at) <= now, *_not_before(since))
        .order_by(col(row.try_at), col(row.id))
        .with_for_update(of=row, skip_locked=True)
    )


def _not_before(since: dt.datetime | None) -> list[ColumnElement[bool]]:
    """Due since then. (So was what is tried since then; said too, it lets the index begin there.)"""
    return [] if since is None else [col(DeliveryRow.due_at) >= since, col(DeliveryRow.try_at) >= since]


def _claimed(
    issue: int, row: int, reader: int, edition: int, address: str, name: str, format_: str, follows: str
) -> Claimed:
    return Claimed(row, issue, reader, edition, address, name, format_ == Format.TEXT, _topics(follows))


_topics = cache(subscribers.topics_of)


def mark_handing(at: At, ids: Sequence[int], owner: str, provider: str, clocks: Clocks) -> dict[int, int]:
    """Record that these deliveries are about to leave. Must be committed before a byte does.

    Returns those that may leave, each with how often it was tried: whoever slept longer than the lease may have lost
    some to another process, and readers who left since the claim are skipped. The caller has asked for the `state_of`
    the issue in this transaction.
    """
    given = {"of": owner, "now": clocks.now(), "at": clocks.real()}
    leaving = {row.id: row.attempts for row in _LEAVING.execute(at, ids, {**given, "by": provider})}
    if len(leaving) < len(ids):
        _GONE.execute(at, ids, given)
    return leaving


def _exists(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    person = subscribers.Subscriber
    return select(person.id).where(col(person.id) == col(DeliveryRow.subscriber_id), condition).exists()


# Built once: to build a statement takes longer than to run it, and these run for every few messages.
_AT: BindParameter[dt.datetime] = bindparam("at", type_=UtcDateTime())
_MAILABLE = _exists(subscribers.mailable(bindparam("now", type_=UtcDateTime())))
_OURS = and_(col(DeliveryRow.state) == CLAIMED, col(DeliveryRow.claimed_by) == bindparam("of"))
_CLAIMING = _Bulk(update(_DELIVERY).values(state=CLAIMED, claimed_by=bindparam("of"), claimed_at=_AT))
_LEAVING = _Bulk(
    update(_DELIVERY)
    .where(_OURS, _MAILABLE)
    .values(state=HANDING, provider=bindparam("by"), attempts=DeliveryRow.attempts + 1, claimed_at=_AT)
    .returning(_DELIVERY.c.id, _DELIVERY.c.attempts)
)
_SKIP = update(_DELIVERY).values(state=SKIPPED, reason=LEFT, claimed_by="", changed_at=_AT)
_SKIPPING, _GONE = _Bulk(_SKIP), _Bulk(_SKIP.where(_OURS, not_(_MAILABLE)))

_LEDGER = SQLModel.metadata.tables["ledger"]


def ledger(session: Session, *, lock: bool = True) -> tuple[str, int]:
    """The ledger's name, and the number of its last hand-over.

    With ``lock``, nobody else hands over before this transaction ends.
    """
    query = sqlalchemy.select(_LEDGER.c.name, _LEDGER.c.handed)
    name, handed = session.execute(query.with_for_update() if lock else query).one()
    return name, handed


def count_hand_over(at: At) -> tuple[str, int]:
    """Give the next hand-over its number. Returns the ledger's name and that number, as `ledger` does."""
    name, handed = _plain(at).execute(_COUNTED).one()
    return name, handed


_COUNTED = update(_LEDGER).values(handed=_LEDGER.c.handed + 1).returning(_LEDGER.c.name, _LEDGER.c.handed)


def rename_ledger(session: Session, at_least: int) -> tuple[str, int]:
    """Give the ledger a name that no other copy has, and a number that is not behind; returns both."""
    name, handed = secrets.token_hex(8), max(ledger(session)[1], at_least)
    session.execute(update(_LEDGER).values(name=name, handed=handed))
    return name, handed


@dataclass(frozen=True, slots=True)
class Handed:
    """A delivery that was handed over, and what became of it. No outcome: it was not taken, and that was no try."""

    id: int
    attempts: int
    outcome: Outcome | None


def mark(at: At, state: str, handed: Sequence[Handed], owner: str, clocks: Clocks) -> None:
    """Record what became of deliveries that ``owner`` was handing over.

    ``state`` is the `state_of` their issue. A delivery that another process took for a doubt meanwhile is
    resolved: now somebody knows. One that was handed over anew since is not: of that, nobody knows more.
    """
    if not handed:
        return
    now = clocks.now()
    waiting = _waiting(state)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for one in handed:
        alike.setdefault(_mark(one, now, waiting), []).append(one.id)
    by_whom = {"of": owner, "at": clocks.real()}
    few = list[dict[str, Any]]()
    for values, ids in alike.items():
        named = dict(zip(_MARKED, values, strict=True))
        if len(ids) >= _MANY_ALIKE:
            _MARK_MANY.execute(at, ids, {**named, **by_whom})
        else:
            few += ({**named, **by_whom, "row": row} for row in ids)
    if few:
        _plain(at).execute(_MARK_EACH, few)


_MARKED = ("new_state", "new_reason", "new_ref", "new_attempts", "again")
_MANY_ALIKE = 20
"""So many rows with the same values are cheaper in a statement of their own."""


def _marking() -> Update:
    """Takes a hand-over of the owner's, or what became a doubt of it, to the values of `_MARKED`."""
    with_provider = or_(col(DeliveryRow.state) == HANDING, col(DeliveryRow.state) == IN_DOUBT)
    return (
        update(_DELIVERY)
        .where(with_provider, col(DeliveryRow.claimed_by) == bindparam("of"))
        .values(
            state=bindparam("new_state"),
            reason=bindparam("new_reason"),
            provider_ref=bindparam("new_ref"),
            attempts=bindparam("new_attempts"),
            try_at=func.coalesce(bindparam("again", type_=UtcDateTime()), col(DeliveryRow.try_at)),
            claimed_by="",
            changed_at=_AT,
        )
    )


_MARK_MANY = _Bulk(_marking())
_MARK_EACH = _marking().where(col(DeliveryRow.id) == bindparam("row"))


def _mark(handed: Handed, now: dt.datetime, waiting: str) -> tuple[Any, ...]:
    """The values of a row after its outcome, as in `_MARKED`; ``waiting`` is the state of what is tried again.

    What the provider says may name the reader, whom the row outlives: addresses in it are masked.
    """
    state, why, *rest = _marked(handed, now, waiting)
    return state, mask_addresses(why), *rest


def _marked(handed: Handed, now: dt.datetime, waiting: str) -> tuple[Any, ...]:
    tries = handed.attempts
    match handed.outcome:
        case None:
            return waiting, "", "", tries - 1, None
        case Accepted(ref=ref):
            return ACCEPTED, "", ref, tries, None
        case Refused(why=why):
            return FAILED, why, "", tries, None
        case TryLater(why=why) if tries >= MOST_ATTEMPTS:
            return FAILED, f"tried {tries} times: {why}", "", tries, None
        case TryLater(why=why, after=after):
            return waiting, why, "", tries, now + wait_for(tries, after)
        case InDoubt(why=why):
            return IN_DOUBT, why, "", tries, None


def clear_trouble(session: Session, sending: SendingRow) -> None:
    """Forget what stood in the way of an issue: the provider takes its messages again."""
    sending.held, sending.held_until, sending.trouble, sending.trouble_at = 0, None, "", None
    session.add(sending)


def wait_for(tries: int, wish: float = 0.0) -> dt.timedelta:
    """How long to wait after so many tries: doubling, or the provider's wish (seconds, honoured up to a day)."""
    doubled = BACKOFF * (1 << min(tries - 1, 20))
    return max(min(doubled, LONGEST_BACKOFF), dt.timedelta(seconds=min(wish, LONGEST_WISH.total_seconds())))


def hold(session: Session, sending: SendingRow, why: str, wish: float, clocks: Clocks) -> dt.datetime:
    """Let an issue wait whose provider has no time for anybody. Returns until when; `claim` gives nothing before."""
    sending.held += 1
    sending.held_until = clocks.now() + wait_for(sending.held, wish)
    complain(session, sending, why, clocks)
    return sending.held_until


def complain(session: Session, sending: SendingRow, why: str, clocks: Clocks) -> None:
    """Keep what stands in the way of a whole issue, for `status`."""
    sending.trouble, sending.trouble_at = mask_addresses(why), clocks.real()
    session.add(sending)


def give_back(session: Session, issue: int, owner: str, real_now: dt.datetime) -> None:
    """Plan again what ``owner`` claimed of an issue and did not hand over."""
    claimed = and_(col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state) == CLAIMED)
    mine = and_(claimed, col(DeliveryRow.claimed_by) == owner)
    session.execute(update(_DELIVERY).where(mine).values(state=PLANNED, claimed_by="", changed_at=real_now))


def skip_editions(session: Session, issue: int, editions: Sequence[int], reason: str, real_now: dt.datetime) -> int:
    """Skip the readers of these editions who still wait for them. Returns how many there were."""
    theirs = and_(
        col(DeliveryRow.issue_id) == issue,
        col(DeliveryRow.state) == PLANNED,
        col(DeliveryRow.edition_id).in_(editions),
    )
    values = {"state": SKIPPED, "reason": reason, "changed_at": real_now}
    return _rowcount(session.execute(update(_DELIVERY).where(theirs).values(values)))


def send_doubts_again(session: Session, issue: int, until: dt.datetime, clocks: Clocks) -> int:
    """Plan again what is in doubt since before ``until`` by the real clock: the policy of who would rather mail twice.

    Returns how many.
    """
    doubted = and_(
        col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state) == IN_DOUBT, col(DeliveryRow.changed_at) <= until
    )
    if state_of(session, issue) == CANCELLED:
        return 0
    values = {"state": PLANNED, "reason": "in doubt for too long", "claimed_by": "", "changed_at": clocks.real()}
    return _rowcount(session.execute(update(_DELIVERY).where(doubted).values(values)))


def resolve(
    session: Session, issue: int, verdict: Verdict, clocks: Clocks, *, subscriber_id: int | None = None, state: str
) -> int:
    """The owner's word on the deliveries of an issue in ``state`` (IN_DOUBT or FAILED), or on one reader's of them.

    Returns how many there were. Raises LedgerError for AGAIN in a cancelled issue.
    """
    meant = and_(col(DeliveryRow.issue_id) == issue, col(DeliveryRow.state) == state)
    if subscriber_id is not None:
        meant = and_(meant, col(DeliveryRow.subscriber_id) == subscriber_id)
    values: dict[str, object] = {"changed_at": clocks.real(), "claimed_by": ""}
    match verdict:
        case Verdict.SENT:
            values |= {"state": ACCEPTED, "reason": "sent, says the owner"}
        case Verdict.FAILED:
            values |= {"state": FAILED, "reason": "not sent, says the owner"}
        case Verdict.AGAIN:
            if state_of(session, issue) == CANCELLED:
                raise LedgerError(
                    f"issue {issue} is cancelled, which is for good; only `--as sent` and `--as failed` are left"
                )
            values |= {"state": PLANNED, "reason": "", "attempts": 0, "try_at": clocks.now()}
    return _rowcount(session.execute(update(_DELIVERY).where(meant).values(values)))


def standings(session: Session) -> dict[int, str]:
    """How the sending of each issue stands, by its number."""
    return dict(session.exec(select(SendingRow.issue_id, SendingRow.state)).all())


@dataclass(frozen=True, slots=True)
class Waiting:
    """The planned deliveries of an issue: due and to be sent by itself, too late for that, and not due yet."""

    due: int
    late: int
    later: int
    next_try: dt.datetime | None


def waiting(session: Session, issue: int, now: dt.datetime, since: dt.datetime) -> Waiting:
    """What of an issue waits, and for what. ``since`` is where the window begins."""
    row = DeliveryRow
    later, late = col(row.try_at) > now, col(row.due_at) < since
    query = sqlalchemy.select(
        func.count(case((and_(not_(later), not_(late)), 1))),
        func.count(case((and_(not_(later), late), 1))),
        func.count(case((later, 1))),
        func.min(case((later, col(row.try_at)))),
    ).where(col(row.issue_id) == issue, col(row.state) == PLANNED)
    return Waiting(*session.execute(query).one())


def held_by(session: Session, issue: int, real_now: dt.datetime) -> tuple[bool, int]:
    """Whether a living process sends an issue, and how many deliveries dead ones hold."""
    row = DeliveryRow
    query = (
        sqlalchemy.select(col(row.claimed_by), func.max(col(row.claimed_at)), func.count())
        .where(col(row.issue_id) == issue, col(row.state).in_((CLAIMED, HANDING)))
        .group_by(col(row.claimed_by))
    )
    owners = session.execute(query).all()
    dead = [count for name, at, count in owners if _is_gone(name) or at < real_now - LEASE]
    return len(dead) < len(owners), sum(dead)


def rate(session: Session, issue: int, real_now: dt.datetime) -> float:
    """How many messages a second were taken within the last minute."""
    row, since = DeliveryRow, real_now - dt.timedelta(minutes=1)
    taken = and_(col(row.issue_id) == issue, col(row.state).not_in((*UNFINISHED, SKIPPED, CANCELLED)))
    query = sqlalchemy.select(func.count(), func.min(col(row.changed_at))).where(taken, col(row.changed_at) > since)
    count, first = session.execute(query).one()
    return count / max((real_now - first).total_seconds(), 1.0) if count else 0.0


def last_error(session: Session, issue: int) -> tuple[str, dt.datetime] | None:
    """The newest reason on a delivery that was tried and not taken, and when that was."""
    row = DeliveryRow
    tried = and_(col(row.issue_id) == issue, col(row.state).in_((PLANNED, FAILED, IN_DOUBT)), col(row.attempts) > 0)
    query = sqlalchemy.select(col(row.reason), col(row.changed_at)).where(tried, col(row.reason) != "")
    found = session.execute(query.order_by(col(row.changed_at).desc()).limit(1)).first()
    return (found[0], found[1]) if found else None


def open_issues(session: Session) -> Sequence[int]:
    """Issues with deliveries that are not finished, oldest first; cancelled ones may still have doubts."""
    unfinished = exists(literal(1)).where(
        col(DeliveryRow.issue_id) == col(SendingRow.issue_id), col(DeliveryRow.state).in_(UNFINISHED)
    )
    return session.exec(select(SendingRow.issue_id).where(unfinished).order_by(col(SendingRow.issue_id))).all()


@dataclass(frozen=True, slots=True)
class Listed:
    """A delivery as it is listed. ``address`` is empty for a reader who was erased."""

    key: str
    issue: int
    subscriber_id: int
    address: str
    state: str
    reason: str
    provider: str
    attempts: int
    due_at: dt.datetime
    try_at: dt.datetime
    changed_at: dt.datetime


def listing(session: Session, state: str, issue: int | None, limit: int) -> Sequence[Listed]:
    """Deliveries in a state, of one issue or of all that are or were sent, oldest first."""
    row, person = DeliveryRow, subscribers.Subscriber
    named = [col(row.issue_id) == issue] if issue else [col(row.issue_id).in_(select(SendingRow.issue_id))]
    query = (
        sqlalchemy.select(row, col(person.address))
        .outerjoin_from(row, person, col(person.id) == col(row.subscriber_id))
        .where(*named, col(row.state) == state)
        .order_by(col(row.issue_id), col(row.try_at), col(row.id))
        .limit(limit)
    )
    return [_listed(found, address or "") for found, address in session.execute(query)]


def _listed(row: DeliveryRow, address: str) -> Listed:
    return Listed(
        key=key_of(row.issue_id, row.subscriber_id),
        issue=row.issue_id,
        subscriber_id=row.subscriber_id,
        address=address,
        state=row.state,
        reason=row.reason,
        provider=row.provider,
        attempts=row.attempts,
        due_at=row.due_at,
        try_at=row.try_at,
        changed_at=row.changed_at,
    )


def report(session: Session, ids: Sequence[int], state: str, reason: str, real_now: dt.datetime) -> None:
    """Record what a report says became of these deliveries: it ends every doubt, since the provider has them.

    ``state`` is ACCEPTED, which only says that the provider took them, or one of DELIVERED, BOUNCED and COMPLAINED.
    Which of two reports counts is decided by the caller; a delivery that was skipped stays so.
    """
    reported = () if state == ACCEPTED else (ACCEPTED, DELIVERED, BOUNCED, COMPLAINED)
    before = (PLANNED, CLAIMED, HANDING, IN_DOUBT, FAILED, *reported)
    session.execute(
        update(DeliveryRow)
        .where(col(DeliveryRow.id).in_(ids), col(DeliveryRow.state).in_(before))
        .values(state=state, reason=reason, claimed_by="", changed_at=real_now)
    )


def _rowcount(result: object) -> int:
    return int(getattr(result, "rowcount", 0))
