"""Lost my link: a form for everyone that mails a reader the links to what they get, and tells a stranger nothing."""

from __future__ import annotations

import datetime as dt

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import limits, people
from subscribers.addresses import Address, InvalidAddress, parse
from subscribers.pages.desk import Desk
from subscribers.pages.subscribe import TRAP, typed_address
from subscribers.tables import State
from subscribers.tokens import Purpose

ONE_ADDRESS = limits.Limit("lost", 1, dt.timedelta(minutes=15))
"""Letters with links to one address. Counted apart from other letters: who asks here first, and only then sees that
they have to subscribe, is not kept waiting; and as it counts for every address alike, it tells nothing of any."""


class LostPage:
    """The form, and the same answer for everyone."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The form, empty."""
        return self._desk.page("lost.html", address="", problem="")

    def act(self, request: Request, form: FormData) -> Response:
        """Post the letter, when there is someone to post it to."""
        typed = typed_address(form)
        try:
            address = parse(typed)
        except InvalidAddress:
            return self._desk.page("lost.html", 422, address=typed, problem="problem_address")
        if not form.get(TRAP):
            self._ask(address, self._desk.visitor(request))
        return self._desk.page("asked.html", address=typed, again="/lost")

    def _ask(self, address: Address, network: str) -> None:
        desk = self._desk
        wanted = ((ONE_ADDRESS, address.identity), (limits.ONE_NETWORK, limits.network_of(network)))
        with desk.write() as session:
            if not limits.allow(session, wanted, now=desk.now()):
                return
            subscriber = people.find(session, address.address)
            if subscriber is None or subscriber.state != State.ACTIVE:
                return
            if not people.may_get_letters(session, address.address):
                return
            desk.write_letter(
                session,
                "lost",
                subscriber.address,
                url=desk.link(Purpose.PREFERENCES, subscriber.id),
                unsubscribe_url=desk.link(Purpose.UNSUBSCRIBE, subscriber.id, 0),
            )
        desk.post()
