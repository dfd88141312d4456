"""A hostile publisher: what it serves, the names that lead to it, and the intake that has to live with it.

All names and addresses exist in one test only. The publisher is a server on loopback; a resolver of the test's own
gives it addresses that count as public, and a connector notes each address that is dialled and leads it there. What
the intake should never dial therefore cannot leave the machine, and is seen.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import html
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlmodel import col, select

from newsletter import issues, pieces, pipeline, sections
from newsletter.config import Config, FetchingConfig
from newsletter.fetching import Door, connect_by_tcp
from newsletter.intake import READ, Intake, SourceReport
from newsletter.pipeline import Press
from newsletter.rendering import LONGEST_READER
from newsletter.sandbox import Sandbox
from newsletter.store import Store
from newsletter.store.tables import PieceRow
from newsletter.summaries import Desk
from newsletter.values import (
    Claim,
    Edition,
    Issue,
    IssuePiece,
    Piece,
    Section,
    SectionShape,
    Source,
    Summary,
    SummaryKind,
)
from newsletter.writers.excerpts import Excerpts
from tests.hostile import memory
from tests.newsletter.feeds import article
from tests.newsletter.loopback import Answer, Server, reply
from tests.newsletter.makers import DAY
from tests.newsletter.web.conftest import press_for

FEED_HOST, PAGE_HOST, OTHER_HOST = "feeds.example.com", "pages.example.com", "other.example.com"
ADDRESSES = {FEED_HOST: "198.41.0.4", PAGE_HOST: "199.7.83.42", OTHER_HOST: "192.5.6.30"}
"""Names of the publisher. Their addresses count as public, and nobody dials them."""
FEED = "/feed.xml"
FEED_URL = f"http://{FEED_HOST}{FEED}"
SOURCE = Source(FEED_URL, "The Hostile Review", FEED_URL)

MAX_FEED_BYTES, MAX_PAGE_BYTES = 5_000_000, 10_000_000
OUR_MEMORY = 120_000_000
"""Most that we ourselves may hold more than before: a feed and a page of the largest size, a few times over."""
CHILD_MEMORY = 700_000_000
FIRST, SECOND, THIRD = (f"What the {which} good piece found" for which in ("first", "second", "third"))
GOOD = (FIRST, SECOND, THIRD)

TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_TRACES = re.compile(r"Traceback|\.py\"|line \d+, in | at 0x[0-9a-f]{8,}")

Resolved = Sequence[str] | OSError | Callable[[], Sequence[str]]
"""What a resolver says of a name."""


@dataclass(frozen=True)
class Behaviour:
    """One thing that a hostile publisher does, and what must become of it.

    ``answers`` are by path, several in the order in which they are given; a path without one is not found. ``names``
    are further names, or other answers for the usual ones, in order. After the last of ``fetches`` the source must
    have this ``status``, a problem that ``says`` matches (none: there must be none) and notes that ``notes`` matches
    line by line (none: any), and ``stored`` must be the titles in the database. ``patience`` is the door's time limit,
    and ``within`` how long all may take, in seconds. ``mailed`` must stand in the mail of an issue of it, word for
    word; ``never`` must be in no part of it.
    """

    name: str
    answers: Mapping[str, Answer | Sequence[Answer]]
    stored: tuple[str, ...] = ()
    status: str = READ
    says: str = ""
    notes: str = ""
    names: Mapping[str, Sequence[Resolved]] = field(default_factory=dict)
    fetches: int = 1
    patience: float = 10.0
    within: float = 10.0
    mailed: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    source: Source = SOURCE
    check: Callable[[Outcome], None] | None = None
    slow: bool = False

    @property
    def id(self) -> str:
        """The name as that of a test."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass
class World:
    """The names of one test, and what was dialled in it."""

    names: dict[str, list[Resolved]]
    port: int
    dialled: list[tuple[str, int]] = field(default_factory=list)

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """The next answer for a name, the last one again and again; odd spellings of IPv4 as the system reads them."""
        with contextlib.suppress(OSError):
            return [socket.inet_ntoa(socket.inet_aton(host.rstrip(".")))]
        if host.rstrip(".") == "localhost":
            return ["::1", "127.0.0.1"]
        answers = self.names.get(host)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer() if callable(answer) else answer

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        """Note the address, and lead to the publisher."""
        self.dialled.append((address, port))
        return connect_by_tcp("127.0.0.1", self.port, timeout)


