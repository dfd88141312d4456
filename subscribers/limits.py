"""Limits on what a stranger may make us do: how often a letter goes to one address, and from one network.

Counted in the database, so a restart forgets nothing, under a hash that is salted anew every day: after two days nobody
can tell from the table who asked.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers.suppression import insert_missing, table_of
from subscribers.tables import HASH_LENGTH, Attempt, Salt

_DAY = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` times within ``within``, which is no longer than a day, for each subject."""

    name: str
    most: int
    within: dt.timedelta


ONE_ADDRESS = Limit("address", 1, dt.timedelta(minutes=15))
"""Letters to one address that anyone can ask for."""

ONE_NETWORK = Limit("network", 5, dt.timedelta(hours=1))
"""Letters that visitors of one network ask for."""

OWN_LETTERS = Limit("own", 3, dt.timedelta(hours=1))
"""Letters that a reader asks for by a link of their own."""


def allow(session: Session, wanted: Collection[tuple[Limit, str]], *, now: dt.datetime) -> bool:
    """Whether something may be done for all these subjects; if so, it is counted for each.

    ``wanted`` are limits with whom they hold for: an identity, a network. What is refused is not counted: who keeps
    knocking is let in when the time is over.
    """
    salts = _salts(session, now)
    hashed = [(limit, [_hash(salt, limit, subject) for salt in salts]) for limit, subject in wanted]
    if any(_count(session, hashes, now - limit.within, now) >= limit.most for limit, hashes in hashed):
        return False
    session.add_all(Attempt(subject=hashes[0], at=now) for _, hashes in hashed)
    session.flush()
    return True


def network_of(address: str) -> str:
    """The network of an IP address that a limit holds for: the address itself, or its IPv6 /64.

    What is no IP address (a socket without one) is one network of its own.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        # A scope ("%eth0") belongs to the machine's own link and not to the network's number.
        return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))
    return str(ip)


def tidy(session: Session, *, now: dt.datetime) -> None:
    """Drop salts and attempts that no limit asks for any more."""
    session.execute(delete(Salt).where(col(Salt.day) < _yesterday(now)))
    session.execute(delete(Attempt).where(col(Attempt.at) < now - _DAY))


def _salts(session: Session, now: dt.datetime) -> list[str]:
    """The salt of today, made at the day's first need, and yesterday's where there is one."""
    today = now.astimezone(dt.UTC).date()
    found = _stored_salts(session, now)
    if today not in found:
        tidy(session, now=now)
        session.execute(insert_missing(session, table_of(Salt)).values(day=today, value=secrets.token_hex(16)))
        found = _stored_salts(session, now)
    return [found[day] for day in sorted(found, reverse=True)]


def _stored_salts(session: Session, now: dt.datetime) -> dict[dt.date, str]:
    today = now.astimezone(dt.UTC).date()
    rows = session.execute(select(col(Salt.day), col(Salt.value)).where(col(Salt.day).between(_yesterday(now), today)))
    return {row.day: row.value for row in rows}


def _yesterday(now: dt.datetime) -> dt.date:
    return (now.astimezone(dt.UTC) - _DAY).date()


def _hash(salt: str, limit: Limit, subject: str) -> str:
    return hmac.digest(salt.encode(), f"{limit.name} {subject}".encode(), hashlib.sha256).hex()[:HASH_LENGTH]


def _count(session: Session, hashes: list[str], since: dt.datetime, now: dt.datetime) -> int:
    query = select(func.count()).where(col(Attempt.subject).in_(hashes), col(Attempt.at) > since)
    return session.scalar(query) or 0
