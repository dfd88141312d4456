"""Fewer mails in place of none: what a reader who is about to leave, or just left, may choose instead."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from sqlalchemy.orm import Session
from starlette.responses import Response

from subscribers import preferences
from subscribers.pages.desk import Desk
from subscribers.tables import Frequency, Subscriber

WEEKLY = "weekly"
PAUSES = {"pause-30": dt.timedelta(days=30), "pause-90": dt.timedelta(days=90)}


def choices(desk: Desk) -> tuple[str, ...]:
    """What there is in place of every issue: one mail a week only where the newsletter sends it."""
    return (WEEKLY, *PAUSES) if Frequency.WEEKLY in desk.frequencies else tuple(PAUSES)


def offers(desk: Desk, subscriber: Subscriber) -> tuple[str, ...]:
    """What would be fewer for this reader; nothing for one who never confirmed."""
    if subscriber.confirmed_at is None:
        return ()
    return choices(desk) if subscriber.frequency == Frequency.EVERY else tuple(PAUSES)


def choose(session: Session, subscriber: Subscriber, choice: str, *, now: dt.datetime) -> None:
    """Give a reader fewer mails, and never more: a longer pause that runs already stays."""
    wishes = preferences.get(subscriber)
    if choice == WEEKLY and wishes.frequency is Frequency.EVERY:
        wishes = replace(wishes, frequency=Frequency.WEEKLY)
    elif choice in PAUSES:
        until = max(now + PAUSES[choice], wishes.paused_until or now)
        wishes = replace(wishes, paused_until=until)
    preferences.set(session, subscriber, wishes, now=now)


def settled(desk: Desk, subscriber: Subscriber) -> Response:
    """The page that says what holds now for a reader who is on the list."""
    until = subscriber.paused_until
    day = desk.day(until, subscriber) if until is not None and until > desk.now() else None
    return desk.page("settled.html", frequency=subscriber.frequency, until=day)
