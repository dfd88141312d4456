"""A small, true Mail Send API on loopback, with a count of its own of what it took.

It checks requests as SendGrid's documentation says that SendGrid does, names what is wrong with them as it does, and
puts the substitutions in, so that a test sees what a reader would. Its script says how it misbehaves.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

KEY = "SG.test-key-0123456789.abcdefghijklmnop"

RESERVED = {
    "x-sg-id",
    "x-sg-eid",
    "received",
    "dkim-signature",
    "content-type",
    "content-transfer-encoding",
    "to",
    "from",
    "subject",
    "reply-to",
    "cc",
    "bcc",
}
TOP = {
    "personalizations",
    "from",
    "reply_to",
    "subject",
    "content",
    "mail_settings",
    "tracking_settings",
    "headers",
    "categories",
    "custom_args",
}
OWN = {"to", "subject", "headers", "substitutions", "custom_args"}

Handler = BaseHTTPRequestHandler
Behaviour = Callable[["FakeSendGrid", Handler, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Mail:
    """What a reader would get."""

    key: str
    to: str
    headers: Mapping[str, str]
    text: str
    html: str


@dataclass
class FakeSendGrid:
    """The service. ``script`` behaves for one request each; when it is used up, requests are just answered.

    ``refused`` are addresses that it names in a 400, ``cursed`` those for which it says 400 and no more.
    ``most_rows`` makes larger requests a 413.
    """

    script: Iterable[Behaviour] = ()
    refused: frozenset[str] = frozenset()
    cursed: frozenset[str] = frozenset()
    most_rows: int = 1000
    payloads: list[dict[str, Any]] = field(default_factory=list)
    mails: list[Mail] = field(default_factory=list)
    accepted: Counter[str] = field(default_factory=Counter)
    sandboxed: int = 0

    def __post_init__(self) -> None:
        self._script = itertools.chain(self.script, itertools.repeat(answer))
        self._lock = threading.Lock()
        self.stopping = threading.Event()

    def __enter__(self) -> Self:
        service = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that has hung up is no news."""

        class Asked(Handler):
            def do_POST(self) -> None:
                service._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = Server(("127.0.0.1", 0), Asked)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening. Twice is no error."""
        if not self.stopping.is_set():
            self.stopping.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def host(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def take(self, payload: dict[str, Any]) -> None:
        """Count and keep the mails of a request."""
        with self._lock:
            for row in payload["personalizations"]:
                self.accepted[row["custom_args"]["key"]] += 1
                self.mails.append(_mail(payload, row))

    def _serve(self, handler: Handler) -> None:
        data = handler.rfile.read(int(handler.headers["Content-Length"]))
        payload = json.loads(data)
        with self._lock:
            self.payloads.append(payload)
            behaviour = next(self._script)
        if handler.path != "/v3/mail/send":
            status(404, "not found")(self, handler, payload)
        elif handler.headers["Authorization"] != f"Bearer {KEY}":
            status(401, "The provided authorization grant is invalid, expired, or revoked")(self, handler, payload)
        elif len(data) > 30_000_000 or len(payload["personalizations"]) > self.most_rows:
            status(413, "Payload too large")(self, handler, payload)
        else:
            behaviour(self, handler, payload)


def problems(payload: dict[str, Any]) -> list[tuple[str, str]]:
    """What SendGrid would refuse in a request, as (field, message): our own words for its published rules."""
    rows, found = payload.get("personalizations", []), list[tuple[str, str]]()
    found += [(name, "is no field that we use") for name in payload.keys() - TOP]
    if not 1 <= len(rows) <= 1000:
        found.append(("personalizations", "there must be 1 to 1000 of them"))
    addresses = Counter(to["email"].lower() for row in rows for to in row["to"])
    found += [("personalizations", "an address stands there twice") for count in addresses.values() if count > 1]
    for place, row in enumerate(rows):
        found += [(f"personalizations.{place}.{where}", why) for where, why in _row_problems(row)]
    if "@" not in payload["from"]["email"] or not payload["from"]["email"].isascii():
        found.append(("from.email", "must be an address in ASCII"))
    if not payload.get("subject"):
        found.append(("subject", "is required"))
    kinds = [part["type"] for part in payload["content"]]
    if kinds not in (["text/plain"], ["text/plain", "text/html"]) or not all(p["value"] for p in payload["content"]):
        found.append(("content", "must be text, then perhaps HTML, and none of it empty"))
    return found


def _row_problems(row: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(name, "is no field that we use") for name in row.keys() - OWN]
    for to in row["to"]:
        local, _, domain = to["email"].rpartition("@")
        if not local or "." not in domain or not to["email"].isascii():
            found.append(("to.0.email", "Does not contain a valid address."))
    for name, value in row.get("headers", {}).items():
        if name.lower() in RESERVED:
            found.append((f"headers.{name}", "is reserved"))
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            found.append((f"headers.{name}", "must be a string without control characters"))
    for name in ("substitutions", "custom_args"):
        values = row.get(name, {})
        if any(not isinstance(value, str) for value in values.values()):
            found.append((name, "must be strings"))
        elif sum(len(f"{tag}{value}".encode()) for tag, value in values.items()) > 10_000:
            found.append((name, "are more than 10,000 bytes"))
    return found


def _mail(payload: dict[str, Any], row: dict[str, Any]) -> Mail:
    parts = {part["type"]: part["value"] for part in payload["content"]}
    for tag, value in row.get("substitutions", {}).items():
        parts = {kind: text.replace(tag, value) for kind, text in parts.items()}
    (to,) = row["to"]
    return Mail(row["custom_args"]["key"], to["email"], row["headers"], parts["text/plain"], parts.get("text/html", ""))


def respond(handler: Handler, code: int, body: bytes = b"", **headers: str) -> None:
    """Answer with this body."""
    handler.send_response(code)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def errors(*found: tuple[str | None, str]) -> bytes:
    """A refusal's body."""
    return json.dumps({"errors": [{"message": why, "field": where, "help": None} for where, why in found]}).encode()


