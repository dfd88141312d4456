"""A person's own data: a copy of it, another address, its deletion.

The link in every mail may be forwarded, so it opens none of this: it only sends a letter to the person's own mailbox,
whose link works for an hour and for the address that it went to.
"""

from __future__ import annotations

import json

from sqlalchemy.orm import Session
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import Response

from subscribers import limits, own_data, people, suppression
from subscribers.addresses import Address, InvalidAddress, parse
from subscribers.pages.desk import HEADERS, Desk
from subscribers.pages.subscribe import may_ask, typed_address
from subscribers.suppression import BARRING
from subscribers.tables import AddressChange, State, Subscriber
from subscribers.tokens import Purpose, TokenError, Trouble


class DataLetterPage:
    """Behind the link to preferences: a page with one button, which mails the link to one's data."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The button."""
        with self._desk.read() as session:
            return self._shown(self._subscriber(session, request), is_sent=False)

    def act(self, request: Request, form: FormData) -> Response:
        """Post the letter, to the address that is on record."""
        desk = self._desk
        if form.get("send") != "yes":
            return self.show(request)
        with desk.write() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None or _is_barred(session, subscriber):
                return self._shown(subscriber, is_sent=True)
            if limits.allow(session, [(limits.OWN_LETTERS, subscriber.identity)], now=desk.now()):
                url = desk.link(Purpose.DATA, subscriber.id, _tag(subscriber))
                desk.write_letter(session, "data", subscriber.address, url=url)
            answer = self._shown(subscriber, is_sent=True)
        desk.post()
        return answer

    def _shown(self, subscriber: Subscriber | None, *, is_sent: bool) -> Response:
        if subscriber is None:
            return self._desk.nobody()
        return self._desk.page("data_letter.html", is_sent=is_sent)

    def _subscriber(self, session: Session, request: Request) -> Subscriber | None:
        return session.get(Subscriber, self._desk.numbers(Purpose.PREFERENCES, request)[0])


class DataPage:
    """Behind the link of that letter: copy, another address, deletion."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The three forms."""
        with self._desk.read() as session:
            subscriber = self._subscriber(session, request)
            return self._desk.nobody() if subscriber is None else self._page(subscriber)

    def act(self, request: Request, form: FormData) -> Response:
        """Do what one of the forms asks for. Another form changes nothing."""
        match form.get("do"):
            case "copy":
                return self._copy(request)
            case "delete":
                return self._delete(request, is_sure=form.get("sure") == "yes")
            case "move":
                return self._move(request, typed_address(form))
            case _:
                return self.show(request)

    def _page(self, subscriber: Subscriber, status: int = 200, problem: str = "", address: str = "") -> Response:
        values = {"problem": problem, "typed": address, "moving": ""}
        return self._desk.page("data.html", status, address=subscriber.address, **values)

    def _copy(self, request: Request) -> Response:
        with self._desk.read() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None:
                return self._desk.nobody()
            mails = self._desk.catalogue.mails(subscriber.id)
            text = json.dumps(own_data.collect(session, subscriber, mails), ensure_ascii=False, indent=2)
        disposition = {"Content-Disposition": 'attachment; filename="newsletter-data.json"'}
        return Response(text + "\n", media_type="application/json", headers=HEADERS | disposition)

    def _delete(self, request: Request, *, is_sure: bool) -> Response:
        with self._desk.write() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None:
                return self._desk.nobody()
            if not is_sure:
                return self._page(subscriber, 422, "problem_sure")
            people.erase(session, subscriber.id, now=self._desk.now())
        return self._desk.page("deleted.html")

    def _move(self, request: Request, typed: str) -> Response:
        """Ask at the new address. Whether someone has it already shows in the letter alone."""
        desk = self._desk
        with desk.write() as session:
            subscriber = self._subscriber(session, request)
            if subscriber is None:
                return desk.nobody()
            try:
                new = parse(typed)
            except InvalidAddress:
                return self._page(subscriber, 422, "problem_address", typed)
            if new.identity == subscriber.identity:
                return self._page(subscriber, 422, "problem_same_address", typed)
            if _is_barred(session, subscriber):
                raise TokenError(Trouble.EXPIRED)
            self._ask(session, subscriber, new, desk.visitor(request))
        desk.post()
        return desk.page("data.html", address=subscriber.address, problem="", typed="", moving=new.address)

    def _ask(self, session: Session, subscriber: Subscriber, new: Address, network: str) -> None:
        desk = self._desk
        own = limits.allow(session, [(limits.OWN_LETTERS, f"move {subscriber.id}")], now=desk.now())
        if not own or not may_ask(session, desk, new, network):
            return
        # Whatever becomes of it: an earlier wish that lived on would tell that someone has this address.
        change = people.wish_address(session, subscriber, new, now=desk.now())
        if not people.may_get_letters(session, new.address):
            return
        other = people.find(session, new.address)
        if other is not None and other.state == State.ACTIVE:
            url = desk.link(Purpose.PREFERENCES, other.id)
            return desk.write_letter(session, "already", other.address, url=url)
        url = desk.link(Purpose.ADDRESS, subscriber.id, change.id)
        desk.write_letter(session, "address", new.address, url=url)

    def _subscriber(self, session: Session, request: Request) -> Subscriber | None:
        """The person of the link. Raises TokenError when it went to an address that they no longer have."""
        reader, *rest = self._desk.values(Purpose.DATA, request)
        subscriber = session.get(Subscriber, reader) if isinstance(reader, int) else None
        if subscriber is not None and rest != [_tag(subscriber)]:
            raise TokenError(Trouble.EXPIRED)
        return subscriber


