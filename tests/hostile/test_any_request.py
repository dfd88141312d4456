"""Whatever a visitor sends to whichever address of ours, they get a calm answer that tells nothing of others.

Routes are read off the application, so that a new one is asked too. Tools that make requests from a description in
OpenAPI, as schemathesis does, have nothing to read here: these are pages. Requests go straight into the ASGI
application, since every client and server would mend or refuse some of them.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import json
import logging
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import sqlalchemy
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Message

import subscribers
from newsletter.config import Config
from newsletter.deliveries import Clocks
from newsletter.events.sendgrid import SIGNATURE_HEADER, TIMESTAMP_HEADER
from newsletter.pipeline import Press
from newsletter.rendering import Masthead, Renderer
from newsletter.store import Store, open_store
from newsletter.web import application
from subscribers import Frequency, Kind, Purpose, TokenError, Tokens, people
from subscribers.addresses import parse
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import House

SHIELD = ("content-security-policy", "referrer-policy", "x-content-type-options")
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
_PLACE = re.compile(r"{(\w+)(:\w+)?}")
TOKEN = re.compile(r"[acdfnpu](?:\.[A-Za-z0-9_-]+)+")
SETTINGS = {
    "web": {"base_url": "https://news.example.com/digest", "trusted_proxies": ["127.0.0.1"]},
    "delivery": {"webhook_key": PUBLIC},
    "topics": [{"key": "safety", "name": "Safety"}, {"key": "theory", "name": "Theory"}],
}
PREFIX = b"/digest/"
"""Under which every address is found a second time."""
STATES = ("active", "pending", "left", "complained", "erased", "moving")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, byte by byte. ``reader`` is whose link it has, if it has one."""

    method: str
    path: bytes
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""
    pieces: int = 1
    peer: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What it was answered with."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Server:
    """The whole web application over a database with readers in every state, put back to its begin at will."""

    press: Press
    app: ASGIApp
    begin: bytes
    readers: Mapping[str, int]
    tokens: Mapping[Purpose, Sequence[str]]
    loop: asyncio.AbstractEventLoop
    log: list[str] = field(default_factory=list)

    @property
    def file(self) -> Path:
        """The database."""
        assert self.press.store.file is not None
        return self.press.store.file

    def reset(self) -> None:
        """Have the first state again."""
        self.press.store.close()
        for beside in self.file.parent.glob(f"{self.file.name}?*"):
            beside.unlink()
        self.file.write_bytes(self.begin)
        self.log.clear()

    def routes(self) -> list[Route]:
        """Every route with its whole path."""
        # The application stands behind what adds the headers, and nothing else needs to look behind it.
        return list(_flat(vars(self.app)["_app"].routes))

    def ask(self, asked: Asked) -> Answer:
        """Send a request."""
        return asyncio.run_coroutine_threadsafe(_ask(self.app, asked), self.loop).result(60)

    def owner(self, text: str) -> set[int]:
        """The readers whose genuine tokens stand in a text."""
        return {reader for found in TOKEN.findall(text) if (reader := self._reader(found)) is not None}

    def _reader(self, token: str) -> int | None:
        for end in range(len(token), 0, -1):
            try:
                value = self.press.tokens.read(Purpose(token[0]), token[:end], now=self.press.clocks.now())[0]
            except (TokenError, IndexError):
                continue
            return value if isinstance(value, int) else None
        return None


def _flat(routes: Sequence[BaseRoute], prefix: str = "") -> Iterator[Route]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _flat(route.routes, prefix + route.path)
        else:
            assert isinstance(route, Route), f"{route} is of a kind that is not asked yet"
            yield Route(prefix + route.path, route.endpoint, methods=list(route.methods or []))


