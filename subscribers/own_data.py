"""All that is kept about a person, as they may take it with them (GDPR, articles 15 and 20)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import consent, preferences
from subscribers.ports import MailView
from subscribers.tables import AddressChange, Feedback, Subscriber, Suppression, WaitingLetter

Plain = dict[str, object]


def collect(session: Session, subscriber: Subscriber, mails: Sequence[MailView]) -> Plain:
    """Everything on record about a person, as values that JSON knows. ``mails`` are the issues planned for them."""
    wishes = preferences.get(subscriber)
    return {
        "address": subscriber.address,
        "name": subscriber.name,
        "state": subscriber.state,
        "state_reason": subscriber.state_reason,
        "created_at": _text(subscriber.created_at),
        "confirmed_at": _text(subscriber.confirmed_at),
        "left_at": _text(subscriber.left_at),
        "preferences": {
            "topics": None if wishes.topics is None else sorted(wishes.topics),
            "frequency": wishes.frequency.value,
            "paused_until": _text(wishes.paused_until),
            "format": wishes.format.value,
            "time_zone": wishes.time_zone,
        },
        "consents": [
            {
                "at": _text(record.at),
                "text": record.text,
                "address": record.address,
                "how": record.how,
                "network": record.network,
            }
            for record in consent.of(session, subscriber.id)
        ],
        "mails": [
            {"issue": mail.issue, "title": mail.title, "state": mail.state, "at": _text(mail.at)} for mail in mails
        ],
        "letters": _letters(session, subscriber),
        "wished_address": _wished_address(session, subscriber),
        "feedback": _feedback(session, subscriber),
        "suppressions": _suppressions(session, subscriber),
    }


def _letters(session: Session, subscriber: Subscriber) -> list[Plain]:
    query = select(WaitingLetter).where(col(WaitingLetter.identity_hash) == subscriber.identity_hash)
    rows = session.scalars(query.order_by(col(WaitingLetter.id)))
    return [{"kind": row.kind, "posted_at": _text(row.posted_at), "state": row.state} for row in rows]


def _wished_address(session: Session, subscriber: Subscriber) -> Plain | None:
    wish = session.scalar(select(AddressChange).where(col(AddressChange.subscriber_id) == subscriber.id))
    return None if wish is None else {"address": wish.address, "at": _text(wish.at)}


def _feedback(session: Session, subscriber: Subscriber) -> list[Plain]:
    query = select(Feedback).where(col(Feedback.subscriber_id) == subscriber.id)
    rows = session.scalars(query.order_by(col(Feedback.piece_id)))
    return [{"piece": row.piece_id, "is_worth": row.is_worth, "at": _text(row.at)} for row in rows]


def _suppressions(session: Session, subscriber: Subscriber) -> list[Plain]:
    query = select(Suppression).where(col(Suppression.identity_hash) == subscriber.identity_hash)
    rows = session.scalars(query.order_by(col(Suppression.kind)))
    return [{"kind": row.kind, "at": _text(row.at), "note": row.note} for row in rows]


def _text(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
