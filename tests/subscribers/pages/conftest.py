"""Readers' pages as `newsletter serve` mounts them, over a real database, with a reader of each kind."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest
from lxml import html
from starlette.testclient import TestClient

import subscribers
from newsletter import deliveries, issues, pipeline
from newsletter.config import Config
from newsletter.deliveries import Clocks
from newsletter.editions import assign
from newsletter.letters import send_due
from newsletter.messages import to_bytes
from newsletter.pipeline import Press
from newsletter.providers.files import Files
from newsletter.store import Store, open_store, sqlite_file
from newsletter.values import Edition
from newsletter.web import application
from subscribers import Frequency, Kind, Purpose, Subscriber, Tokens
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import House, press_for

FORM = "application/x-www-form-urlencoded"


class Answer(Protocol):
    """What tests read of an answer; Starlette's client is made of one HTTP package or another."""

    status_code: int

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""
        ...

    @property
    def text(self) -> str:
        """Its body."""
        ...


@dataclass
class Site:
    """The pages, the clock they go by, and a client without cookies."""

    store: Store
    outbox: Path
    press: Press = field(init=False)
    client: TestClient = field(init=False)
    tokens: Tokens = field(default_factory=lambda: Tokens(("k" * 43,)))
    now: dt.datetime = DAY
    batches: int = 0
    issued: int = 0
    open: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        self.serve(Config())

    def serve(self, config: Config, frequencies: tuple[Frequency, ...] = tuple(Frequency)) -> None:
        """Start anew with another configuration."""
        clocks = Clocks(lambda: self.now, lambda: self.now)
        key = config.model_dump_json()
        press = _presses().get(key) or _presses().setdefault(key, press_for(self.store, config))
        self.press = replace(press, store=self.store, clocks=clocks, frequencies=frequencies, tokens=self.tokens)
        self.client = self.from_network("testclient")

    def from_network(self, peer: str) -> TestClient:
        """A client that connects from that address."""
        client = TestClient(application(self.press), follow_redirects=False, client=(peer, 50_000))
        # Once entered, it keeps its event loop from request to request.
        return self.open.enter_context(client)

    def reader(self, address: str = "ada@example.com", **wishes: object) -> int:
        """The id of a new reader who is active."""
        preferences = replace(subscribers.Preferences(), **wishes)  # type: ignore[arg-type]  # a test names its wishes
        with self.store.write() as session:
            added = subscribers.add(
                session, address, now=DAY, how="test", consent_text="Yes.", preferences=preferences, active=True
            )
            assert added.subscriber is not None
            return added.subscriber.id

    def row(self, reader: int) -> Subscriber:
        """The row of a reader."""
        with self.store.read() as session:
            return subscribers.get(session, reader)

    def wishes(self, reader: int) -> subscribers.Preferences:
        """The preferences of a reader."""
        return subscribers.preferences_of(self.row(reader))

    def leave(self, reader: int) -> str:
        """Unsubscribe a reader now. Returns the path that undoes it."""
        with self.store.write() as session:
            subscribers.unsubscribe(session, reader, now=self.now)
        return self.undo(reader)

    def erase(self, reader: int) -> None:
        """Forget a reader."""
        with self.store.write() as session:
            subscribers.erase(session, reader, now=self.now)

    def unsubscribe(self, reader: int, issue: int = 1) -> str:
        """The path of the link that leaves."""
        return f"/u/{self.tokens.sign(Purpose.UNSUBSCRIBE, reader, issue)}"

    def preferences(self, reader: int) -> str:
        """The path of the link to preferences."""
        return f"/p/{self.tokens.sign(Purpose.PREFERENCES, reader)}"

    def confirm(self, reader: int) -> str:
        """The path of the link that confirms, asked for now."""
        return f"/c/{self.tokens.sign(Purpose.CONFIRM, reader, int(self.now.timestamp()), now=self.now)}"

    def feedback(self, reader: int, issue: int, number: int) -> str:
        """The path of the question about a piece."""
        return f"/f/{self.tokens.sign(Purpose.FEEDBACK, reader, issue)}/{number}"

    def data(self, reader: int) -> str:
        """The path to a reader's data, by the letter that the link to preferences sends."""
        self.client.post(f"{self.preferences(reader)}/data", data={"send": "yes"})
        return link(self.mails()[-1], "d")

    def ask(self, address: str = "ada@example.com", client: TestClient | None = None, **fields: object) -> Answer:
        """Send the form that asks for the newsletter."""
        form = {"address": address, "follow": "everything", "subscribe": "yes", **fields}
        return (client or self.client).post("/subscribe", data=form)

    def publish(self) -> int:
        """Have an issue of three pieces out. Returns its number."""
        self.issued += 1
        return House(self.press, self.issued - 1).publish()

    def plan(self, number: int) -> None:
        """Freeze an issue's audience: everyone on the list gets all of it."""
        with self.store.write() as session:
            issue = issues.load(session, number)
            whole = assign(issue, [None], [])[None]
            groups = {row.follows: whole for row in subscribers.page(session)}
            deliveries.plan(session, number, groups, frequency=Frequency.EVERY, due_at=self.now, now=self.now)

    def claim(self, number: int) -> Sequence[deliveries.Claimed]:
        """Claim all that is due of an issue."""
        with self.store.write() as session:
            return deliveries.claim(session, number, "test", 100, self.now, self.now)

    def send(self, number: int) -> list[EmailMessage]:
        """Plan and claim an issue. Returns its mails as they arrive."""
        self.plan(number)
        with self.store.read() as session:
            issue = issues.load(session, number)
        rendered = self.press.renderer.edition(Edition(issue, issue.pieces))
        return [read_mail(to_bytes(pipeline.address(self.press, issue, rendered, one))) for one in self.claim(number)]

    def suppress(self, address: str, kind: Kind = Kind.COMPLAINT) -> None:
        """Suppress an address."""
        with self.store.write() as session:
            subscribers.suppress(session, address, kind, now=self.now)

    def mails(self) -> list[EmailMessage]:
        """Hand over the letters that wait. Returns them as they arrive, in the order of their posting."""
        self.batches += 1
        folder = self.outbox / str(self.batches)
        send_due(self.press, Files(folder))
        files = sorted(folder.glob("*.eml"), key=lambda file: int(file.stem.rpartition("-")[2]))
        return [read_mail(file.read_bytes()) for file in files]

    def find(self, address: str = "ada@example.com") -> Subscriber | None:
        """The row of that address, if there is one."""
        with self.store.read() as session:
            return subscribers.find(session, address)

    def undo(self, reader: int) -> str:
        """The path that undoes a reader's last leaving."""
        left_at = self.row(reader).left_at
        assert left_at is not None
        return f"/n/{self.tokens.sign(Purpose.UNDO, reader, int(left_at.timestamp()), now=left_at)}"

    def dump(self) -> list[str]:
        """Everything that the database holds."""
        file = sqlite_file(self.store.url)
        assert file is not None
        with closing(sqlite3.connect(file)) as connection:
            return list(connection.iterdump())

    def one_click(self, path: str) -> tuple[int, str]:
        """What a mail program gets for the POST that it sends by itself: status and text."""
        answer = self.client.post(path, content="List-Unsubscribe=One-Click", headers={"content-type": FORM})
        return answer.status_code, answer.text


