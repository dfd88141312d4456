"""A publisher on loopback: feeds and pages that a test can change while it serves them."""

from __future__ import annotations

import datetime as dt
import hashlib
import html
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.newsletter.makers import DAY, prose


@dataclass
class Answer:
    """What a path answers. ``seconds`` is how long it takes about it."""

    body: bytes
    status: int = 200
    kind: str = "application/rss+xml; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass
class Publisher:
    """The paths, what they answer, and what was asked of them (path and status, in order)."""

    port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, int]] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The address of the publisher."""
        return f"http://127.0.0.1:{self.port}"

    def feed(self, path: str, bodies: list[str]) -> None:
        """Serve an RSS feed of these items (see `item`)."""
        text = "".join(bodies)
        document = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Feed {path}</title>{text}</channel></rss>'
        self.answers[path] = Answer(document.encode())

    def item(
        self, number: int, *, words: int = 600, days_ago: float = 1, title: str = "", now: dt.datetime = DAY
    ) -> str:
        """One RSS item with a text of so many words."""
        body = "".join(f"<p>{html.escape(p)}</p>" for p in article(words, number).split("\n\n"))
        date = format_datetime(now - dt.timedelta(days=days_ago))
        return (
            f"<item><title>{html.escape(title or f'Finding {number}: what the probe of model {number} saw')}</title>"
            f"<link>{self.base}/posts/{number}</link><guid isPermaLink='false'>post-{number}</guid>"
            f"<author>a@example.com (Author {number})</author><pubDate>{date}</pubDate>"
            f"<description>{html.escape(body)}</description></item>"
        )


_TEMPLATES = (
    "We trained probe {seed}{n} on layer {n} of the model and found an accuracy of {a} percent over {b} seeds.",
    "The baseline for {noise} stayed at chance, which surprised two of the {b} annotators.",
    "When the authors removed dataset {noise}, the gap between training and evaluation closed to {a} points.",
    "Nobody has repeated run {n} with another tokenizer, and the report calls that its main limit.",
    "Steering along direction {seed}{n} changed {a} answers in a thousand without hurting grammar.",
    "A smaller network of {b} layers learned the same circuit, only later and with more noise from {noise}.",
    "Reviewers asked for a control with shuffled labels, and its score of {a} ruled out the simple story.",
    "Costs were modest: {b} hours on one card for benchmark {noise}, prompts included.",
)


def article(words: int, seed: int) -> str:
    """Readable sentences of several kinds, different for each seed."""
    made = [
        _TEMPLATES[n % len(_TEMPLATES)].format(
            seed=seed,
            n=n,
            a=50 + (seed * 7 + n * 3) % 49,
            b=3 + n % 5,
            noise=prose(2, seed * 1000 + n).rstrip(".").lower(),
        )
        for n in range(words // 14 + 1)
    ]
    return "\n\n".join(" ".join(made[i : i + 4]) for i in range(0, len(made), 4))


@contextmanager
def publisher() -> Iterator[Publisher]:
    """Serve until the block ends. ETags are answered with 304."""
    site = Publisher()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer = site.answers.get(self.path, Answer(b"not here", 404, "text/plain"))
            time.sleep(answer.seconds)
            tag = f'"{hashlib.sha256(answer.body).hexdigest()[:16]}"'
            fresh = answer.status == 200 and self.headers.get("If-None-Match") == tag
            status = 304 if fresh else answer.status
            site.asked.append((self.path, status))
            self.send_response(status)
            for name, value in {"Content-Type": answer.kind, "ETag": tag, **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0" if fresh else str(len(answer.body)))
            self.end_headers()
            if not fresh:
                # A client that has run out of time hangs up: that is its right.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
