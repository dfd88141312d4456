"""Fewer mails in place of none: what a reader who is about to leave, or just left, may choose instead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from starlette.datastructures import FormData
from starlette.responses import Response

from subscribers import preferences
from subscribers.pages.desk import Desk
from subscribers.ports import TopicView
from subscribers.preferences import Preferences
from subscribers.tables import Frequency, State, Subscriber

WEEKLY, TOPICS = "weekly", "topics"
PAUSES = {"pause-30": dt.timedelta(days=30), "pause-90": dt.timedelta(days=90)}


@dataclass(frozen=True, slots=True)
class Offers:
    """What would be fewer for a reader: buttons, and the topics of which they may keep some."""

    buttons: tuple[str, ...] = ()
    topics: tuple[TopicView, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything to offer."""
        return bool(self.buttons)


def offers(desk: Desk, subscriber: Subscriber) -> Offers:
    """What would be fewer for this reader; nothing for one who never confirmed."""
    if subscriber.confirmed_at is None:
        return Offers()
    weekly = subscriber.frequency == Frequency.EVERY and Frequency.WEEKLY in desk.frequencies
    buttons = (WEEKLY, *PAUSES) if weekly else tuple(PAUSES)
    followed = _followed(desk.catalogue.topics(), preferences.topics_of(subscriber.follows))
    # Of one topic alone there is nothing to keep less of.
    return Offers(buttons, followed if len(followed) > 1 else ())


def is_asked(desk: Desk, form: FormData) -> bool:
    """Whether a form asks for fewer mails, in a way that this newsletter has."""
    choice = form.get("instead")
    if choice == WEEKLY:
        return Frequency.WEEKLY in desk.frequencies
    return choice in PAUSES or choice == TOPICS


def lessened(wishes: Preferences, form: FormData, desk: Desk) -> Preferences | None:
    """The preferences after a form that asks for fewer mails; None when it keeps no topic.

    Never more than before: no topic that the reader did not follow, no shorter pause, no higher frequency.
    """
    choice = str(form.get("instead"))
    if choice == TOPICS:
        followed = {topic.key for topic in _followed(desk.catalogue.topics(), wishes.topics)}
        kept = followed.intersection(map(str, form.getlist("topic")))
        return replace(wishes, topics=frozenset(kept)) if kept else None
    if choice == WEEKLY and wishes.frequency is Frequency.EVERY:
        return replace(wishes, frequency=Frequency.WEEKLY)
    if choice in PAUSES:
        now = desk.now()
        return replace(wishes, paused_until=max(now + PAUSES[choice], wishes.paused_until or now))
    return wishes


def settled(desk: Desk, subscriber: Subscriber) -> Response:
    """The page that says what holds now for a reader who has not left."""
    if subscriber.state == State.PENDING:
        return desk.page("pending.html")
    until = subscriber.paused_until
    day = desk.day(until, subscriber) if until is not None and until > desk.now() else None
    chosen = preferences.topics_of(subscriber.follows)
    names = None if chosen is None else [topic.name for topic in desk.catalogue.topics() if topic.key in chosen]
    return desk.page("settled.html", frequency=subscriber.frequency, until=day, topics=names)


def _followed(topics: Sequence[TopicView], follows: frozenset[str] | None) -> tuple[TopicView, ...]:
    """The topics that exist and that a reader gets mail about."""
    return tuple(topic for topic in topics if follows is None or topic.key in follows)
