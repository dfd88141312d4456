"""Leaving: a page with one button, and the one-click POST that mail programs send by themselves (RFC 8058)."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from subscribers import people, preferences, suppression
from subscribers.pages import fewer
from subscribers.pages.desk import HEADERS, Desk
from subscribers.suppression import BARRING
from subscribers.tables import State, Subscriber
from subscribers.tokens import LIFETIMES, Purpose

ONE_CLICK = ("List-Unsubscribe", "one-click")
"""The field by which a mail program says that it acts for the reader, its value in small letters (RFC 8058, 3.1)."""

NO_TOPIC = "problem_no_topic"
"""The name of the text for who asks for certain topics alone, and ticks none."""


class UnsubscribePage:
    """The page behind the link in every mail. That link can stop or lessen mail and do nothing else."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """A button for who is on the list; for others, that they have left."""
        return self._shown(self._reader(request))

    def act(self, request: Request, form: FormData) -> Response:
        """Let the reader go, or give fewer mails instead. Another form changes nothing."""
        reader = self._reader(request)
        if str(form.get(ONE_CLICK[0], "")).strip().lower() == ONE_CLICK[1]:
            self._leave(reader, "one-click")
            return PlainTextResponse("You are unsubscribed.\n", 200, HEADERS)
        if "leave" in form:
            self._leave(reader, "link")
            return self._shown(reader)
        return self._lessen(reader, form) if fewer.is_asked(self._desk, form) else self._shown(reader, 400)

    def _reader(self, request: Request) -> int:
        return self._desk.numbers(Purpose.UNSUBSCRIBE, request)[0]

    def _leave(self, reader: int, reason: str) -> None:
        with self._desk.write() as session:
            people.unsubscribe(session, reader, now=self._desk.now(), reason=reason)

    def _lessen(self, reader: int, form: FormData) -> Response:
        with self._desk.write() as session:
            subscriber = session.get(Subscriber, reader)
            if subscriber is None or subscriber.state != State.ACTIVE:
                return self._page(session, subscriber)
            wishes = fewer.lessened(preferences.get(subscriber), form, self._desk)
            if wishes is None:
                return self._page(session, subscriber, 422, problem=NO_TOPIC)
            preferences.set(session, subscriber, wishes)
            return fewer.settled(self._desk, subscriber)

    def _shown(self, reader: int, status: int = 200) -> Response:
        with self._desk.read() as session:
            return self._page(session, session.get(Subscriber, reader), status)

    def _page(self, session: Session, subscriber: Subscriber | None, status: int = 200, problem: str = "") -> Response:
        if subscriber is None:
            return self._desk.nobody()
        if subscriber.state == State.UNSUBSCRIBED:
            return left(self._desk, session, subscriber)
        is_on = subscriber.state == State.ACTIVE
        offers = fewer.offers(self._desk, subscriber) if is_on else fewer.Offers()
        return self._desk.page("unsubscribe.html", status, offers=offers, problem=problem)


def left(desk: Desk, session: Session, subscriber: Subscriber, status: int = 200, problem: str = "") -> Response:
    """The page of someone who has left, with *undo* while that is theirs to do. ``problem``: what is wrong with it."""
    token = desk.sign_undo(subscriber) if may_undo(desk, session, subscriber) else ""
    return desk.page("left.html", status, undo=token, offers=fewer.offers(desk, subscriber), problem=problem)


def may_undo(desk: Desk, session: Session, subscriber: Subscriber) -> bool:
    """Whether someone left lately and by their own act, so that they may take it back."""
    if subscriber.left_at is None or desk.now() - subscriber.left_at > LIFETIMES[Purpose.UNDO]:
        return False
    return not suppression.kinds_of_hash(session, subscriber.identity_hash) & BARRING