async def _ask(app: ASGIApp, asked: Asked) -> Answer:
    size = max(1, -(-len(asked.body) // asked.pieces))
    parts = [asked.body[at : at + size] for at in range(0, len(asked.body), size)] or [b""]
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts[:-1]]
    coming += [{"type": "http.request", "body": parts[-1], "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop(0) if coming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    path = re.sub(rb"%([0-9a-fA-F]{2})", lambda found: bytes([int(found[1], 16)]), asked.path)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked.method,
        "scheme": "http",
        # As uvicorn does: a path that is no UTF-8 never comes so far.
        "path": path.decode("utf-8", "replace"),
        "raw_path": asked.path,
        "root_path": "",
        "query_string": asked.query,
        "headers": [(name.lower(), value) for name, value in asked.headers],
        "client": (asked.peer, 50_000) if asked.peer else None,
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Answer(sent[0]["status"], {k.decode(): v.decode("latin-1") for k, v in sent[0]["headers"]}, body)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for all requests, since SQLAlchemy and Jinja remember what they compiled."""
    # In memory where there is such a folder: every few requests the database is put back.
    with tempfile.TemporaryDirectory(dir=next(filter(os.path.isdir, ["/dev/shm"]), None)) as folder:
        store = open_store(f"sqlite:///{folder}/newsletter.sqlite3")
        sqlalchemy.event.listen(store.engine, "connect", lambda opened, _: opened.execute("PRAGMA synchronous=OFF"))
        with _running_loop() as loop:
            server = _server(store, loop)
            handler = _Kept(server.log)
            logging.getLogger().addHandler(handler)
            yield server
            logging.getLogger().removeHandler(handler)
        store.close()


@contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in a thread of its own: in that of the tests Playwright's may run already."""
    with closing(asyncio.new_event_loop()) as loop:
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        yield loop
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


class _Kept(logging.Handler):
    """Keeps what is written to any log."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.append(self.format(record))


def _server(store: Store, loop: asyncio.AbstractEventLoop) -> Server:
    config, now = Config.model_validate(SETTINGS), DAY + dt.timedelta(days=2)
    renderer = Renderer(Masthead("Digest", config.web.base_url, topic_names={"safety": "Safety", "theory": "Theory"}))
    tokens, clocks = Tokens(("k" * 43,)), Clocks(lambda: now, lambda: now)
    press = Press(config, store, clocks, renderer, tokens, tuple(Frequency))
    house = House(press)
    house.publish()
    house.correct(house.publish(), 2, withdrawn=True)
    readers = {state: _person(store, state, now) for state in STATES}
    made = {purpose: [*_tokens(store, tokens, purpose, readers, now)] for purpose in Purpose}
    store.close()
    with closing(sqlite3.connect(store.file or "")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert store.file is not None
    return Server(press, application(press), store.file.read_bytes(), readers, made, loop)


def _person(store: Store, state: str, now: dt.datetime) -> int:
    """A reader in that state."""
    active = state != "pending"
    with store.write() as session:
        row = subscribers.add(
            session, _address(state), now=DAY, how="test", consent_text="yes", active=active
        ).subscriber
        assert row is not None
        if state == "left":
            subscribers.unsubscribe(session, row.id, now=now)
        elif state == "complained":
            subscribers.suppress_subscriber(session, row.id, Kind.COMPLAINT, now=now)
        elif state == "moving":
            people.wish_address(session, row, parse("moved.for.sure@example.com"), now=now)
        return row.id


def _address(state: str) -> str:
    return f"somebody.{state}@example.com"


def _tokens(
    store: Store, tokens: Tokens, purpose: Purpose, readers: Mapping[str, int], now: dt.datetime
) -> Iterator[str]:
    """A genuine token of each reader; who is to be erased is erased at the end."""
    with store.write() as session:
        for state, reader in readers.items():
            row = session.get(subscribers.Subscriber, reader)
            seconds = int(now.timestamp())
            values: Mapping[Purpose, tuple[int | str, ...]] = {
                Purpose.UNSUBSCRIBE: (reader, 1),
                Purpose.FEEDBACK: (reader, 1),
                Purpose.CONFIRM: (reader, seconds),
                Purpose.UNDO: (reader, seconds),
                Purpose.ADDRESS: (reader, 1),
                Purpose.DATA: (reader, f"a{row.identity_hash[:12]}" if row else "a"),
            }
            expires = purpose not in (Purpose.UNSUBSCRIBE, Purpose.FEEDBACK, Purpose.PREFERENCES)
            yield tokens.sign(purpose, *values.get(purpose, (reader,)), now=now if expires else None)
            if state == "erased" and purpose is [*Purpose][-1]:
                subscribers.erase(session, reader, now=now)


# What is asked.

FIELDS: Mapping[str, Sequence[str]] = {
    "List-Unsubscribe": ("One-Click", "no"),
    "address": ("new.person@example.com", "somebody.active@example.com", "no address"),
    "confirm": ("yes",),
    "do": ("copy", "move", "delete", "nothing"),
    "follow": ("everything", "chosen"),
    "format": ("html", "text"),
    "frequency": ("every", "weekly", "monthly", "hourly"),
    "homepage": ("", "https://example.com"),
    "instead": ("weekly", "monthly", "pause-30", "pause-90", "topics"),
    "leave": ("yes",),
    "move": ("yes",),
    "pause": ("none", "keep", "30", "90"),
    "save": ("yes",),
    "send": ("yes",),
    "subscribe": ("yes",),
    "sure": ("yes",),
    "time_zone": ("", "Europe/Berlin", "../etc/passwd", "Europe/Berlin\0"),
    "topic": ("safety", "theory", "gone"),
    "undo": ("yes",),
    "worth": ("yes", "no"),
    "q": ("finding", '"%_', "x " * 200),
    "before": ("1", "-1", "9" * 50),
}
SIGNS = st.text(st.characters(codec="utf-8"), max_size=40)
NAMES = st.one_of(st.sampled_from([*FIELDS]), SIGNS)
PAIRS = st.one_of(
    st.sampled_from([*FIELDS]).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(FIELDS[name]))),
    st.tuples(NAMES, SIGNS),
)
"""Fields of forms, mostly as our pages have them."""
METHODS = st.sampled_from(["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"])
FORM, PARTS = b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=cut"
KINDS = st.sampled_from(
    [
        FORM,
        FORM + b"; charset=utf-16",
        FORM + b"; charset=undefined",
        FORM + b";" * 50,
        PARTS,
        PARTS + b"; charset=undefined",
        PARTS + b"; charset=zlib_codec",
        PARTS + b"; charset=idna",
        PARTS + b"; charset=\xff",
        b"multipart/form-data",
        b"multipart/form-data; boundary=",
        b"multipart/form-data; boundary=" + b"x" * 5_000,
        b"application/json",
        b"text/plain",
        b"",
        b"\xff\xfe/\x80",
    ]
)
ODD: Mapping[bytes, Sequence[bytes]] = {
    b"If-Modified-Since": (
        b"Fri, 29 May 2026 07:00:00 GMT",
        b"Fri, 29 May 2026 07:00:00",
        b"Fri, 29 May 2026 07:00:00 +9999999999999999",
        b"Fri, 99 Foo 99999 99:99:99 -9999",
        b"Thu, 01 Jan 0000 00:00:00 +0000",
        b"0",
    ),
    b"If-None-Match": (b"*", b'W/"x"', b'"', b"," * 900),
    b"Host": (b"", b"evil.example.net", b"[::1", b"a:b:c", b"\xff", b"x" * 4_000),
    b"Content-Length": (b"-1", b"0", b"9" * 40, b"x", b"\xb2", b"1e3", b""),
    b"Accept": (b"*/*", b"application/json", b";q=,", b"\x80"),
    b"Range": (b"bytes=0-0", b"bytes=-1", b"x"),
    b"Cookie": (b"a=b", b";" * 900, b"\xff=\xff"),
    b"Content-Encoding": (b"gzip", b"br", b"x"),
    b"X-Forwarded-For": (
        b"10.0.0.1",
        b"::1%eth0, [::1]:90",
        b"," * 500,
        b"unknown",
        b"999.1.1.1, 127.0.0.1",
        b"\xff",
    ),
    b"X-Forwarded-Host": (b"evil.example.net",),
    b"X-HTTP-Method-Override": (b"DELETE",),
}
"""Headers that something might read, with what nobody should believe."""
RAW = st.binary(max_size=60)
SPECIAL = st.one_of(
    st.sampled_from([*ODD]).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(ODD[name]))),
    st.tuples(st.sampled_from([*ODD]), RAW),
)


def _in_parts(pairs: Sequence[tuple[str, str]]) -> bytes:
    made = [f'--cut\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in pairs]
    return ("".join(made) + "--cut--\r\n").encode()


FORMS = st.lists(PAIRS, max_size=6)
BODIES = st.one_of(
    FORMS.map(lambda pairs: (FORM, urlencode(pairs).encode())),
    FORMS.map(lambda pairs: (PARTS, _in_parts(pairs))),
    st.tuples(KINDS, FORMS.map(lambda pairs: urlencode(pairs).encode())),
    st.tuples(KINDS, FORMS.map(_in_parts)),
    st.tuples(KINDS, st.binary(max_size=200)),
    st.sampled_from(
        [
            (FORM, b"a=" + b"x" * 20_000),
            (FORM, b"&" * 16_000),
            (FORM, b"topic=safety&" * 1_200),
            (FORM, b"%" * 5_000),
            (FORM, b"save=yes&time_zone=%ED%A0%80&follow=%00&topic=%ff"),
            (PARTS, b"--cut\r\n" * 2_000),
            (PARTS, b'--cut\r\nContent-Disposition: form-data; name="leave"; filename="x"\r\n\r\nyes\r\n--cut--\r\n'),
            (b"application/json", b"[" * 100_000),
        ]
    ),
)
"""A content type and a body, mostly of that type."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
EVENTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "event": st.sampled_from(["delivered", "bounce", "dropped", "spamreport", "unsubscribe", "open"]) | JSON,
            "key": st.sampled_from(["1-1", "2-3", "letter-1", "\ud800", "1-" + "9" * 40]) | JSON,
            "list": st.just("digest.news.example.com") | JSON,
            "email": st.sampled_from(["somebody.active@example.com", "\ud800@example.com", "@", "a@" + "b." * 200])
            | JSON,
            "timestamp": st.just(int(DAY.timestamp())) | JSON,
            "reason": st.sampled_from(["Bounced Address", "550 \ud800 no", "x" * 5_000]) | JSON,
            "sg_event_id": st.sampled_from(["a", "b", "\ud83d", "x" * 900]) | JSON,
            "type": st.sampled_from(["blocked", "bounce"]) | JSON,
        },
    ),
    max_size=4,
)


