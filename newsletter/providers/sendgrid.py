"""The provider that hands messages to SendGrid: up to 1,000 readers of an edition by one request of its Mail Send API.

An edition's text goes once, with a random tag in place of each gap; SendGrid puts each reader's values there (its
documentation, "Substitution Tags"). What the official package lacks is done here: a time limit, no proxy or redirect
that nobody asked for, and an answer that is looked at: the package takes a 200 from anyone for success.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import orjson
import python_http_client
import sendgrid

from newsletter import retry_after
from newsletter.messages import BadHeader, EditionMessage, address_in, wire_address
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.rendering import RenderedEdition
from newsletter.values import Message

HOST = "https://api.sendgrid.com"
MOST_READERS = 1000
"""Most personalizations of a request (SendGrid's documentation, "Mail Send", "Limitations")."""

MOST_VALUES = 10_000
"""Most bytes of a reader's substitutions, tags included (`substitutions` in SendGrid's OpenAPI, `tsg_mail_v3`)."""

MOST_SUSPECTS = 10
"""When so many single readers were refused without a word on why, and nobody was taken, it is not about the readers."""

LONGEST_ANSWER = 100_000
_TAKEN, _VALID = 202, 200
_OURS = frozenset({"From", "To", "Subject", "Reply-To", "Date"})
"""Headers that have a place of their own in a request, or that SendGrid writes. Message-ID is not among those that it
reserves (`headers` in `tsg_mail_v3`)."""

_ROW = re.compile(r"personalizations(?:\.|\[)(\d{1,4})\b")


_Values = tuple[dict[str, str], dict[str, str]]
"""What fills the gaps of an edition's text and HTML for a reader."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One reader of a request."""

    key: str
    address: str
    personalization: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Call:
    """What a request holds beside its readers, and the readers."""

    shared: dict[str, Any]
    rows: tuple[_Row, ...]

    def of(self, rows: Sequence[_Row]) -> _Call:
        """The same for these readers alone."""
        return _Call(self.shared, tuple(rows))

    def payload(self) -> dict[str, Any]:
        """The request's body."""
        return {"personalizations": [row.personalization for row in self.rows], **self.shared}


class _NotConnected(Exception):
    """No connection was to be had, so nothing left."""


class _NotAnswered(Exception):
    """The request left, at least in part, and no answer came that could be read."""


class _Busy(Exception):
    """SendGrid takes nothing now."""

    def __init__(self, why: str, after: float) -> None:
        super().__init__(why)
        self.after = after


@dataclass(frozen=True)
class SendGrid:
    """Hands over by SendGrid's API. ``host`` is its base URL; ``timeout_seconds`` is the wait for each answer.

    ``list_id`` names the newsletter in what SendGrid reports later, of issues and letters alike. ``sandbox`` has
    SendGrid check each request and deliver nothing. Raises ValueError for a key that is none.
    """

    key: str = field(repr=False)
    host: str = HOST
    timeout_seconds: float = 60.0
    sandbox: bool = False
    list_id: str = ""
    name: str = "sendgrid"
    batch: int = MOST_READERS
    repeats_safely: bool = False

    def __post_init__(self) -> None:
        # Python's http.client would print a header that it does not like, and so the key.
        if not re.fullmatch(r"[!-~]+", self.key):
            raise ValueError("the key is empty or holds a character that no key has")
        if urlsplit(self.host).scheme not in ("https", "http") or not urlsplit(self.host).hostname:
            raise ValueError(f"{self.host!r} is no http or https address")

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Hand over up to ``batch`` messages by as few requests as their editions, and SendGrid's answers, allow.

        Raises NotAllowed for a key that is not accepted, and for what would be refused for every reader alike;
        Unreachable when no connection is to be had.
        """
        calls: list[_Call] = []
        yield from self._calls(messages, calls.append)
        for number, call in enumerate(calls):
            try:
                yield from self._settle(call)
            except _Busy as busy:
                left = [row for later in calls[number + 1 :] for row in later.rows]
                yield from (TryLater(row.key, str(busy), busy.after) for row in left)
                return

    def _calls(self, messages: Sequence[Message], found: Callable[[_Call], None]) -> Iterator[Refused]:
        """Group messages into requests; yields who cannot be in any."""
        groups: dict[tuple[int, bool], list[EditionMessage]] = {}
        for message in messages:
            try:
                if isinstance(message, EditionMessage) and not _is_long(message):
                    wire_address(message.to)
                    groups.setdefault((id(message.mould), message.text_only), []).append(message)
                else:
                    found(_Call(self._shared(message, message.text, message.html), (_row(message, self.list_id, {}),)))
            except BadHeader as error:
                yield Refused(message.key, str(error))
        for group in groups.values():
            call = self._edition_call(group)
            for rows in _without_twins(call.rows):
                found(call.of(rows))

    def _edition_call(self, group: Sequence[EditionMessage]) -> _Call:
        first = group[0]
        rendered = first.mould.rendered
        values = [rendered.values(message.reader) for message in group]
        tags = _Tags.of(rendered, values, text_only=first.text_only)
        text = rendered.text_form.fill(tags.text)
        html = "" if first.text_only else rendered.html_form.fill(tags.html)
        rows = [
            _row(message, self.list_id, tags.values(lines, escaped))
            for message, (lines, escaped) in zip(group, values, strict=True)
        ]
        return _Call(self._shared(first, text, html), tuple(rows))

    def _shared(self, message: Message, text: str, html: str) -> dict[str, Any]:
        sender = message.header("From")
        name, _, _ = sender.rpartition(" <")
        reply_to, off = message.header("Reply-To"), {"enable": False}
        return {
            "from": {"email": wire_address(address_in(sender)), **({"name": name} if name else {})},
            **({"reply_to": {"email": wire_address(address_in(reply_to))}} if reply_to else {}),
            "subject": message.header("Subject"),
            "content": [
                {"type": kind, "value": value} for kind, value in (("text/plain", text), ("text/html", html)) if value
            ],
            "tracking_settings": {
                "click_tracking": {**off, "enable_text": False},
                "open_tracking": off,
                "subscription_tracking": off,
                "ganalytics": off,
            },
            **({"mail_settings": {"sandbox_mode": {"enable": True}}} if self.sandbox else {}),
        }

    def _settle(self, call: _Call) -> Iterator[Outcome]:
        """An outcome for each reader of a request, by as many requests as that takes.

        Raises _Busy after the outcomes of all, for requests that would follow.
        """
        waiting, suspects, anyone = [call], list[Refused](), False
        while waiting:
            part = waiting.pop()
            try:
                result = self._ask(part)
            except _Busy as busy:
                yield from suspects
                rows = [row for later in (part, *reversed(waiting)) for row in later.rows]
                yield from (TryLater(row.key, str(busy), busy.after) for row in rows)
                raise
            if isinstance(result, _Refusal):
                named, rest = result.split(part)
                yield from named
                suspects += rest if isinstance(rest, list) else []
                waiting += rest if isinstance(rest, tuple) else []
            else:
                anyone = True
                yield from result
            if suspects and (anyone or len(suspects) >= MOST_SUSPECTS):
                if not anyone:
                    raise NotAllowed(f"SendGrid refuses every message: {suspects[-1].why}; nothing more is handed over")
                yield from suspects
                suspects = []
        yield from suspects

    def _ask(self, call: _Call) -> list[Outcome] | _Refusal:
        """Make one request. Raises NotAllowed and Unreachable, and _Busy when SendGrid takes nothing now."""
        try:
            answer: _Answer = self._client.mail.send.post(call.payload(), self.timeout_seconds)
        except _NotConnected as error:
            raise Unreachable(f"SendGrid cannot be reached at {self.host}: {error}; try later") from None
        except _NotAnswered as error:
            return [InDoubt(row.key, f"no answer from SendGrid: {error}") for row in call.rows]
        status, headers = answer.status, answer.headers
        if status == (_VALID if self.sandbox else _TAKEN):
            ref = headers.get("X-Message-Id", "")
            return [Accepted(row.key, ref) for row in call.rows]
        why = f"SendGrid answered {status}{_said(answer.body)}"
        if status in (429, 408) or (status >= 500 and status != 504):
            raise _Busy(why, retry_after.seconds(headers.get("Retry-After"), dt.datetime.now(dt.UTC)) or 0.0)
        if 200 <= status < 300 or status == 504:
            # A gateway that waited in vain does not know either (RFC 9110, 15.6.5).
            return [InDoubt(row.key, why) for row in call.rows]
        if status in (401, 403):
            raise NotAllowed(f"{why}; check SENDGRID_API_KEY, its permission to send, and that From is verified")
        if status in (400, 413):
            return _Refusal.read(status, answer.body)
        raise NotAllowed(f"{why}; check SENDGRID_HOST ({self.host})")

    @cached_property
    def _client(self) -> Any:
        package = sendgrid.SendGridAPIClient(self.key, self.host.rstrip("/"))
        return _Client(host=package.host, request_headers=package.client.request_headers, version=3)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A request that was refused. ``rows`` are the places of the readers that it names, with the reason."""

    why: str
    rows: Mapping[int, str]

    @classmethod
    def read(cls, status: int, body: bytes) -> _Refusal:
        """What SendGrid says is wrong. Raises NotAllowed when that is nothing of a reader's, but of all."""
        rows = {}
        for error in _errors(body):
            where, message = str(error.get("field") or ""), _plain(str(error.get("message") or ""))
            found = _ROW.match(where)
            if found:
                rows[int(found.group(1))] = message or "refused by SendGrid"
            elif where not in ("", "null") and not where.startswith("personalizations"):
                raise NotAllowed(f"SendGrid refuses `{_plain(where)}` of every message: {message}; correct it")
        return cls(f"SendGrid answered {status}{_said(body)}", rows)

    def split(self, call: _Call) -> tuple[list[Refused], list[Refused] | tuple[_Call, ...]]:
        """Who is refused by name, and the rest: as the one reader left to suspect, or as requests to make."""
        named = {place: why for place, why in self.rows.items() if place < len(call.rows)}
        if named:
            rest = [row for place, row in enumerate(call.rows) if place not in named]
            refused = [Refused(call.rows[place].key, why) for place, why in sorted(named.items())]
            return refused, (call.of(rest),) if rest else ()
        if len(call.rows) == 1:
            return [], [Refused(call.rows[0].key, self.why)]
        middle = len(call.rows) // 2
        return [], (call.of(call.rows[middle:]), call.of(call.rows[:middle]))


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer, with the beginning of its body."""

    status: int
    headers: HTTPMessage
    body: bytes


class _Client(python_http_client.Client):  # type: ignore[misc]  # the package carries no types
    """The package's client with a post of its own. The package's logs the key, has no time limit unless told at each
    call, obeys proxies and redirects, and spends a tenth of its time on a text of the payload that nobody reads."""

    def _build_client(self, name: str | None = None) -> _Client:
        path = [*self._url_path, *([name] if name else [])]
        return _Client(host=self.host, version=self._version, request_headers=self.request_headers, url_path=path)

    def post(self, request_body: object, timeout: float) -> _Answer:
        """One request. Raises _NotConnected and _NotAnswered."""
        # The standard library's json took half of the time of a whole call.
        data = orjson.dumps(request_body)
        headers = {**self.request_headers, "Content-Type": "application/json"}
        return _exchange(self._build_url(None), headers, data, timeout)


def _exchange(url: str, headers: Mapping[str, str], data: bytes, timeout: float) -> _Answer:
    """A post and its answer by a connection of its own. Raises _NotConnected and _NotAnswered."""
    place = urlsplit(url)
    connection: HTTPConnection
    if place.scheme == "https":
        context = ssl.create_default_context()
        connection = HTTPSConnection(place.hostname or "", place.port, timeout=timeout, context=context)
    else:
        connection = HTTPConnection(place.hostname or "", place.port, timeout=timeout)
    try:
        connection.connect()
    except OSError as error:
        raise _NotConnected(_reason(error)) from None
    try:
        connection.request("POST", place.path, data, headers)
        answer = connection.getresponse()
        # An acceptance stands, whatever becomes of the rest.
        body = b"" if answer.status == _TAKEN else answer.read(LONGEST_ANSWER)
    except (OSError, HTTPException) as error:
        raise _NotAnswered(_reason(error)) from None
    finally:
        connection.close()
    return _Answer(answer.status, answer.headers, body)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it took too long"
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__


@dataclass(frozen=True, slots=True)
class _Tags:
    """What stands in the gaps of the text and of the HTML, by the gaps' names. All end alike: none begins another."""

    text: Mapping[str, str]
    html: Mapping[str, str]

    @classmethod
    def of(cls, rendered: RenderedEdition, values: Sequence[_Values], *, text_only: bool) -> _Tags:
        """Tags that stand nowhere in the edition. A gap that is filled alike in both parts has one for both."""
        root = secrets.token_hex(4)
        while any(root in part for form in (rendered.text_form, rendered.html_form) for part in form.parts):
            root = secrets.token_hex(4)
        text = {name: f"x{root}t{place}x" for place, name in enumerate(dict.fromkeys(rendered.text_form.gaps))}
        html = {name: f"x{root}h{place}x" for place, name in enumerate(dict.fromkeys(rendered.html_form.gaps))}
        same = {name for name in text if all(lines[name] == escaped[name] for lines, escaped in values)}
        return cls(text, {} if text_only else {name: text[name] if name in same else html[name] for name in html})

    def values(self, lines: Mapping[str, str], escaped: Mapping[str, str]) -> dict[str, str]:
        """A reader's substitutions."""
        found = {tag: lines[name] for name, tag in self.text.items()}
        for name, tag in self.html.items():
            found[tag] = escaped[name]
        return found


def _is_long(message: EditionMessage) -> bool:
    """Whether the values might not fit into substitutions."""
    reader = message.reader
    given = len(reader.address) + len(reader.unsubscribe_url) + len(reader.preferences_url)
    given += len(reader.because) + len(reader.feedback_url)
    # Each stands in both parts, and a letter can be six bytes when it is escaped; sentences and tags come on top.
    if given < MOST_VALUES // 24:
        return False
    lines, escaped = message.mould.rendered.values(reader)
    return sum(len(value.encode()) + 40 for value in (*lines.values(), *escaped.values())) > MOST_VALUES


def _row(message: Message, list_id: str, substitutions: dict[str, str]) -> _Row:
    address = wire_address(message.to)
    personalization: dict[str, Any] = {
        "to": [{"email": address}],
        "headers": {name: value for name, value in message.headers if name not in _OURS},
        # Kept for long by SendGrid and by others on the way: nothing of the reader's may stand here.
        "custom_args": {"key": message.key, **({"list": list_id} if list_id else {})},
    }
    if substitutions:
        personalization["substitutions"] = substitutions
    return _Row(message.key, address, personalization)


def _without_twins(rows: Sequence[_Row]) -> list[list[_Row]]:
    """The readers in as few lists as give none of them an address twice, which SendGrid refuses."""
    if len({row.address.lower() for row in rows}) == len(rows):
        return [list(rows)]
    lists, places = list[list[_Row]](), dict[str, int]()
    for row in rows:
        place = places.get(row.address.lower(), 0)
        places[row.address.lower()] = place + 1
        if place == len(lists):
            lists.append([])
        lists[place].append(row)
    return lists


def _errors(body: bytes) -> list[dict[str, Any]]:
    try:
        found = orjson.loads(body)
    except ValueError:
        return []
    errors = found.get("errors") if isinstance(found, dict) else None
    return [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []


def _said(body: bytes) -> str:
    """The first thing that an answer says, for people."""
    messages = (_plain(str(error.get("message") or "")) for error in _errors(body))
    return next((f": {message}" for message in messages if message), "")


def _plain(text: str) -> str:
    """A text of SendGrid's for our table: short, on one line, and without an address."""
    return re.sub(r"\S+@\S+", "(address)", re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text))[:200]
