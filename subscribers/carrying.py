"""What an older copy of the list must learn when it takes the place of a newer one: who said no since."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import people, suppression
from subscribers.tables import Kind, Pepper, State, Subscriber, Suppression


def carry_over(newer: Session, older: Session) -> int | None:
    """Write every no of a newer copy into an older one: suppressions, who left, and who was erased.

    Returns how many suppressions were new to it; None when these are not two copies of one list, whose hashes say
    nothing to each other.
    """
    pepper = select(col(Pepper.value))
    keys = newer.scalar(pepper), older.scalar(pepper)
    if keys[0] is None:
        return 0
    if keys[0] != keys[1]:
        return None
    stands = select(col(Suppression.identity_hash), col(Suppression.kind))
    known = {(identity_hash, kind) for identity_hash, kind in older.execute(stands)}
    columns = (col(Suppression.identity_hash), col(Suppression.kind), col(Suppression.at), col(Suppression.note))
    unknown = [row for row in newer.execute(select(*columns)) if (row.identity_hash, row.kind) not in known]
    for identity_hash, kind, at, note in unknown:
        suppression.put(older, identity_hash, Kind(kind), now=at, note=note)
    for identity_hash in _without_a_row(newer, older):
        _forget(older, identity_hash)
    _let_go(newer, older)
    older.flush()
    return len(unknown)


def _without_a_row(newer: Session, older: Session) -> list[str]:
    """Suppressed people of the older copy whom the newer one has no row of: they were erased, or had left long ago."""
    suppressed = select(col(Suppression.identity_hash))
    known = select(col(Subscriber.identity_hash))
    gone = set(newer.scalars(suppressed)) - set(newer.scalars(known))
    return [identity_hash for identity_hash in older.scalars(known) if identity_hash in gone]


def _forget(older: Session, identity_hash: str) -> None:
    subscriber = older.scalar(select(Subscriber).where(col(Subscriber.identity_hash) == identity_hash))
    if subscriber is not None:
        people.forget(older, subscriber)


def _let_go(newer: Session, older: Session) -> None:
    """Have everyone leave the older copy who has left the newer one."""
    left = select(col(Subscriber.identity_hash), col(Subscriber.left_at), col(Subscriber.state_reason)).where(
        col(Subscriber.state) == State.UNSUBSCRIBED.value
    )
    on_it = select(col(Subscriber.identity_hash)).where(col(Subscriber.state) != State.UNSUBSCRIBED.value)
    there = set(older.scalars(on_it))
    for identity_hash, left_at, reason in newer.execute(left):
        if identity_hash in there:
            mine = older.scalars(select(Subscriber).where(col(Subscriber.identity_hash) == identity_hash)).one()
            mine.state, mine.left_at, mine.state_reason = State.UNSUBSCRIBED.value, left_at, reason
