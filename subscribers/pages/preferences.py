"""Choosing what comes: topics, how often, a pause, the format, the time zone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import preferences
from subscribers.pages.choices import CHOSEN, EVERYTHING, asked_topics
from subscribers.pages.desk import Desk
from subscribers.pages.fewer import PAUSES
from subscribers.pages.unsubscribe import left
from subscribers.ports import TopicView
from subscribers.preferences import InvalidPreference, Preferences
from subscribers.tables import Format, Frequency, State, Subscriber
from subscribers.tokens import Purpose

NO_PAUSE, KEEP = "none", "keep"
TIME_ZONE_LENGTH = 64


class Problem(StrEnum):
    """What is wrong with a form; the name of the text that says so."""

    TOPICS = "problem_topics"
    TIME_ZONE = "problem_time_zone"
    CHOICE = "problem_choice"


@dataclass(frozen=True, slots=True)
class View:
    """The form as it stands on the page. ``until`` is the last day of a pause that runs."""

    follow: str
    ticked: frozenset[str]
    frequency: str
    pause: str
    format: str
    time_zone: str
    until: dt.date | None


class PreferencesPage:
    """The form behind the link to preferences."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The form as it was saved last."""
        return self._answer(request)

    def act(self, request: Request, form: FormData) -> Response:
        """Save the form, or say what is wrong with it. A form that is not from this page changes nothing."""
        (reader, *_), topics = self._desk.numbers(Purpose.PREFERENCES, request), self._desk.catalogue.topics()
        if form.get("save") != "yes":
            return self._answer(request, 400)
        with self._desk.write() as session:
            subscriber = session.get(Subscriber, reader)
            if subscriber is not None and subscriber.state != State.UNSUBSCRIBED:
                old = preferences.get(subscriber)
                wishes = asked(
                    form,
                    old,
                    [topic.key for topic in topics],
                    self._frequencies(subscriber),
                    self._desk.now(),
                )
                if isinstance(wishes, Problem):
                    return self._page(subscriber, topics, 422, problem=wishes, view=self._typed(subscriber, form))
                preferences.set(session, subscriber, wishes)
                return self._page(subscriber, topics, saved=True)
        return self._answer(request)

    def _answer(self, request: Request, status: int = 200) -> Response:
        topics = self._desk.catalogue.topics()
        with self._desk.read() as session:
            subscriber = session.get(Subscriber, self._desk.numbers(Purpose.PREFERENCES, request)[0])
            if subscriber is None:
                return self._desk.nobody()
            if subscriber.state == State.UNSUBSCRIBED:
                return left(self._desk, session, subscriber)
            return self._page(subscriber, topics, status)

    def _page(
        self,
        subscriber: Subscriber,
        topics: Sequence[TopicView],
        status: int = 200,
        *,
        saved: bool = False,
        problem: Problem | None = None,
        view: View | None = None,
    ) -> Response:
        follows = preferences.topics_of(subscriber.follows)
        return self._desk.page(
            "preferences.html",
            status,
            view=view or self._stored(subscriber),
            topics=topics,
            pauses=list(PAUSES),
            frequencies=self._frequencies(subscriber),
            saved=saved,
            problem=problem,
            none_left=preferences.is_left_with_none(follows, [topic.key for topic in topics]),
            zone=self._desk.zone.key,
            data_url=f"{self._desk.link(Purpose.PREFERENCES, subscriber.id)}/data",
        )

    def _stored(self, subscriber: Subscriber) -> View:
        wishes, until = preferences.get(subscriber), self._until(subscriber)
        return View(
            follow=EVERYTHING if wishes.topics is None else CHOSEN,
            ticked=wishes.topics or frozenset(),
            frequency=wishes.frequency.value,
            pause=KEEP if until else NO_PAUSE,
            format=wishes.format.value,
            time_zone=wishes.time_zone,
            until=until,
        )

    def _typed(self, subscriber: Subscriber, form: FormData) -> View:
        """What the reader sent, so that nothing has to be entered again."""
        zone = str(form.get("time_zone", ""))
        return View(
            follow=str(form.get("follow", "")),
            ticked=frozenset(map(str, form.getlist("topic"))),
            frequency=str(form.get("frequency", "")),
            pause=str(form.get("pause", "")),
            format=str(form.get("format", "")),
            time_zone=zone[:TIME_ZONE_LENGTH] if zone.isprintable() else "",
            until=self._until(subscriber),
        )

    def _frequencies(self, subscriber: Subscriber) -> list[str]:
        """What the reader can choose: what the newsletter mails in, and what they have."""
        mailed = [frequency.value for frequency in self._desk.frequencies]
        return mailed if subscriber.frequency in mailed else [*mailed, subscriber.frequency]

    def _until(self, subscriber: Subscriber) -> dt.date | None:
        until = subscriber.paused_until
        return self._desk.day(until, subscriber) if until is not None and until > self._desk.now() else None


def asked(
    form: FormData, old: Preferences, known: Sequence[str], frequencies: Sequence[str], now: dt.datetime
) -> Preferences | Problem:
    """What a form asks for, or what is wrong with it.

    ``known`` are the keys of the topics that exist, ``frequencies`` those to choose from; of one alone the form asks
    nothing, and the old one stays.
    """
    try:
        topics = asked_topics(form, old.topics, known)
    except InvalidPreference:
        return Problem.TOPICS
    zone = str(form.get("time_zone", "")).strip()
    if not preferences.is_time_zone(zone):
        return Problem.TIME_ZONE
    try:
        return Preferences(
            topics=topics,
            frequency=_frequency(form, old, frequencies),
            paused_until=_pause(str(form.get("pause")), old, now),
            format=Format(str(form.get("format"))),
            time_zone=zone,
        )
    except ValueError:
        return Problem.CHOICE


def _frequency(form: FormData, old: Preferences, frequencies: Sequence[str]) -> Frequency:
    """The frequency. Raises ValueError for one that is not to choose from."""
    chosen = str(form.get("frequency", old.frequency.value if len(frequencies) == 1 else ""))
    if chosen not in frequencies:
        raise ValueError("that is no frequency of this newsletter")
    return Frequency(chosen)


def _pause(choice: str, old: Preferences, now: dt.datetime) -> dt.datetime | None:
    """The end of the pause. Raises ValueError for a choice that the page does not offer."""
    if choice in PAUSES:
        return now + PAUSES[choice]
    if choice not in (NO_PAUSE, KEEP):
        raise InvalidPreference("no such pause")
    return old.paused_until if choice == KEEP else None
