"""What a reader asked for: topics, how often, a pause, the format, the time zone.

A reader follows *everything* (topics is None, the default) or a chosen set. A topic that is new is off for
choosers. One that the owner removed stays in old preferences, unseen, so that it is back when the topic is
back. A chooser with no topic left gets nothing: the page tells them (:func:`is_left_with_none`) and the
audience counts them.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy.orm import Session

from subscribers.tables import Format, Frequency, Subscriber

EVERYTHING = "*"
"""``follows`` of a reader who chose no topics."""

LONGEST_PAUSE = dt.timedelta(days=366)
"""A longer pause is refused: who wants no mail for years wants to leave."""

MOST_TOPICS = 200
_TOPIC = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class InvalidPreference(ValueError):
    """A preference that cannot be; the message says which and why in one line."""


@lru_cache(maxsize=1000)
def is_time_zone(name: str) -> bool:
    """Whether a name is an IANA time zone, or empty for the newsletter's own."""
    if not name:
        return True
    if not re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", name):
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_topics(topics: frozenset[str] | None) -> None:
    if topics is None:
        return
    if len(topics) > MOST_TOPICS:
        raise InvalidPreference(f"more than {MOST_TOPICS} topics")
    if not all(_TOPIC.fullmatch(topic) for topic in topics):
        raise InvalidPreference("a topic's key is 1 to 40 small letters, digits and dashes")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a reader asked for.

    ``topics`` are keys; None is everything. ``paused_until`` is aware; None is no pause. An empty
    ``time_zone`` is the newsletter's, else an IANA name. Making one raises InvalidPreference when a value
    cannot be.
    """

    topics: frozenset[str] | None = None
    frequency: Frequency = Frequency.EVERY
    paused_until: dt.datetime | None = None
    format: Format = Format.HTML
    time_zone: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        _check_topics(self.topics)
        if self.paused_until is not None and self.paused_until.tzinfo is None:
            raise InvalidPreference("the end of the pause has no time zone")
        if not is_time_zone(self.time_zone):
            raise InvalidPreference("that is no IANA time zone, such as Europe/Berlin")


DEFAULTS = Preferences()
"""What someone gets who asked for nothing special: everything, every issue, HTML and text."""


def get(subscriber: Subscriber) -> Preferences:
    """The preferences of a stored reader."""
    return Preferences(
        topics=topics_of(subscriber.follows),
        frequency=Frequency(subscriber.frequency),
        paused_until=subscriber.paused_until,
        format=Format(subscriber.format),
        time_zone=subscriber.time_zone,
    )


def set(session: Session, subscriber: Subscriber, preferences: Preferences, *, now: dt.datetime) -> None:
    """Store what a reader asked for, and when they changed the frequency: what they get next depends on it."""
    if subscriber.id is not None and subscriber.frequency != preferences.frequency:
        subscriber.frequency_since = now
    for column, value in columns(preferences).items():
        setattr(subscriber, column, value)
    session.add(subscriber)
    session.flush()


def columns(preferences: Preferences) -> dict[str, str | dt.datetime | None]:
    """Preferences as columns of the subscriber's row."""
    return {
        "follows": follows_of(preferences.topics),
        "frequency": preferences.frequency.value,
        "paused_until": preferences.paused_until,
        "format": preferences.format.value,
        "time_zone": preferences.time_zone,
    }


def pause(preferences: Preferences, until: dt.datetime, *, now: dt.datetime) -> Preferences:
    """The same with a pause until then. Raises InvalidPreference when that is past or over a year away."""
    if not now < until <= now + LONGEST_PAUSE:
        raise InvalidPreference(f"a pause ends between now and {LONGEST_PAUSE.days} days from now")
    return replace(preferences, paused_until=until)


def choose(old: frozenset[str] | None, chosen: Collection[str], known: Collection[str]) -> frozenset[str]:
    """The topics of a reader who ticked ``chosen`` on a page that shows the topics ``known``.

    What the page cannot show, topics that the owner removed, is kept. Raises InvalidPreference for a chosen
    topic that is not known.
    """
    if strange := frozenset(chosen).difference(known):
        raise InvalidPreference(f"{len(strange)} of those topics do not exist")
    return frozenset(chosen) | (old or frozenset()).difference(known)


def visible(topics: frozenset[str] | None, known: Collection[str]) -> frozenset[str] | None:
    """The topics of a reader that exist now; None for a reader of everything."""
    return None if topics is None else topics.intersection(known)


def is_left_with_none(topics: frozenset[str] | None, known: Collection[str]) -> bool:
    """Whether a reader chose topics and none of them exists, so that no piece can ever fit."""
    return visible(topics, known) == frozenset()


def follows_of(topics: frozenset[str] | None) -> str:
    """Topics as they stand in ``subscriber.follows``.

    ``*`` for everything, else the keys in order, joined by commas, so that equal sets are equal text: ``GROUP
    BY follows`` makes the groups that a freeze maps to editions.
    """
    return EVERYTHING if topics is None else ",".join(sorted(topics))


def topics_of(follows: str) -> frozenset[str] | None:
    """Topics from ``subscriber.follows``."""
    return None if follows == EVERYTHING else frozenset(filter(None, follows.split(",")))
