"""Confirming: the second half of double opt-in, behind the link of the letter that asked."""

from __future__ import annotations

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import people, preferences, suppression
from subscribers.pages import fewer
from subscribers.pages.desk import Desk, seconds
from subscribers.suppression import BARRING
from subscribers.tables import State, Subscriber
from subscribers.tokens import Purpose, TokenError, Trouble


class ConfirmPage:
    """A page with one button. Once pressed, the person is on the list and gets the welcome letter."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The button; for who is on the list already, just that."""
        with self._desk.read() as session:
            return self._shown(self._subscriber(session, request))

    def act(self, request: Request, form: FormData) -> Response:
        """Take the person in. A second time changes nothing."""
        desk = self._desk
        if form.get("confirm") != "yes":
            return self.show(request)
        with desk.write() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None or subscriber.state == State.ACTIVE:
                return self._shown(subscriber)
            people.confirm(
                session,
                subscriber.id,
                now=desk.now(),
                consent_text=desk.words("consent"),
                network=desk.visitor(request) or None,
            )
            wishes = desk.link(Purpose.PREFERENCES, subscriber.id)
            latest = desk.catalogue.latest_issue()
            desk.write_letter(
                session,
                "welcome",
                subscriber.address,
                url=wishes,
                archive_url=latest.url if latest else f"{desk.base_url}/issues",
                unsubscribe_url=desk.link(Purpose.UNSUBSCRIBE, subscriber.id, 0),
            )
            answer = desk.page("welcome.html", latest=latest, preferences=wishes)
        desk.post()
        return answer

    def _shown(self, subscriber: Subscriber | None) -> Response:
        if subscriber is None:
            return self._desk.nobody()
        if subscriber.state == State.ACTIVE:
            return fewer.settled(self._desk, subscriber)
        topics = self._desk.catalogue.topics()
        chosen = preferences.visible(preferences.topics_of(subscriber.follows), [topic.key for topic in topics])
        names = None if chosen is None else [topic.name for topic in topics if topic.key in chosen]
        return self._desk.page("confirm.html", topics=names, frequency=subscriber.frequency)

    def _subscriber(self, session: Session, request: Request) -> Subscriber | None:
        """The person of the link. Raises TokenError when they left after it was asked for, or are barred."""
        reader, *rest = self._desk.numbers(Purpose.CONFIRM, request)
        subscriber = session.get(Subscriber, reader)
        if subscriber is None or subscriber.state == State.ACTIVE:
            return subscriber
        is_used = subscriber.left_at is not None and rest < [seconds(subscriber.left_at)]
        if not rest or is_used or suppression.kinds_of_hash(session, subscriber.identity_hash) & BARRING:
            raise TokenError(Trouble.EXPIRED)
        return subscriber
