"""A provider that counts: the server of the test's own that keeps who was sent what, and the command that uses it.

`python -m tests.newsletter.counting WORDS` is `newsletter WORDS` with a provider that posts to the server named by
COUNTING_URL. `DIE_AT` kills the process, as `kill -9` does, at a seam: ``commit:N`` after its Nth commit since the
command began, ``handing:N`` before the Nth call writes a byte, ``bytes:N`` when the server has read it, ``answer:N``
when the answer was read.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from newsletter import cli
from newsletter.cli._workshop import Workshop
from newsletter.providers import Accepted, InDoubt, Outcome, Provider, TryLater
from newsletter.store import Store
from newsletter.values import Message

BATCH = 50


class CountingServer:
    """Takes every message and counts it by its reader's address.

    ``delay`` are the seconds until it answers, None for never. ``on_request`` is called with the number of the request
    when all of it is read and counted, and before it is answered.
    """

    def __init__(self) -> None:
        self.taken: Counter[str] = Counter()
        self.requests = 0
        self.delay: float | None = 0.0
        self.on_request: Callable[[int], None] = lambda number: None
        self.ended = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self.ended.set()
        self._server.shutdown()
        self._server.server_close()

    def take(self, to: Sequence[str]) -> int:
        """Count a request's messages. Returns the number of the request."""
        with self._lock:
            self.taken.update(to)
            self.requests += 1
            return self.requests

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posted = json.loads(self.rfile.read(int(self.headers["content-length"])))
                number = owner.take(posted["to"])
                owner.on_request(number)
                if posted["die"]:
                    os.kill(posted["die"], signal.SIGKILL)
                    return
                if owner.delay is None or owner.ended.wait(owner.delay):
                    owner.ended.wait()
                    return
                self.send_response(202)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@dataclass
class Counting:
    """Posts the addresses of a call to the server, and kills its own process where it is told to."""

    place: str
    seam: tuple[str, int]
    name: str = "counting"
    batch: int = BATCH
    repeats_safely: bool = False
    calls: int = field(default=0)

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        self.calls += 1
        self._die_at("handing")
        dies = os.getpid() if self.seam == ("bytes", self.calls) else 0
        connection = http.client.HTTPConnection(self.place, timeout=60)
        try:
            connection.connect()
        except OSError as error:
            yield from (TryLater(message.key, str(error)) for message in messages)
            return
        try:
            connection.request("POST", "/", json.dumps({"to": [m.to for m in messages], "die": dies}))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            yield from (InDoubt(message.key, str(error)) for message in messages)
            return
        finally:
            connection.close()
        self._die_at("answer")
        yield from (Accepted(message.key, str(status)) for message in messages)

    def _die_at(self, seam: str) -> None:
        if self.seam == (seam, self.calls):
            os.kill(os.getpid(), signal.SIGKILL)


def main(words: Sequence[str]) -> int:
    """Run a command of the newsletter with the counting provider."""
    name, _, number = os.environ.get("DIE_AT", "").partition(":")
    seam = (name, int(number or 0))
    provider = Counting(os.environ["COUNTING_URL"], seam)

    class Patched(Workshop):
        def provider(self) -> Provider:
            return provider

    if name == "commit":
        _die_after_commits(seam[1])
    setattr(sys.modules["newsletter.cli._workshop"], "Workshop", Patched)  # noqa: B010  # what `cli.main` makes
    return cli.main(words)


def _die_after_commits(most: int) -> None:
    """Kill this process right after so many transactions that write."""
    begin, seen = Store.begin, Counter[str]()

    @contextmanager
    def dying(self: Store) -> Iterator[Any]:
        with begin(self) as connection:
            yield connection
        seen["commits"] += 1
        if seen["commits"] == most:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Store, "begin", dying)  # noqa: B010  # a seam of the test, not a method of the product


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
