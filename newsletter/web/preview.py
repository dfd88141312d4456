"""The preview on the owner's own machine: pages that are made anew when what they are made of changes.

It shows readers' addresses, and anyone who uses the same machine can reach a loopback port: so every path begins with a
secret that only the owner was told. A Host that is not ours is refused, since a page elsewhere could have its own name
lead here (DNS rebinding).
"""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

PAGE = ""
"""The name of the page itself among the files."""

KINDS = {"html": "text/html", "txt": "text/plain", "eml": "text/plain", "json": "application/json"}

_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


class Preview:
    """The newest files. ``make`` makes them, given the stamp that names what they are made of; the page is ``PAGE``."""

    def __init__(self, make: Callable[[str], Mapping[str, bytes]], stamp: Callable[[], str]) -> None:
        self._make, self._read_stamp = make, stamp
        self._lock = threading.Lock()
        self._stamp = ""
        self._files: Mapping[str, bytes] = {}

    def stamp(self) -> str:
        """Names what the files would be made of now."""
        return self._read_stamp()

    def file(self, name: str) -> bytes | None:
        """A file as it is now. One request at a time makes them."""
        with self._lock:
            now = self.stamp()
            if now != self._stamp:
                self._files, self._stamp = self._make(now), now
            return self._files.get(name)


def stamp_of(places: Iterable[Path]) -> str:
    """Names the present state of files and of all files in folders: by path, size and time of change."""
    digest = hashlib.sha256()
    for place in places:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            try:
                seen = file.stat()
            except FileNotFoundError:
                digest.update(f"{file}: gone\n".encode())
            else:
                digest.update(f"{file}: {seen.st_size} {seen.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:32]


def application(preview: Preview, secret: str, hosts: Iterable[str]) -> ASGIApp:
    """The page at ``/SECRET/`` and its files beside it. ``hosts`` are the values of Host that are ours, with port."""
    ours = frozenset(hosts)

    def stamp(request: Request) -> Response:
        return _answer(request, PlainTextResponse(preview.stamp()))

    def file(request: Request) -> Response:
        name = request.path_params.get("name", PAGE)
        found = preview.file(name)
        if found is None:
            return _answer(request, PlainTextResponse("There is no such page.\n", 404))
        if name == PAGE:
            return _answer(request, Response(found, media_type="text/html"), _page_policy(found.decode()))
        return _answer(request, Response(found, media_type=KINDS[name.rpartition(".")[2]]), f"sandbox; {_MAIL_POLICY}")

    def _answer(request: Request, answer: Response, policy: str = "default-src 'none'") -> Response:
        if request.headers.get("host", "").lower() not in ours:
            answer = PlainTextResponse("This is not the place of that name.\n", 421)
            policy = "default-src 'none'"
        answer.headers["Content-Security-Policy"] = policy
        answer.headers["Cache-Control"] = "no-store"
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    routes = [
        Route(f"/{secret}/", file, methods=["GET"]),
        Route(f"/{secret}/stamp", stamp, methods=["GET"]),
        Route(f"/{secret}/{{name}}", file, methods=["GET"]),
    ]
    app = Starlette(routes=routes)
    # Its redirects repeat the Host that the visitor claims.
    app.router.redirect_slashes = False
    return app


_MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a mail may do: have a look of its own. Nothing is loaded, so that what would be loaded is seen to be missing."""


def _page_policy(page: str) -> str:
    """What the page may do besides: run the script that it ends with, and ask for its own stamp.

    The mails in it stand in attributes, where no script element is: each that is found is the page's own.
    """
    digests = (hashlib.sha256(script.encode()).digest() for script in _SCRIPT.findall(page))
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return f"{_MAIL_POLICY}; script-src {scripts}; connect-src 'self'; frame-ancestors 'none'"