@dataclass(frozen=True)
class Outcome:
    """What became of a behaviour. ``published`` are the pieces of each issue that was made of it, in order."""

    reports: list[SourceReport]
    stored: list[Piece]
    asked: list[str]
    dialled: list[tuple[str, int]]
    published: list[list[Piece]]
    seconds: float
    our_bytes: int
    child_bytes: int
    html: str = ""
    text: str = ""

    @property
    def titles(self) -> list[str]:
        """Of what is stored, in the order in which it came."""
        return [piece.title for piece in self.stored]


class _Routes:
    """Answers requests by their paths."""

    def __init__(self, answers: Mapping[str, Answer | Sequence[Answer]]) -> None:
        self._lock = threading.Lock()
        self._answers = {
            path: [given] if isinstance(given, bytes) or callable(given) else list(given)
            for path, given in answers.items()
        }

    def __call__(self, connection: socket.socket, head: bytes) -> None:
        with self._lock:
            answers = self._answers.get(path_of(head), [reply(b"not here", "404 Not Found")])
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection, head)


def path_of(head: bytes) -> str:
    """The path that a request asks for."""
    return head.split(b" ", 2)[1].decode("ascii", "replace")


def run(behaviour: Behaviour, store: Store, sandbox: Sandbox) -> Outcome:
    """Have the intake read the publisher, publishing all that is new after each fetch when there are several."""
    with Server(_Routes(behaviour.answers)) as server:
        world = World({name: [[address]] for name, address in ADDRESSES.items()}, server.port)
        world.names |= {name: list(answers) for name, answers in behaviour.names.items()}
        intake = intake_of(store, sandbox, world, behaviour.patience)
        memory.forget_peak()
        before, began = memory.held_bytes(), time.monotonic()
        reports, published = [], []
        seconds = 0.0
        for number in range(behaviour.fetches):
            now = DAY + dt.timedelta(days=number)
            began = time.monotonic()
            reports += intake.fetch([behaviour.source], now)
            seconds += time.monotonic() - began
            if behaviour.fetches > 1:
                published.append(publish(store, now))
        ours = memory.peak_bytes() - before
        child = sandbox.call(f"{memory.__name__}:{memory.peak_bytes.__name__}")
        stored = stored_in(store)
        mail = mail_of(store) if behaviour.mailed or behaviour.never else ("", "")
        asked = [path_of(head) for head in server.requests]
        return Outcome(reports, stored, asked, world.dialled, published, seconds, ours, child, *mail)


def intake_of(store: Store, sandbox: Sandbox, world: World, patience: float) -> Intake:
    """The real intake, in a world of its own."""
    door = Door(timeout_seconds=patience, resolve=world.resolve, connect=world.connect, tls=TRUSTING_NOBODY)
    limits = FetchingConfig(max_feed_bytes=MAX_FEED_BYTES, max_page_bytes=MAX_PAGE_BYTES)
    return Intake(store, door, sandbox, limits, max_age_days=30)


def stored_in(store: Store) -> list[Piece]:
    """Every piece in the database, in the order in which they came."""
    with store.read() as session:
        return [pieces.to_piece(row) for row in session.exec(select(PieceRow).order_by(col(PieceRow.id)))]


def publish(store: Store, now: dt.datetime) -> list[Piece]:
    """Have everything new out in an issue, by the pipeline. The pieces in it; none when there was nothing new."""
    press = _press(store, now)
    built = pipeline.build(press, _desk(store))
    if not built.number:
        return []
    with store.write() as session:
        issues.publish(session, built.number, now)
        return [entry.piece for entry in issues.load(session, built.number).pieces]


def mail_of(store: Store) -> tuple[str, str]:
    """HTML and text of the mail of an issue of everything stored, each piece with the beginning of its text."""
    entries = tuple(IssuePiece(piece, _beginning(piece), ()) for piece in stored_in(store))
    issue = Issue(1, DAY.date(), "The issue of a hostile world", entries)
    rendered = _press(store, DAY).renderer.edition(Edition(issue, entries))
    return rendered.html(LONGEST_READER), rendered.text(LONGEST_READER)