class AddressPage:
    """Behind the link of the letter to the new address: a page with one button."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def show(self, request: Request) -> Response:
        """The button."""
        with self._desk.read() as session:
            _, change = self._wish(session, request)
            if change is None:
                return self._desk.nobody()
            return self._desk.page("address.html", address=change.address, is_done=False)

    def act(self, request: Request, form: FormData) -> Response:
        """Move the person's mail to the new address, and tell the old one."""
        desk = self._desk
        if form.get("move") != "yes":
            return self.show(request)
        with desk.write() as session:
            subscriber, change = self._wish(session, request)
            if subscriber is None or change is None:
                return desk.nobody()
            old, new = subscriber.address, change.address
            try:
                people.change_address(
                    session, subscriber.id, new, now=desk.now(), consent_text=desk.words("address_consent")
                )
            except (people.AddressTaken, people.Barred) as error:
                raise TokenError(Trouble.EXPIRED) from error
            if people.may_get_letters(session, old):
                desk.write_letter(session, "moved", old, url=f"{desk.base_url}/issues")
            answer = desk.page("address.html", address=new, is_done=True)
        desk.post()
        return answer

    def _wish(self, session: Session, request: Request) -> tuple[Subscriber, AddressChange] | tuple[None, None]:
        """The person and their wish; neither for who was erased.

        Raises TokenError when it was fulfilled, another one came after it, or the person is barred meanwhile.
        """
        reader, *rest = self._desk.numbers(Purpose.ADDRESS, request)
        subscriber = session.get(Subscriber, reader)
        if subscriber is None:
            return None, None
        change = session.get(AddressChange, rest[0]) if rest else None
        if change is None or change.subscriber_id != reader or _is_barred(session, subscriber):
            raise TokenError(Trouble.EXPIRED)
        return subscriber, change


def _is_barred(session: Session, subscriber: Subscriber) -> bool:
    """Whether the owner has to lift something before any letter goes to this person, at whichever address."""
    return bool(suppression.kinds_of_hash(session, subscriber.identity_hash) & BARRING)


def _tag(subscriber: Subscriber) -> str:
    """Names the address that a link was mailed to, as a word of a link: once it changes, the link is dead."""
    return f"a{subscriber.identity_hash[:12]}"
