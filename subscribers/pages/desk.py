"""What every page for readers shares: the parts it works with, reading links and forms, and calm answers."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from zoneinfo import ZoneInfo

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message

from subscribers import letters
from subscribers.ports import Catalogue, Letter, Links, Post, Render, Sessions
from subscribers.tables import Frequency, Subscriber
from subscribers.tokens import LIFETIMES, Purpose, TokenError, Trouble, Value

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

MOST_BYTES = 16_384
"""Largest form that is read: 200 topics with keys of 40 letters, and room."""

HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer"}
"""What every page with a token in its address carries, so that the token stays between reader and server."""

PUBLIC_HEADERS = {"Cache-Control": "no-store"}
"""What a form for everyone carries: it may be found, and is made anew for each visit."""

_PORT = re.compile(r"(\[.*\]|[0-9.]+):[0-9]+", re.ASCII)


class Page(Protocol):
    """One page: ``show`` answers GET and HEAD and changes nothing, ``act`` answers POST.

    Both may raise TokenError.
    """

    def show(self, request: Request) -> Response:
        """The page."""
        ...

    def act(self, request: Request, form: FormData) -> Response:
        """What came of the form."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """The parts that the pages work with, handed in by who mounts them.

    ``zone`` is the newsletter's; ``frequencies`` are those that it really mails in. ``base_url`` is where these
    pages are, without a slash at its end. ``proxies`` are those whose word on who the visitor is we believe.
    """

    read: Sessions
    write: Sessions
    render: Render
    links: Links
    catalogue: Catalogue
    now: Callable[[], dt.datetime]
    zone: ZoneInfo
    frequencies: tuple[Frequency, ...]
    base_url: str
    post: Post
    proxies: tuple[Network, ...] = ()

    def routes(self, path: str, page: Page) -> list[BaseRoute]:
        """A page at its address."""

        def show(request: Request) -> Response:
            try:
                return page.show(request)
            except TokenError as error:
                return self.dead_link(error.trouble)

        def act(request: Request, form: FormData) -> Response:
            try:
                return page.act(request, form)
            except TokenError as error:
                return self.dead_link(error.trouble)

        async def post(request: Request) -> Response:
            body = await _body(request)
            if body is None:
                return self.page("refused.html", 413)
            form = await _form(request, body)
            return self.page("refused.html", 400) if form is None else await run_in_threadpool(act, request, form)

        return [Route(path, show, methods=["GET"]), Route(path, post, methods=["POST"])]

    def page(self, name: str, status: int = 200, **values: object) -> Response:
        """A page of the templates as an answer that nobody stores, indexes or is told of."""
        return HTMLResponse(self.render(name, **values), status, HEADERS)

    def public_page(self, name: str, status: int = 200, **values: object) -> Response:
        """A page for everyone, without a token in its address."""
        return HTMLResponse(self.render(name, **values), status, PUBLIC_HEADERS)

    def words(self, key: str) -> str:
        """A fixed text as a visitor reads it: what a consent is recorded with."""
        return self.render("words.txt", key=key).strip()

    def link(self, purpose: Purpose, *values: Value) -> str:
        """A whole link, for a letter."""
        stamp = self.now() if purpose in LIFETIMES else None
        return f"{self.base_url}/{purpose.value}/{self.links.sign(purpose, *values, now=stamp)}"

    def write_letter(self, session: Session, kind: str, address: str, **links: str) -> None:
        """Post a letter, in the transaction of what it is about."""
        letters.post(session, Letter(kind, address, links), now=self.now())

    def visitor(self, request: Request) -> str:
        """The IP address of who asks; empty when the connection has none."""
        return visitor(
            request.client.host if request.client else "", request.headers.getlist("x-forwarded-for"), self.proxies
        )

    def numbers(self, purpose: Purpose, request: Request) -> tuple[int, ...]:
        """What the link in a request's path carries; the reader's id comes first. Raises TokenError."""
        values = self.values(purpose, request)
        if not values or not all(isinstance(value, int) for value in values):
            raise TokenError(Trouble.MALFORMED)
        return tuple(int(value) for value in values)

    def values(self, purpose: Purpose, request: Request) -> tuple[Value, ...]:
        """All that the link in a request's path carries. Raises TokenError."""
        expires = purpose in LIFETIMES
        return self.links.read(purpose, request.path_params["token"], now=self.now() if expires else None)

    def sign_undo(self, subscriber: Subscriber) -> str:
        """The token that takes back the reader's last leaving; empty for one who never left.

        It carries that moment, so it undoes no later leaving, and is the same however often it is asked for.
        """
        if subscriber.left_at is None:
            return ""
        values: tuple[Value, ...] = (subscriber.id, seconds(subscriber.left_at))
        return self.links.sign(Purpose.UNDO, *values, now=subscriber.left_at)

    def day(self, moment: dt.datetime, subscriber: Subscriber) -> dt.date:
        """The day of a moment where the reader is."""
        zone = ZoneInfo(subscriber.time_zone) if subscriber.time_zone else self.zone
        return moment.astimezone(zone).date()

    def dead_link(self, trouble: Trouble) -> Response:
        """One calm page for every link that opens nothing; only the status says which kind it is."""
        return self.page("dead_link.html", 410 if trouble is Trouble.EXPIRED else 404)

    def nobody(self) -> Response:
        """The answer to a genuine link of someone who was erased."""
        return self.page("nobody.html", 410)


def seconds(moment: dt.datetime) -> int:
    """A moment as a link carries it: whole seconds since 1970."""
    return int(moment.timestamp())


def visitor(peer: str, forwarded: list[str], proxies: tuple[Network, ...]) -> str:
    """The IP address of a visitor, behind proxies that are believed; empty when who connected to us has none.

    ``peer`` is who connected to us, ``forwarded`` are the values of ``X-Forwarded-For``, each proxy's addition at the
    end. The first address from the end that no believed proxy has is the visitor's; what stands before it, anyone may
    have written. A proxy that names no address stands for its visitors itself.
    """
    hops = [hop for value in forwarded for hop in value.split(",")]
    address = _ip(peer)
    while address is not None and any(address in network for network in proxies) and hops:
        nearer = _ip(hops.pop())
        if nearer is None:
            break
        address = nearer
    return "" if address is None else str(address)


def _ip(text: str) -> IpAddress | None:
    """An IP address as connections and proxies write it: with a port or a scope, or IPv4 in the shape of IPv6."""
    bare = _PORT.sub(r"\1", text.strip()).strip("[]").partition("%")[0]
    try:
        ip = ipaddress.ip_address(bare)
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


async def _body(request: Request) -> bytes | None:
    """The body; None when it is too large, and then the rest is not read."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            return None
    return bytes(body)


async def _form(request: Request, body: bytes) -> FormData | None:
    """The form in a body, in either encoding (RFC 8058, 3.1, allows both); None when it is none."""

    async def again() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        return await Request(request.scope, again).form(max_files=0)
    except (HTTPException, ValueError):
        # ValueError: the visitor names a `charset`, and Python has some ("undefined") that can read nothing.
        return None
