"""Asking for the newsletter: a form for everyone, and a letter that asks whether the mailbox is theirs.

Whether an address is known, has left, or is barred, shows in the letter alone: the answer is the same page. The page
after it has the form again, filled and hidden, for *send again*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import limits, people, preferences
from subscribers.addresses import Address, InvalidAddress, parse
from subscribers.pages.choices import CHOSEN, EVERYTHING, asked_topics
from subscribers.pages.desk import Desk, seconds
from subscribers.people import Outcome
from subscribers.ports import TopicView
from subscribers.preferences import InvalidPreference, Preferences
from subscribers.tables import ADDRESS_LENGTH, Frequency, State, Subscriber
from subscribers.tokens import Purpose

TRAP = "homepage"
"""A field that no person sees. Whatever fills it is a program."""


@dataclass(frozen=True, slots=True)
class View:
    """The form as it stands on the page."""

    frequency: str
    address: str = ""
    follow: str = EVERYTHING
    ticked: frozenset[str] = frozenset()


class SubscribePage:
    """The form, and what comes of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The form, empty."""
        return self._page(View(self._usual))

    def act(self, request: Request, form: FormData) -> Response:
        """Post the letter that fits, or say what is wrong with the form."""
        view = self._typed(form)
        if form.get("subscribe") != "yes":
            return self._page(view, 400)
        topics = self._desk.catalogue.topics()
        try:
            address, wishes = parse(view.address), self._wishes(form, topics)
        except InvalidAddress:
            return self._page(view, 422, problem="problem_address")
        except (InvalidPreference, ValueError):
            return self._page(view, 422, problem="problem_wishes")
        if not form.get(TRAP):
            self._ask(address, wishes, self._desk.visitor(request))
        return self._desk.public_page("asked.html", address=view.address, view=view, topics=topics, again="/subscribe")

    def _page(self, view: View, status: int = 200, problem: str = "") -> Response:
        desk = self._desk
        return desk.public_page(
            "subscribe.html",
            status,
            view=view,
            topics=desk.catalogue.topics(),
            latest=desk.catalogue.latest_issue(),
            frequencies=[frequency.value for frequency in desk.frequencies],
            problem=problem,
        )

    @property
    def _usual(self) -> str:
        """How often mail comes to who chose nothing."""
        return self._desk.frequencies[0].value

    def _typed(self, form: FormData) -> View:
        """What a visitor sent, so that nothing has to be entered again."""
        return View(
            frequency=str(form.get("frequency", self._usual)),
            address=typed_address(form),
            follow=CHOSEN if form.get("follow") == CHOSEN else EVERYTHING,
            ticked=frozenset(map(str, form.getlist("topic"))),
        )

    def _wishes(self, form: FormData, topics: Sequence[TopicView]) -> Preferences:
        """What the form asks for. Raises ValueError, of which InvalidPreference is a kind."""
        chosen = asked_topics(form, None, [topic.key for topic in topics])
        frequency = Frequency(str(form.get("frequency", self._usual)))
        if frequency not in self._desk.frequencies or chosen == frozenset():
            raise InvalidPreference("nothing would ever come")
        return Preferences(topics=chosen, frequency=frequency)

    def _ask(self, address: Address, wishes: Preferences, network: str) -> None:
        desk = self._desk
        with desk.write() as session:
            if not may_ask(session, desk, address, network):
                return
            addition = people.add(
                session,
                address.address,
                now=desk.now(),
                how="form",
                consent_text=desk.words("consent"),
                preferences=wishes,
                network=network or None,
            )
            if addition.outcome is Outcome.BARRED or addition.subscriber is None:
                return
            if addition.subscriber.state == State.PENDING:
                preferences.set(session, addition.subscriber, wishes)
            ask(session, desk, addition.subscriber)
        desk.post()


def ask(session: Session, desk: Desk, subscriber: Subscriber) -> None:
    """Ask a person who is not on the list to confirm; send one who is what they need to change what they get."""
    if subscriber.state == State.ACTIVE:
        url = desk.link(Purpose.PREFERENCES, subscriber.id)
        return desk.write_letter(session, "already", subscriber.address, url=url)
    url = desk.link(Purpose.CONFIRM, subscriber.id, seconds(desk.now()))
    desk.write_letter(session, "confirm", subscriber.address, url=url)


def may_ask(session: Session, desk: Desk, address: Address, network: str) -> bool:
    """Whether a letter that anyone can ask for may go to this address, asked for from that network. Counts it."""
    wanted = ((limits.ONE_ADDRESS, address.identity), (limits.ONE_NETWORK, limits.network_of(network)))
    return limits.allow(session, wanted, now=desk.now())


def typed_address(form: FormData) -> str:
    """The address that a visitor sent, harmless where it can stand; empty for what is none by far."""
    address = str(form.get("address", "")).strip()
    return address if len(address) <= ADDRESS_LENGTH and address.isprintable() else ""