@st.composite
def requests(draw: st.DrawFn, server: Server) -> Asked:
    """A request to one of the routes, by a genuine link or one that is nearly genuine, with anything in it."""
    route = draw(st.sampled_from(server.routes()))
    path = _PLACE.sub(lambda found: quote(draw(_value(server, route.path, found[1])), safe=""), route.path)
    kind, body = draw(BODIES)
    headers = [(b"Content-Type", kind), *draw(st.lists(SPECIAL, max_size=3))]
    if route.path.endswith("/sendgrid"):
        body = json.dumps(draw(EVENTS)).encode() if draw(st.integers(0, 3)) else body
        headers = _signed(body, server) + headers
    usual = st.sampled_from(sorted(route.methods or ()))
    return Asked(
        method=draw(st.one_of(usual, usual, METHODS)),
        path=path.encode() + draw(st.sampled_from([b""] * 8 + [b"/", b"%00", b"//", b"/../", b"%ff", b"?x"])),
        query=draw(st.one_of(FORMS.map(lambda pairs: urlencode(pairs).encode()), RAW)),
        headers=tuple(headers),
        body=body,
        pieces=draw(st.integers(1, 3)),
        peer=draw(st.sampled_from(["127.0.0.1", "192.0.2.7", "::1", "unix", ""])),
    )


