"""Why an address is not mailed, and who may change that. Keyed by a hash: it outlives the person's row.

=============  ==========================================  =======================
kind           lifted by                                   letters meanwhile
=============  ==========================================  =======================
unsubscribed   that person: undo, or a new double opt-in   a confirmation, limited
erased         that person: undo, or a new double opt-in   a confirmation, limited
complaint      the owner                                   none of any kind
hard_bounce    the owner                                   none of any kind
owner          the owner                                   none of any kind
=============  ==========================================  =======================

An import lifts nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import secrets
from collections.abc import Collection
from enum import StrEnum
from typing import Any

from sqlalchemy import Insert, Table, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from sqlmodel import SQLModel, col

from subscribers.tables import HASH_LENGTH, Kind, Pepper, Suppression


class Lifter(StrEnum):
    """Who wants to lift a suppression."""

    PERSON = "person"
    OWNER = "owner"


LIFTED_BY_PERSON = frozenset({Kind.UNSUBSCRIBED, Kind.ERASED})
"""What the person's own undo or new double opt-in lifts. An owner cannot: they said no to the owner."""

BARRING = frozenset(Kind) - LIFTED_BY_PERSON
"""What the owner alone lifts, and what lets no letter of any kind through."""


class NotAllowed(ValueError):
    """That kind of suppression is not this one's to lift; the message says whose it is."""


class Hasher:
    """Turns identities into the keys of suppressions, with the database's own pepper."""

    def __init__(self, pepper: str) -> None:
        self._mac = hmac.new(pepper.encode(), digestmod=hashlib.sha256)

    def __call__(self, identity: str) -> str:
        """The keyed hash of an identity (see :func:`subscribers.identity`): 128 bits in hexadecimal."""
        mac = self._mac.copy()
        mac.update(identity.encode())
        return mac.hexdigest()[:HASH_LENGTH]


def hasher(session: Session) -> Hasher:
    """The database's hasher. Makes its pepper the first time, so it writes then."""
    found = find_hasher(session)
    if found is None:
        made = insert_missing(session, table_of(Pepper)).values(id=1, value=secrets.token_hex(32))
        session.execute(made)
        found = find_hasher(session)
    if found is None:
        raise LookupError("the database keeps no pepper though one was just written")
    return found


def find_hasher(session: Session) -> Hasher | None:
    """The database's hasher, or None when it has no pepper yet, so no suppression either. Writes nothing."""
    pepper = session.scalar(select(col(Pepper.value)))
    return None if pepper is None else Hasher(pepper)


def kinds_of(session: Session, identity: str) -> frozenset[Kind]:
    """Why an identity is not mailed; empty when nothing is known against it. Writes nothing."""
    found = find_hasher(session)
    return frozenset() if found is None else kinds_of_hash(session, found(identity))


def kinds_of_hash(session: Session, identity_hash: str) -> frozenset[Kind]:
    """The same for an identity's hash."""
    return kinds_of_many(session, [identity_hash]).get(identity_hash, frozenset())


def kinds_of_many(session: Session, identity_hashes: Collection[str]) -> dict[str, frozenset[Kind]]:
    """The suppressions of many hashes at once; a hash without any is left out."""
    query = select(col(Suppression.identity_hash), col(Suppression.kind))
    found: dict[str, frozenset[Kind]] = {}
    for identity_hash, kind in session.execute(query.where(col(Suppression.identity_hash).in_(identity_hashes))):
        found[identity_hash] = found.get(identity_hash, frozenset()) | {Kind(kind)}
    return found


def put(session: Session, identity_hash: str, kind: Kind, *, now: dt.datetime, note: str = "") -> bool:
    """Suppress an identity. The first moment and note of a kind are kept. Returns whether it is new.

    Subscribers are not touched: :mod:`subscribers.people` does both.
    """
    values = {"identity_hash": identity_hash, "kind": kind.value, "at": now, "note": note}
    known = kind in kinds_of_hash(session, identity_hash)
    session.execute(insert_missing(session, table_of(Suppression)).values(values))
    return not known


def lift(session: Session, identity_hash: str, kinds: Collection[Kind], *, by: Lifter) -> frozenset[Kind]:
    """Lift those kinds, as the person (undo, double opt-in) or as the owner. Returns what was really lifted.

    Raises NotAllowed when one of them is not theirs to lift; nothing is lifted then.
    """
    theirs = LIFTED_BY_PERSON if by is Lifter.PERSON else BARRING
    for kind in sorted(set(kinds) - theirs):
        other = Lifter.OWNER if by is Lifter.PERSON else Lifter.PERSON
        raise NotAllowed(f"{kind} is lifted by the {other} alone")
    lifted = kinds_of_hash(session, identity_hash) & frozenset(kinds)
    session.execute(
        delete(Suppression).where(
            col(Suppression.identity_hash) == identity_hash,
            col(Suppression.kind).in_([kind.value for kind in lifted]),
        )
    )
    return lifted


def table_of(model: type[SQLModel]) -> Table:
    """The plain table behind a model, for statements in bulk."""
    return SQLModel.metadata.tables[str(model.__tablename__)]


def insert_missing(session: Session, table: Table) -> Insert:
    """An INSERT that leaves rows alone whose key is taken, for SQLite and PostgreSQL."""
    dialects: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
    statement: Insert = dialects[session.get_bind().dialect.name](table).on_conflict_do_nothing()
    return statement