def answer(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    """As SendGrid does: 202 for what holds to its rules."""
    rows = payload["personalizations"]
    found: list[tuple[str | None, str]] = [*problems(payload)]
    for place, row in enumerate(rows):
        if row["to"][0]["email"] in service.refused:
            found.append((f"personalizations.{place}.to.0.email", "Does not contain a valid address."))
    if not found and any(row["to"][0]["email"] in service.cursed for row in rows):
        found = [(None, "Bad Request")]
    if found:
        respond(handler, 400, errors(*found), Content_Type="application/json")
    elif payload.get("mail_settings", {}).get("sandbox_mode", {}).get("enable"):
        service.sandboxed += len(rows)
        respond(handler, 200)
    else:
        service.take(payload)
        respond(handler, 202, X_Message_Id="made-here")


def status(code: int, message: str = "", where: str | None = None, **headers: str) -> Behaviour:
    """Take nothing and answer with that status."""

    def behave(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
        respond(handler, code, errors((where, message)), **headers)

    return behave


def raw(data: bytes, *, takes: bool = False) -> Behaviour:
    """Answer with these bytes and hang up, after having taken the mails or not."""

    def behave(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
        if takes:
            service.take(payload)
        handler.wfile.write(data)
        handler.close_connection = True

    return behave


def reset(*, takes: bool) -> Behaviour:
    """Tear the connection off once the request has come, after having taken the mails or not."""

    def behave(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
        if takes:
            service.take(payload)
        # With this option, closing sends RST and not FIN (socket(7), SO_LINGER).
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return behave


def hang(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    """Take the mails and say nothing."""
    service.take(payload)
    service.stopping.wait(10)
    handler.close_connection = True
