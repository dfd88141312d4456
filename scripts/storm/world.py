"""What the newsletter reads and asks in a storm: publishers of many moods, and a model that fails in every way."""

from __future__ import annotations

import gzip
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from scripts.storm.clock import Clock
from scripts.storm.luck import Luck
from tests.newsletter import fake_claude
from tests.newsletter.fake_claude import FakeClaude
from tests.newsletter.feeds import Publisher, article
from tests.newsletter.loopback import Server, reply
from tests.newsletter.makers import DAY

SOURCES = 4
SECONDS_A_PIECE = 240.0
"""How often each source publishes, by the storm's clock."""

IN_A_FEED = 10
_RSS = "application/rss+xml; charset=utf-8"

MOODS = {
    "good": 50,
    "slow": 10,
    "error": 8,
    "busy": 6,
    "page": 6,
    "cut": 6,
    "empty": 4,
    "reset": 4,
    "late": 3,
    "bomb": 3,
}
MODEL_FAILS = 0.3


INSTEAD = {
    "error": reply(b"out of order", "500 Internal Server Error"),
    "busy": reply(b"", "429 Too Many Requests", retry_after="30"),
    "page": reply(b"<!doctype html><title>Log in</title>", content_type="text/html"),
    "empty": reply(b"", content_type=_RSS),
    "bomb": reply(gzip.compress(b"<rss>" + bytes(30_000_000)), content_type=_RSS, content_encoding="gzip"),
}
"""What is answered in place of what was asked for, by the mood."""


def _slowly(connection: socket.socket, answer: bytes) -> None:
    step = len(answer) // 8 + 1
    for start in range(0, len(answer), step):
        connection.sendall(answer[start : start + step])
        time.sleep(0.1)


def _late(connection: socket.socket, answer: bytes) -> None:
    time.sleep(3)
    connection.sendall(answer)


def _reset(connection: socket.socket, answer: bytes) -> None:
    # With this option, closing sends RST and not FIN (socket(7), SO_LINGER).
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


WAYS: dict[str, Callable[[socket.socket, bytes], None]] = {
    "good": lambda connection, answer: connection.sendall(answer),
    "cut": lambda connection, answer: connection.sendall(answer[: len(answer) * 2 // 3]),
    "slow": _slowly,
    "late": _late,
    "reset": _reset,
}
"""How the answer to what was asked for is sent, by the mood."""


class Publishers:
    """All sources behind one port. Once ``calm``, they answer as they should and publish nothing new."""

    def __init__(self, clock: Clock, luck: Luck) -> None:
        self._clock, self._luck = clock, luck
        self._stopped_at: float | None = None
        self._server = Server(self._answer)
        self._site = Publisher(self._server.port)
        self._items: dict[int, str] = {}
        self.answers: dict[str, int] = {}

    @property
    def place(self) -> str:
        """`host:port`."""
        return self._server.place

    @property
    def feeds(self) -> list[str]:
        """The address of each feed."""
        return [f"{self._server.url}feed/{number}.xml" for number in range(SOURCES)]

    def calm_down(self) -> None:
        """Publish nothing more, and answer well."""
        self._stopped_at = self._age()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.__exit__(None, None, None)

    def _age(self) -> float:
        return (self._clock.now() - DAY).total_seconds() if self._stopped_at is None else self._stopped_at

    def _answer(self, connection: socket.socket, head: bytes) -> None:
        path = head.split()[1].decode("ascii", "replace")
        mood = "good" if self._stopped_at is not None else self._luck.of(MOODS)
        self.answers[mood] = self.answers.get(mood, 0) + 1
        if mood in INSTEAD:
            connection.sendall(INSTEAD[mood])
            return
        is_feed = path.startswith("/feed/")
        body, kind = (self._feed(path), _RSS) if is_feed else (self._page(path), "text/html; charset=utf-8")
        WAYS[mood](connection, reply(body, content_type=kind))

    def _feed(self, path: str) -> bytes:
        source = int(path.removeprefix("/feed/").partition(".")[0])
        items = self._newest(source)
        if source == SOURCES - 1:
            # Posts that others have, too, by another address for the same page.
            items += [item.replace("</link>", "?utm_source=storm</link>") for item in self._newest(0)[:3]]
        channel = f"<title>Source {source}</title>{''.join(items)}"
        return f'<?xml version="1.0"?><rss version="2.0"><channel>{channel}</channel></rss>'.encode()

    def _newest(self, source: int) -> list[str]:
        last = 6 + int(self._age() / SECONDS_A_PIECE)
        return [self._item(source * 100_000 + number) for number in range(last, max(last - IN_A_FEED, 0), -1)]

    def _item(self, number: int) -> str:
        if number not in self._items:
            words = 60 if number % 5 == 0 else 420
            self._items[number] = self._site.item(number, words=words, now=self._clock.now(), days_ago=0.01)
        return self._items[number]

    def _page(self, path: str) -> bytes:
        number = int("".join(filter(str.isdigit, path.partition("?")[0])) or 0)
        paragraphs = "".join(f"<p>{text}</p>" for text in article(500, number).split("\n\n"))
        return f"<!doctype html><title>Finding</title><article>{paragraphs}</article>".encode()


class Model(FakeClaude):
    """A Claude that fails three times in ten, each time in another way, until it is ``calm``."""

    def __init__(self, luck: Luck) -> None:
        super().__init__(otherwise=self._behave)
        self._luck, self.is_calm = luck, False
        self.asked = self.failed = 0
        self.__enter__()

    def close(self) -> None:
        """End."""
        self.__exit__(None, None, None)

    def _behave(self, handler: fake_claude.Handler, body: dict[str, Any]) -> None:
        self.requests.clear()
        self.asked += 1
        if self.is_calm or not self._luck.one_in(1 / MODEL_FAILS):
            return fake_claude.good(handler, body)
        self.failed += 1
        self._luck.any_of(FAILURES)(handler, body)


FAILURES: list[fake_claude.Behaviour] = [
    fake_claude.refusal,
    fake_claude.cut_off,
    fake_claude.unauthorised,
    fake_claude.rate_limited,
    fake_claude.server_error,
    fake_claude.overloaded,
    fake_claude.html,
    fake_claude.hangs,
    fake_claude.drips,
    fake_claude.floods,
    fake_claude.resets,
    fake_claude.breaks_off,
    fake_claude.answers({}),
    fake_claude.answers({"appraisals": "none", "summary": 7}),
]