def _signed(body: bytes, server: Server) -> list[tuple[bytes, bytes]]:
    """The headers by which a report is SendGrid's."""
    at = str(int(server.press.clocks.real().timestamp())).encode()
    signature = base64.b64encode(PRIVATE.sign(at + body, ec.ECDSA(hashes.SHA256())))
    return [(SIGNATURE_HEADER.encode(), signature), (TIMESTAMP_HEADER.encode(), at)]


def _value(server: Server, path: str, name: str) -> st.SearchStrategy[str]:
    """What can stand in a route's path under that name: what fits, what fits elsewhere, and anything."""
    if name == "token":
        own, all_ = server.tokens[_purpose(path)], [token for tokens in server.tokens.values() for token in tokens]
        changed = st.builds(_changed, st.sampled_from(own), st.integers(0, 60), st.sampled_from("aA1._-~\0"))
        return st.one_of(st.sampled_from(own), st.sampled_from(own), st.sampled_from(all_), changed, SIGNS)
    fitting = {"number": ["1", "2", "3", "0"], "key": ["safety", "theory"]}[name]
    odd = ["99999999999999999999", "-1", "01", "1.0", "\u0661", "..", "\x00", "%2e"]
    return st.one_of(st.sampled_from(fitting), st.sampled_from(odd), SIGNS)


