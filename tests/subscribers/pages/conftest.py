"""Readers' pages as `newsletter serve` mounts them, over a real database, with a reader of each kind."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from lxml import html
from starlette.testclient import TestClient

import subscribers
from newsletter.config import Config
from newsletter.deliveries import Clocks
from newsletter.pipeline import Press
from newsletter.store import Store, open_store, sqlite_file
from newsletter.web import application
from subscribers import Frequency, Purpose, Subscriber, Tokens
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import press_for

FORM = "application/x-www-form-urlencoded"


@dataclass
class Site:
    """The pages, the clock they go by, and a client without cookies."""

    store: Store
    press: Press = field(init=False)
    client: TestClient = field(init=False)
    tokens: Tokens = field(default_factory=lambda: Tokens(("k" * 43,)))
    now: dt.datetime = DAY

    def __post_init__(self) -> None:
        self.serve(Config())

    def serve(self, config: Config, frequencies: tuple[Frequency, ...] = tuple(Frequency)) -> None:
        """Start anew with another configuration."""
        clocks = Clocks(lambda: self.now, lambda: self.now)
        self.press = replace(press_for(self.store, config), clocks=clocks, frequencies=frequencies)
        self.client = TestClient(application(self.press), follow_redirects=False)

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


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with every table and no row."""
    file = tmp_path_factory.mktemp("pages") / "empty.sqlite3"
    open_store(f"sqlite:///{file}").close()
    return file.read_bytes()


@pytest.fixture
def site(migrated: bytes, tmp_path: Path) -> Iterator[Site]:
    """The pages of a newsletter that nobody reads yet."""
    file = tmp_path / "newsletter.sqlite3"
    file.write_bytes(migrated)
    store = open_store(f"sqlite:///{file}")
    yield Site(store)
    store.close()