def main_text(page: str) -> str:
    """What a visitor reads in the main part of a page, on one line."""
    (main,) = html.document_fromstring(page).xpath("//main")
    return " ".join(main.text_content().split())


def read_mail(raw: bytes) -> EmailMessage:
    """A mail as a mail program reads it."""
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def body(mail: EmailMessage, kind: str = "plain") -> str:
    """The text of a mail, or its HTML."""
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def link(mail: EmailMessage, letter: str) -> str:
    """The path of a mail's first link of that purpose."""
    found = re.search(rf"https?://[^/\s]+(/{letter}/\S+)", body(mail))
    assert found is not None, body(mail)
    return found[1]


@cache
def _presses() -> dict[str, Press]:
    """The parts by configuration: a renderer compiles its templates once for all tests."""
    return {}


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, bytes]]:
    """A store with every table and no row, and the bytes of its file. One for all: SQLAlchemy remembers statements."""
    file = tmp_path_factory.mktemp("pages") / "newsletter.sqlite3"
    store = open_store(f"sqlite:///{file}")
    store.close()
    yield store, file.read_bytes()
    store.close()


@pytest.fixture
def site(empty: tuple[Store, bytes], tmp_path: Path) -> Iterator[Site]:
    """The pages of a newsletter that nobody reads yet."""
    store, content = empty
    file = sqlite_file(store.url)
    assert file is not None
    file.write_bytes(content)
    site = Site(store, tmp_path / "outbox")
    with site.open:
        yield site
    for opened in {store, site.store}:
        opened.close()
    for journal in ("-wal", "-shm"):
        file.with_name(f"{file.name}{journal}").unlink(missing_ok=True)
