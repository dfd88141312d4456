"""Letters: single mails that someone's own act asks for, kept as rows and handed over after the request.

    planned -> handing -> accepted
    handing -> planned     "not now"; or its owner died, and it is handed over once more
    handing -> failed      refused for good, or tried too often
    planned -> failed      the address was barred, or its reader left, meanwhile

A letter that may have been taken is handed over again, unlike an issue: who asked waits for it, and a second copy of
the same link under the same Message-ID does no harm.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, exists, func, literal, or_, select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import suppression
from subscribers.addresses import parse
from subscribers.ports import Letter
from subscribers.suppression import BARRING, LIFTED_BY_PERSON
from subscribers.tables import LetterState, Suppression, WaitingLetter

LEASE = dt.timedelta(minutes=5)
"""A hand-over older than this by the real clock belongs to a process that died."""

KEPT = dt.timedelta(days=7)
"""How long a letter stays on record: once it is settled, that it went, when and where to, without its text."""

MOST_ATTEMPTS = 8
WANTED_AFTER_LEAVING = ("data",)
"""Kinds of letters that who asked and then left still waits for: a no to the newsletter is none to these."""

_FIRST_WAIT = dt.timedelta(minutes=1)
_LONGEST_WAIT = dt.timedelta(hours=1)


KEY = "letter-"
"""Begins the key of every letter, and of no delivery."""


@dataclass(frozen=True, slots=True)
class ClaimedLetter:
    """A letter that is ours to hand over now."""

    id: int
    kind: str
    address: str
    details: Mapping[str, str]

    @property
    def key(self) -> str:
        """Names the letter to the provider, and makes its Message-ID."""
        return f"{KEY}{self.id}"


@dataclass(frozen=True, slots=True)
class UnsettledLetter:
    """A letter that waits or failed. ``reason`` is why it did not go, ``try_at`` when it is tried (again)."""

    kind: str
    address: str
    state: str
    reason: str
    posted_at: dt.datetime
    try_at: dt.datetime | None


def post(session: Session, letter: Letter, *, now: dt.datetime) -> None:
    """Keep a letter to be handed over once the session is committed. Raises InvalidAddress."""
    parsed = parse(letter.address)
    session.add(
        WaitingLetter(
            kind=letter.kind,
            address=parsed.address,
            identity_hash=suppression.hasher(session)(parsed.identity),
            details=dict(letter.values),
            posted_at=now,
            try_at=now,
        )
    )
    session.flush()


def claim(
    session: Session, owner: str, limit: int, *, now: dt.datetime, real_now: dt.datetime
) -> Sequence[ClaimedLetter]:
    """Take up to ``limit`` letters that are due, in one transaction with the question whether they may still go.

    ``now`` says what is due, ``real_now`` starts the lease. Must be committed before a byte leaves.
    """
    _recover(session, real_now)
    _drop_unwanted(session)
    due = select(col(WaitingLetter.id)).where(_PLANNED, col(WaitingLetter.try_at) <= now)
    due = due.order_by(col(WaitingLetter.id)).limit(limit)
    if session.get_bind().dialect.name == "postgresql":
        due = due.with_for_update(skip_locked=True)
    numbers = session.scalars(due).all()
    session.execute(
        update(WaitingLetter)
        .where(col(WaitingLetter.id).in_(numbers))
        .values(
            state=LetterState.HANDING.value,
            claimed_by=owner,
            claimed_at=real_now,
            attempts=col(WaitingLetter.attempts) + 1,
        )
    )
    rows = session.scalars(
        select(WaitingLetter).where(col(WaitingLetter.id).in_(numbers)).order_by(col(WaitingLetter.id))
    )
    return [ClaimedLetter(row.id, row.kind, row.address, row.details) for row in rows]


def accepted(session: Session, number: int) -> None:
    """The provider took it."""
    _settle(session, number, LetterState.ACCEPTED, "")


def failed(session: Session, number: int, why: str) -> None:
    """The provider will never take it, or it cannot be made."""
    _settle(session, number, LetterState.FAILED, why)


def put_off(session: Session, number: int, why: str, *, now: dt.datetime, after: dt.timedelta, counts: bool) -> None:
    """Plan it again for later: ``after`` is the provider's wish, and each try waits twice as long as the one before.

    ``counts``: this was a try, and after eight of them the letter has failed.
    """
    row = session.get(WaitingLetter, number)
    if row is None or row.state != LetterState.HANDING:
        return
    if counts and row.attempts >= MOST_ATTEMPTS:
        return failed(session, number, why)
    wait = min(_FIRST_WAIT * 2 ** max(row.attempts - 1, 0), _LONGEST_WAIT)
    row.state, row.reason, row.claimed_by = LetterState.PLANNED.value, why, ""
    row.try_at = now + max(wait, after)
    row.attempts -= not counts
    session.flush()


def next_try(session: Session) -> dt.datetime | None:
    """When the next letter is due, or None when none waits."""
    return session.scalar(select(func.min(col(WaitingLetter.try_at))).where(_PLANNED))


def counts(session: Session) -> dict[str, int]:
    """How many letters are in each state; states without any are left out."""
    rows = session.execute(select(col(WaitingLetter.state), func.count()).group_by(col(WaitingLetter.state)))
    return {state: int(number) for state, number in rows}


def overdue(session: Session, *, now: dt.datetime, real_now: dt.datetime) -> int:
    """How many letters somebody should have taken up for a minute at least, while nobody hands any over."""
    is_held = select(col(WaitingLetter.id)).where(_HANDING, col(WaitingLetter.claimed_at) >= real_now - LEASE)
    if session.scalars(is_held.limit(1)).first():
        return 0
    late = or_(_HANDING, and_(_PLANNED, col(WaitingLetter.try_at) <= now - _FIRST_WAIT))
    return session.scalar(select(func.count()).where(late)) or 0


def unsettled(session: Session, limit: int) -> Sequence[UnsettledLetter]:
    """What has not arrived, newest first: the letters that wait, and those of the last week that failed."""
    rows = session.scalars(
        select(WaitingLetter)
        .where(col(WaitingLetter.state) != LetterState.ACCEPTED.value)
        .order_by(col(WaitingLetter.id).desc())
        .limit(limit)
    )
    return [
        UnsettledLetter(
            row.kind,
            row.address,
            row.state,
            row.reason,
            row.posted_at,
            row.try_at if row.state == LetterState.PLANNED else None,
        )
        for row in rows
    ]


def forget(session: Session, identity_hash: str) -> None:
    """Drop every letter to an address, as its person was erased."""
    session.execute(delete(WaitingLetter).where(col(WaitingLetter.identity_hash) == identity_hash))


def tidy(session: Session, *, now: dt.datetime) -> int:
    """Drop letters of a week ago and earlier, also those that no provider took: no link in them works any more.

    Returns how many.
    """
    old = delete(WaitingLetter).where(
        col(WaitingLetter.state) != LetterState.HANDING.value, col(WaitingLetter.posted_at) <= now - KEPT
    )
    return len(session.scalars(old.returning(col(WaitingLetter.id))).all())


_PLANNED = col(WaitingLetter.state) == LetterState.PLANNED.value
_HANDING = col(WaitingLetter.state) == LetterState.HANDING.value
_EMPTIED: Mapping[str, object] = {"details": {}, "claimed_by": ""}


def _recover(session: Session, real_now: dt.datetime) -> None:
    """Plan again what a dead process was handing over; what was tried too often has failed: it may be why they died."""
    dead = update(WaitingLetter).where(_HANDING, col(WaitingLetter.claimed_at) < real_now - LEASE)
    worn = dead.where(col(WaitingLetter.attempts) >= MOST_ATTEMPTS)
    session.execute(worn.values(state=LetterState.FAILED.value, reason="no try came to its end", **_EMPTIED))
    session.execute(dead.values(state=LetterState.PLANNED.value, claimed_by=""))


def _drop_unwanted(session: Session) -> None:
    """Fail what waits for an address that gets no mail of any kind, or whose reader left after it was posted."""
    has_left = and_(
        col(Suppression.kind).in_(sorted(kind.value for kind in LIFTED_BY_PERSON)),
        col(Suppression.at) > col(WaitingLetter.posted_at),
        col(WaitingLetter.kind).not_in(WANTED_AFTER_LEAVING),
    )
    unwanted = exists(literal(1)).where(
        col(Suppression.identity_hash) == col(WaitingLetter.identity_hash),
        or_(col(Suppression.kind).in_(sorted(kind.value for kind in BARRING)), has_left),
    )
    session.execute(
        update(WaitingLetter)
        .where(_PLANNED, unwanted)
        .values(state=LetterState.FAILED.value, reason="no mail goes to this address", **_EMPTIED)
    )


def _settle(session: Session, number: int, state: LetterState, why: str) -> None:
    session.execute(
        update(WaitingLetter)
        .where(col(WaitingLetter.id) == number, _HANDING)
        .values(state=state.value, reason=why, **_EMPTIED)
    )