def _beginning(piece: Piece) -> Summary:
    """A summary of the first paragraphs, whatever they say: the writers would leave out most that looks odd."""
    blocks = tuple((Claim(paragraph),) for paragraph in piece.text.split("\n\n")[:5])
    return Summary(SummaryKind.EXCERPTS, (Section("summary", "", SectionShape.PROSE, blocks),), writer="test")


def _press(store: Store, now: dt.datetime) -> Press:
    limits = {"min_pieces": 1, "max_pieces": 50, "min_score": 0, "max_per_source": 50}
    press = press_for(store, Config.model_validate({"selection": limits}))
    clocks = type(press.clocks)(now=lambda: now, real=lambda: now)
    return Press(press.config, store, clocks, press.renderer, press.tokens)


def _desk(store: Store) -> Desk:
    specs = sections.load(("summary", "takeaways"))
    return Desk(store, Excerpts(specs), Excerpts(specs), specs)


def is_one_plain_line(text: str) -> bool:
    """Whether a text for the owner is one line, of a length to read, and tells nothing of our insides."""
    return text.isprintable() and len(text) < 500 and not _TRACES.search(text)


# What is served


def item(
    title: str,
    seed: int = 0,
    *,
    text: str | None = None,
    link: str | None = None,
    guid: str | None = None,
    date: str | None = "Thu, 28 May 2026 07:00:00 GMT",
    extra: str = "",
) -> str:
    """An RSS item. Without a text it has a whole one, so that no page is asked for; ``seed`` tells items apart."""
    body = _whole(seed) if text is None else text
    return (
        f"<item><title>{title}</title><link>{link or f'http://{PAGE_HOST}/p/{seed}'}</link>"
        f"<guid isPermaLink='false'>{guid or f'id-{seed}'}</guid>{f'<pubDate>{date}</pubDate>' if date else ''}{extra}"
        f"<description>{html.escape(body)}</description></item>"
    )


@functools.cache
def _whole(seed: int) -> str:
    """A text of more than 250 words."""
    return "".join(f"<p>{paragraph}</p>" for paragraph in article(320, seed).split("\n\n"))


def good(place: int, **changes: str) -> str:
    """One of three good items."""
    return item(GOOD[place], place + 1, **changes)


def rss(*items: str, head: str = '<?xml version="1.0" encoding="utf-8"?>', channel: str = "") -> str:
    """A feed of these items."""
    inside = f"<title>The Hostile Review</title>{channel}{''.join(items)}"
    return f'{head}<rss version="2.0"><channel>{inside}</channel></rss>'


def served(body: str | bytes, content_type: str = "application/rss+xml", **headers: str) -> bytes:
    """A whole answer with this body."""
    data = body.encode() if isinstance(body, str) else body
    return reply(data, content_type=content_type, **headers)


def sentences(words: str, seed: int = 0) -> str:
    """A text that is long enough to be whole and says these words in every sentence."""
    said = re.sub(r"\. ", f", and the log of it said {words} to everyone. ", article(320, seed))
    return "".join(f"<p>{html.escape(p, quote=False)}</p>" for p in said.split("\n\n"))


# How it is served


def forever(chunk: bytes, first: bytes = b"", seconds: float = 0.0) -> Answer:
    """Send the first bytes, then the chunk again and again, pausing in between."""

    def answer(connection: socket.socket, head: bytes) -> None:
        connection.sendall(first)
        for _ in _while_there(connection):
            connection.sendall(chunk)
            time.sleep(seconds)

    return answer


def _while_there(connection: socket.socket) -> Iterator[None]:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        yield


def hang_up(connection: socket.socket, head: bytes) -> None:
    """Close with a reset (SO_LINGER of zero seconds)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def late(answer: bytes, seconds: float) -> Answer:
    """The answer, after a while."""

    def send(connection: socket.socket, head: bytes) -> None:
        time.sleep(seconds)
        connection.sendall(answer)

    return send
