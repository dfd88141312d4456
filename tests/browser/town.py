"""A newsletter on loopback as `newsletter serve` serves it: issues of every make, and readers in every state."""

from __future__ import annotations

import datetime as dt
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from sqlalchemy.exc import OperationalError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import subscribers
from newsletter.config import Config
from newsletter.store import open_store
from newsletter.values import Claim, IssuePiece, Section, SectionShape, Summary, SummaryKind, TextOrigin
from newsletter.web import application
from subscribers import Kind, Purpose, people
from subscribers.addresses import parse
from tests.newsletter import makers
from tests.newsletter.web.conftest import House, entry
from tests.subscribers.pages.conftest import Site

START_SECONDS = 10
LONG_WORD = "Wechselwirkungsquerschnittsberechnungsverfahren"
TOPICS = (
    {"key": "safety", "name": "Safety", "description": "Keeping systems within what people want."},
    {"key": "evaluations", "name": "Evaluations", "description": "What models can do, and how we know."},
    {"key": "theory", "name": f"{LONG_WORD} and other theory", "description": "Proofs, bounds and why things work."},
    {"key": "policy", "name": "Policy"},
)


@dataclass
class Town(Site):
    """What is served at ``base``. Every reader that is asked for is a new one, so that no test meets another's."""

    base: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        settings = {"web": {"base_url": self.base}, "topics": TOPICS, "newsletter": {"tagline": "What is worth it."}}
        self.serve(Config.model_validate(settings))
        publish(House(self.press))

    def application(self) -> ASGIApp:
        """The pages, and two that fail as pages may: one by a bug, one by its database."""
        return application(self.press, [Route("/broken", broken), Route("/out-of-reach", out_of_reach)])

    def active(self, **wishes: object) -> int:
        """A reader who gets every issue."""
        return self.reader(self.address(), **wishes)

    def address(self) -> str:
        """An address that nobody has yet."""
        return f"reader-{next(self._numbers)}@example.com"

    def chooser(self, *topics: str) -> int:
        """A reader who follows only these topics."""
        return self.active(topics=frozenset(topics))

    def paused(self) -> int:
        """A reader who gets nothing for nine days."""
        return self.active(paused_until=self.now + dt.timedelta(days=9))

    def pending(self, *topics: str) -> int:
        """Someone who asked, for these topics or for everything, and has not confirmed."""
        wishes = subscribers.Preferences(topics=frozenset(topics) or None)
        with self.store.write() as session:
            added = subscribers.add(
                session, self.address(), now=self.now, how="form", consent_text="Yes.", preferences=wishes
            )
            assert added.subscriber is not None
            return added.subscriber.id

    def gone(self, ago: dt.timedelta = dt.timedelta(), reader: int = 0) -> int:
        """A reader who left."""
        leaver = reader or self.active()
        with self.store.write() as session:
            subscribers.unsubscribe(session, leaver, now=self.now - ago)
        return leaver

    def complained(self) -> int:
        """A reader who called our mail unwanted."""
        reader = self.active()
        with self.store.write() as session:
            subscribers.suppress_subscriber(session, reader, Kind.COMPLAINT, now=self.now)
        return reader

    def erased(self) -> int:
        """A reader of whom nothing is kept."""
        reader = self.active()
        self.erase(reader)
        return reader

    def confirm(self, reader: int, ago: dt.timedelta = dt.timedelta()) -> str:
        """The path of the link that confirms, asked for that long ago."""
        asked = self.now - ago
        return f"/c/{self.tokens.sign(Purpose.CONFIRM, reader, int(asked.timestamp()), now=asked)}"

    def feedback(self, reader: int, issue: int = 1, number: int = 1) -> str:
        """The path of the link under a piece."""
        return f"/f/{self.tokens.sign(Purpose.FEEDBACK, reader, issue)}/{number}"

    def data_letter(self, reader: int) -> str:
        """The path of the page that mails the way to one's data."""
        return f"{self.preferences(reader)}/data"

    def change(self, reader: int) -> str:
        """The path of the link in the letter to a reader's new address."""
        with self.store.write() as session:
            wish = people.wish_address(session, subscribers.get(session, reader), parse(self.address()), now=self.now)
            return f"/a/{self.tokens.sign(Purpose.ADDRESS, reader, wish.id, now=self.now)}"


def broken(request: Request) -> Response:
    """A page with a bug."""
    raise RuntimeError("made to fail by a test")


def out_of_reach(request: Request) -> Response:
    """A page whose database does not answer."""
    raise OperationalError("SELECT 1", {}, Exception("made to fail by a test"))


def publish(house: House) -> None:
    """Four issues: a whole one, one of other pieces, one with a mistake and a withdrawal, one of long words."""
    house.publish(*(entry(summary=digest(), topics=("safety", "evaluations")) for _ in range(3)))
    excerpts = makers.summary(kind=SummaryKind.EXCERPTS, writer="excerpts", model="")
    house.publish(
        entry(summary=excerpts, title="العربية: what a model reads from right to left", topics=()),
        entry(summary=digest(), origin=TextOrigin.ABSTRACT),
        entry(summary=digest()),
    )
    wrong = house.publish(*(entry(summary=digest()) for _ in range(3)))
    house.correct(wrong, 1, "The effect is 12 %, not 21 %.")
    house.correct(wrong, 2, "The authors asked for it.", withdrawn=True)
    house.publish(*long_words())


def digest() -> Summary:
    """A summary with every section that there is."""
    return makers.summary(
        sections=(
            _section("summary", "", SectionShape.PROSE, "They trained a small model and looked inside.", "It held."),
            _section("why_it_matters", "Why it matters", SectionShape.PROSE, "A cheap test finds what slow ones miss."),
            _section("build", "What you can build with this", SectionShape.PROSE, "Run it on logs.", suggestion=True),
            _section("takeaways", "Key takeaways", SectionShape.LIST, "One holds.", "Two does too.", "Three may."),
        )
    )


def long_words() -> Iterator[IssuePiece]:
    """Pieces whose every text holds a word that fits no narrow screen."""
    for shape in (SectionShape.PROSE, SectionShape.LIST):
        sections = (
            _section("summary", "", SectionShape.PROSE, f"{LONG_WORD * 3}."),
            _section("takeaways", LONG_WORD * 2, shape, f"{LONG_WORD * 2}.", "Two."),
        )
        yield entry(
            title=f"{LONG_WORD * 2} reconsidered",
            authors=(LONG_WORD, "Ada Example", "Bo Example", "Cy Example", "Di Example"),
            summary=makers.summary(sections=sections),
            topics=("theory",),
        )


def _section(key: str, heading: str, shape: SectionShape, *texts: str, suggestion: bool = False) -> Section:
    return Section(key, heading, shape, tuple((Claim(text),) for text in texts), suggestion)


@contextmanager
def served(folder: Path) -> Iterator[Town]:
    """A town over a database in that folder, at a free port, until the block ends."""
    store = open_store(f"sqlite:///{folder / 'newsletter.sqlite3'}")
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        town = Town(store, folder / "outbox", base=f"http://127.0.0.1:{listener.getsockname()[1]}")
        settings = uvicorn.Config(
            town.application(), lifespan="off", log_config=None, access_log=False, server_header=False
        )
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="town")
        thread.start()
        try:
            await_start(server)
            yield town
        finally:
            server.should_exit = True
            thread.join()
            store.close()


def await_start(server: uvicorn.Server) -> None:
    """Return when the server answers. Raises TimeoutError when it does not within ten seconds."""
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if time.monotonic() > deadline:
            raise TimeoutError("the server does not start")
        time.sleep(0.01)