def _changed(token: str, place: int, sign: str) -> str:
    at = place % len(token)
    return token[:at] + sign + token[at + 1 :]


# What must hold of every answer.


def check(server: Server, asked: Asked, answer: Answer) -> None:
    """Hold an answer to what any visitor may be told."""
    assert answer.status < 500, answer
    missing = [name for name in SHIELD if not answer.headers.get(name)]
    assert not missing, (answer.status, missing)
    told = answer.body.decode("utf-8", "replace") + "\n".join(answer.headers.values())
    assert "Traceback" not in told and "site-packages" not in told
    theirs = server.owner(asked.path.decode("latin-1"))
    assert server.owner(told) <= theirs, "a link of somebody else's"
    typed = (asked.path + asked.query + asked.body).decode("latin-1").replace("%40", "@")
    for state, reader in server.readers.items():
        address = _address(state)
        assert address not in told or reader in theirs or address in typed, f"the address of {address}"
    logged = "\n".join(server.log)
    assert not server.owner(logged) and "somebody." not in logged and "Traceback" not in logged


def changes(server: Server, asked: Asked) -> bool:
    """Ask, check, and tell whether anything changed in the database."""
    with closing(sqlite3.connect(server.file)) as connection:
        before = connection.execute("PRAGMA data_version").fetchone()
        answer = server.ask(asked)
        check(server, asked, answer)
        return bool(connection.execute("PRAGMA data_version").fetchone() != before)


QUICK = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
LONG = settings(QUICK, max_examples=500)


@pytest.mark.parametrize("profile", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_whatever_is_asked_the_answer_is_calm_and_looking_changes_nothing(server: Server, profile: settings) -> None:
    @profile
    @given(st.lists(requests(server), min_size=1, max_size=5))
    def ask(all_: list[Asked]) -> None:
        server.reset()
        for asked in all_:
            changed = changes(server, asked)
            assert not (changed and asked.method in ("GET", "HEAD")), asked

    ask()


def test_every_route_opens_to_what_fits_it(server: Server) -> None:
    """Else a new route might get nothing but refusals from the test before, and pass."""
    server.reset()
    closed = [asked for asked in _opening(server) if server.ask(asked).status not in (200, 400, 422)]
    assert not closed


def test_no_header_upsets_a_page(server: Server) -> None:
    server.reset()
    # A page asked for with the one does not look at the other (RFC 9110, 13.1.3).
    asked_with = [[name for name in ODD if name != b"If-None-Match"], [b"If-None-Match"]]
    for asked in _opening(server):
        for names in asked_with if not asked.path.startswith(PREFIX) else []:
            for place in range(max(len(ODD[name]) for name in names)):
                odd = tuple((name, ODD[name][place % len(ODD[name])]) for name in names)
                assert not changes(server, replace(asked, headers=(*odd, *asked.headers)))


def _opening(server: Server) -> Iterator[Asked]:
    """A request for each route, by a genuine link where it needs one: the pages, and an empty report."""
    for route in server.routes():
        path = _PLACE.sub(partial(_fitting, server, route.path), route.path).encode()
        if "GET" in (route.methods or ()):
            yield Asked("GET", path)
        elif route.path.endswith("/sendgrid"):
            yield Asked("POST", path, headers=tuple(_signed(b"[]", server)), body=b"[]")
        else:
            yield Asked("POST", path, headers=((b"Content-Type", FORM),), body=b"")


def _fitting(server: Server, path: str, found: re.Match[str]) -> str:
    """What opens a route in the place of that name; links are those of the reader who is moving."""
    if found[1] != "token":
        return {"number": "1", "key": "safety"}[found[1]]
    return server.tokens[_purpose(path)][STATES.index("moving")]


def _purpose(path: str) -> Purpose:
    """What a route's links are good for: the letter before the token."""
    return Purpose(path.partition("{")[0].rstrip("/")[-1])
