"""Undoing an unsubscription: a page with one button, good for 30 days and for that one leaving."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import people, preferences
from subscribers.pages import fewer
from subscribers.pages.desk import Desk, seconds
from subscribers.pages.unsubscribe import NO_TOPIC, left, may_undo
from subscribers.tables import State, Subscriber
from subscribers.tokens import Purpose, TokenError, Trouble


class UndoPage:
    """Takes a leaving back, whole or with fewer mails."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The buttons; for who is on the list again, just that."""
        with self._desk.read() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None:
                return self._desk.nobody()
            if subscriber.state != State.UNSUBSCRIBED:
                return fewer.settled(self._desk, subscriber)
            return left(self._desk, session, subscriber)

    def act(self, request: Request, form: FormData) -> Response:
        """Bring the reader back. A second time changes nothing."""
        if "undo" not in form and not fewer.is_asked(self._desk, form):
            return self.show(request)
        with self._desk.write() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None:
                return self._desk.nobody()
            if subscriber.state == State.UNSUBSCRIBED:
                wishes = preferences.get(subscriber)
                asked = fewer.lessened(wishes, form, self._desk) if "undo" not in form else wishes
                if asked is None:
                    return left(self._desk, session, subscriber, 422, NO_TOPIC)
                people.undo(session, subscriber.id, now=self._desk.now())
                preferences.set(session, subscriber, asked)
            return fewer.settled(self._desk, subscriber)

    def _subscriber(self, session: Session, request: Request) -> Subscriber | None:
        """The reader of the link. Raises TokenError when it is about an earlier leaving, or not theirs to undo."""
        reader, *rest = self._desk.numbers(Purpose.UNDO, request)
        subscriber = session.get(Subscriber, reader)
        if subscriber is None or subscriber.state != State.UNSUBSCRIBED:
            return subscriber
        is_this = subscriber.left_at is not None and rest == [seconds(subscriber.left_at)]
        if not (is_this and may_undo(self._desk, session, subscriber)):
            raise TokenError(Trouble.EXPIRED)
        return subscriber
