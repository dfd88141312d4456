"""Two invented feeds, a site that serves them on loopback, and five readers: what `newsletter demo` runs on.

All of it was written for this project, and authors, labs, models and results are invented. Between them the
ten pieces bring up what a newsletter has to deal with: one piece in both feeds, one more than a year old, one
whose feed holds only its beginning, one announcement that is not worth a reader's time, and five that simply
are worth it.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import socketserver
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

from newsletter.values import Source

DAY = dt.datetime(2026, 6, 1, 7, tzinfo=dt.UTC)
"""The moment at which the demo's clock stands. The feeds' dates are fixed and fit it."""

FIELD_NOTES_HOST = "fieldnotes.example.com"
QUARTERLY_HOST = "quarterly.example.org"
SOURCES = (
    Source(
        key=f"http://{FIELD_NOTES_HOST}/feed.xml",
        name="Field Notes on Learning",
        url=f"http://{FIELD_NOTES_HOST}/feed.xml",
    ),
    Source(
        key=f"http://{QUARTERLY_HOST}/atom.xml",
        name="The Loss Quarterly",
        url=f"http://{QUARTERLY_HOST}/atom.xml",
    ),
)
"""The two feeds: RSS 2.0 and Atom 1.0."""

_FILES = (
    (FIELD_NOTES_HOST, "/feed.xml", "application/rss+xml; charset=utf-8", "fieldnotes.xml"),
    (FIELD_NOTES_HOST, "/posts/t9hb1/ghent-meet-up", "text/html; charset=utf-8", "pages/ghent-meet-up.html"),
    (QUARTERLY_HOST, "/atom.xml", "application/atom+xml; charset=utf-8", "quarterly.xml"),
    (
        QUARTERLY_HOST,
        "/2026/05/two-hundred-approvals-an-hour",
        "text/html; charset=utf-8",
        "pages/two-hundred-approvals-an-hour.html",
    ),
)
"""Host, path, content type and file. Only pieces whose feed does not hold enough of them have a page."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A sample subscriber. ``topics`` are keys of the default topics; None follows everything."""

    name: str
    address: str
    topics: tuple[str, ...] | None
    format: Literal["html", "text"] = "html"


SUBSCRIBERS = (
    Reader("Ada Whitcombe", "ada@example.com", topics=None),
    Reader("Jonas Bergqvist", "jonas@example.org", topics=("evaluations", "interpretability")),
    Reader("Mirela Costin", "mirela@example.com", topics=("safety", "training")),
    Reader("Paul Oduya", "paul@example.org", topics=None, format="text"),
    Reader("Zofia Krajewska", "zofia@example.com", topics=("theory",)),
)
"""Five readers who between them need several editions: everything, as HTML and as text, and three choices."""


@dataclass(frozen=True, slots=True)
class Resource:
    """What one address of the sample site answers."""

    content_type: str
    body: bytes = field(repr=False)

    @property
    def etag(self) -> str:
        """The entity tag, quotation marks included: the same for the same bytes."""
        return f'"{hashlib.sha256(self.body).hexdigest()[:16]}"'


_NOT_FOUND = Resource("text/plain; charset=utf-8", b"There is no such page.\n")

Site = Mapping[tuple[str, str], Resource]
"""Resources by host and path."""


def site() -> Site:
    """Every address of the sample site."""
    folder = files(__name__)
    return {
        (host, path): Resource(content_type, folder.joinpath(name).read_bytes())
        for host, path, content_type, name in _FILES
    }


@contextmanager
def serve(resources: Site | None = None) -> Iterator[int]:
    """Serve the sample site on 127.0.0.1 until the block ends; gives the port.

    One port serves all hosts: the ``Host`` header of a request says which one it means, so whoever fetches
    has to dial this port whatever the name in the URL. An ``If-None-Match`` that fits is answered with 304,
    an unknown address with 404. ``resources`` replaces the bundled ones.
    """
    with _Server(site() if resources is None else resources) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sample site")
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class _Server(socketserver.ThreadingTCPServer):
    """An HTTP server of the sample site.

    Not `http.server.ThreadingHTTPServer`, which looks up the machine's own name when it binds: without a
    network that can take many seconds.
    """

    daemon_threads = True
    server_address: tuple[str, int]

    def __init__(self, resources: Site) -> None:
        self.resources = resources
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and nothing else."""

    protocol_version = "HTTP/1.1"
    timeout = 10.0
    server: _Server

    def do_GET(self) -> None:
        """Answer with the resource, with 304 when the client has it, or with 404."""
        host = self.headers.get("Host", "").partition(":")[0].lower()
        resource = self.server.resources.get((host, urlsplit(self.path).path))
        if resource is None:
            self._answer(HTTPStatus.NOT_FOUND, _NOT_FOUND)
        elif resource.etag in self.headers.get("If-None-Match", ""):
            self._answer(HTTPStatus.NOT_MODIFIED, resource)
        else:
            self._answer(HTTPStatus.OK, resource)

    def _answer(self, status: HTTPStatus, resource: Resource) -> None:
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("ETag", resource.etag)
        if status is HTTPStatus.NOT_MODIFIED:
            self.end_headers()
            return
        self.send_header("Content-Type", resource.content_type)
        self.send_header("Content-Length", str(len(resource.body)))
        self.end_headers()
        self.wfile.write(resource.body)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the demo prints what the product does."""
