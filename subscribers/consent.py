"""The proof that a person asked for mail: recorded when they act, shown to them, gone with them."""

from __future__ import annotations

import datetime as dt

from sqlalchemy import select, update
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers.tables import Consent, State, Subscriber

NETWORK_KEPT = dt.timedelta(days=30)
"""How long the network address of a consent is kept after the person left."""


def record(
    session: Session,
    subscriber: Subscriber,
    *,
    now: dt.datetime,
    text: str,
    how: str,
    network: str | None = None,
) -> Consent:
    """Keep what a person agreed to.

    ``text`` is the sentence that they saw, ``how`` the way it came (``form``, ``confirmed``, ``import``,
    ``owner`` ...), ``network`` the visitor's network address where there was a visitor.
    """
    consent = Consent(
        subscriber_id=subscriber.id, at=now, text=text, address=subscriber.address, how=how, network=network
    )
    session.add(consent)
    session.flush()
    return consent


def of(session: Session, subscriber_id: int) -> list[Consent]:
    """All that a person agreed to, oldest first."""
    query = select(Consent).where(col(Consent.subscriber_id) == subscriber_id)
    return list(session.scalars(query.order_by(col(Consent.at), col(Consent.id))))


def forget_networks(session: Session, *, now: dt.datetime) -> int:
    """Drop the network addresses of those who left 30 days ago or earlier. Returns how many were dropped."""
    gone = select(col(Subscriber.id)).where(
        col(Subscriber.state) == State.UNSUBSCRIBED.value, col(Subscriber.left_at) <= now - NETWORK_KEPT
    )
    stale = select(col(Consent.id)).where(col(Consent.network).is_not(None), col(Consent.subscriber_id).in_(gone))
    ids = list(session.scalars(stale))
    for start in range(0, len(ids), 1000):
        session.execute(update(Consent).where(col(Consent.id).in_(ids[start : start + 1000])).values(network=None))
    return len(ids)
