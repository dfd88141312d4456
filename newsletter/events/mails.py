"""Mails that come back, read for what they report: bounces (RFC 3464), complaints (RFC 5965), unsubscribe mails.

Anyone can write such a mail. What tells for sure whose it is, is the reader's signed link in what was returned, or in
an unsubscribe mail; the key in the address that it came to and the Message-ID tell it too, and cannot be proven.
"""

from __future__ import annotations

import datetime as dt
import email
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import MessageError
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime
from enum import Enum
from typing import Protocol

from sqlmodel import Session

import subscribers
from newsletter import deliveries
from newsletter.events import Event, Kind
from newsletter.messages import UNSUBSCRIBE, Sender, message_id
from subscribers import Links, Purpose, TokenError

MOST_PARTS = 50
LONGEST_TEXT = 20_000
_TOKEN = re.compile(rf"\b{UNSUBSCRIBE}([A-Za-z0-9._-]+)", re.IGNORECASE)
_LINK = re.compile(r"/u/([A-Za-z0-9._-]{1,200})")
_BARE = re.compile(r"(?:\w{1,4}:\s*)*unsubscribe\W*", re.IGNORECASE)
_HEADERS_TO = ("Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "To", "Cc")
_NO_MAILBOX = re.compile(
    r"user unknown|unknown user|no such (?:user|mailbox|recipient|address|person)|does(?: not|n't) exist"
    r"|(?:address|recipient|mailbox|user|account)\S* (?:is )?(?:not found|unknown|disabled|invalid|inactive)",
    re.IGNORECASE,
)
_STATUS = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
_DEAD = {(1, 0), (1, 1), (1, 2), (1, 3), (1, 6), (1, 10), (2, 1)}
"""Details of a permanent status that say there is no such mailbox, and will be none (RFC 3463, 3.2 and 3.3)."""


class Sort(Enum):
    """What a mail is to us."""

    REPORT = "report"
    """It says something; it is done with."""
    AUTOMATIC = "automatic"
    """A machine's reply that reports nothing; it is done with too."""
    OTHER = "other"
    """Nothing that we understand: for a person to read."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a mail is, and what it reports."""

    sort: Sort
    events: tuple[Event, ...] = ()


class Clues(Protocol):
    """What tells whose delivery a mail is about."""

    def of_link(self, token: str) -> tuple[str, int] | None:
        """The delivery's key and the reader, by the token of an unsubscribe link."""
        ...

    def of_address(self, address: str) -> str:
        """The delivery's key, by the address that bounces of it come to; empty: none is in there."""
        ...

    def of_message(self, message_id: str, address: str) -> str:
        """The delivery's key, by the mail's Message-ID and the address that it went to; empty: not found."""
        ...

    def of_reader(self, address: str) -> tuple[str, int] | None:
        """The newest delivery's key and the reader, by the reader's address."""
        ...


@dataclass(frozen=True, slots=True)
class LedgerClues:
    """Tells it by the ledger. ``return_path`` is the pattern of envelope senders, with ``{key}`` in it, or empty."""

    session: Session
    links: Links
    sender: Sender
    return_path: str = ""

    def of_link(self, token: str) -> tuple[str, int] | None:
        """See `Clues`."""
        try:
            values = self.links.read(Purpose.UNSUBSCRIBE, token)
        except TokenError:
            return None
        match [*values, 0][:2]:
            case [int() as reader, int() as issue]:
                return deliveries.key_of(issue, reader), reader
        return None

    def of_address(self, address: str) -> str:
        """See `Clues`."""
        before, found, after = self.return_path.lower().partition("{key}")
        key = address.lower().removeprefix(before).removesuffix(after)
        return key if found and address.lower() == f"{before}{key}{after}" else ""

    def of_message(self, message_id_: str, address: str) -> str:
        """See `Clues`."""
        found = self.of_reader(address)
        rows = deliveries.newest_of_reader(self.session, found[1], 50) if found else []
        keys = (deliveries.key_of(row.issue_id, row.subscriber_id) for row in rows)
        return next((key for key in keys if message_id(key, self.sender) == message_id_), "")

    def of_reader(self, address: str) -> tuple[str, int] | None:
        """See `Clues`."""
        try:
            person = subscribers.find(self.session, address)
        except subscribers.InvalidAddress:
            return None
        if person is None or person.id is None:
            return None
        rows = deliveries.newest_of_reader(self.session, person.id, 1)
        return deliveries.key_of(rows[0].issue_id if rows else 0, person.id), person.id


def read(data: bytes, clues: Clues, now: dt.datetime) -> Reading:
    """What a mail reports. Whatever it holds, it is read or passed over: anybody can send one."""
    try:
        return _Mail(data, clues, now).reading()
    except (MessageError, LookupError, RecursionError, TypeError, ValueError):
        # The standard library's parser does not promise which errors a broken mail raises, nor how deep it may nest.
        return Reading(Sort.OTHER)


class _Mail:
    """One mail, taken apart."""

    def __init__(self, data: bytes, clues: Clues, now: dt.datetime) -> None:
        self._top = email.message_from_bytes(data)
        self._parts = _parts(self._top)
        self._clues, self._now = clues, now
        name = _text(self._top, "Message-ID").strip()
        self._id = hashlib.sha256(name.encode("utf-8", "replace") or data).hexdigest()[:40]

    def reading(self) -> Reading:
        kind = self._top.get_content_type()
        if kind == "multipart/report":
            found = (*self._bounces(), *self._complaints())
            return Reading(Sort.REPORT, found) if found else Reading(Sort.AUTOMATIC)
        wish = self._unsubscription()
        if wish:
            return Reading(Sort.REPORT, (wish,))
        return Reading(Sort.AUTOMATIC if self._is_automatic() else Sort.OTHER)

    def _is_automatic(self) -> bool:
        submitted = _text(self._top, "Auto-Submitted").lower().partition(";")[0].strip()
        is_bulk = _text(self._top, "Precedence").lower().strip() in ("bulk", "junk", "auto_reply")
        return submitted not in ("", "no") or is_bulk or "X-Autoreply" in self._top or "X-Autorespond" in self._top

    def _bounces(self) -> Iterator[Event]:
        for part in self._parts:
            if part.get_content_type() in ("message/delivery-status", "message/global-delivery-status"):
                for block in _blocks(part):
                    kind = _fate(block)
                    if kind:
                        status, said = _text(block, "Status"), _text(block, "Diagnostic-Code")
                        yield self._event(kind, f"{status} {said}", _address(_text(block, "Original-Recipient")))

    def _complaints(self) -> Iterator[Event]:
        for part in self._parts:
            if part.get_content_type() == "message/feedback-report":
                for block in _blocks(part)[:1]:
                    kind = _feedback(block)
                    if kind:
                        went_to = _address(_text(block, "Original-Rcpt-To"))
                        yield self._event(kind, _text(block, "Feedback-Type"), went_to, block)

    def _unsubscription(self) -> Event | None:
        subject = _decoded(_text(self._top, "Subject"))
        token = _TOKEN.search(subject)
        found = self._clues.of_link(token.group(1)) if token else None
        if not found and _BARE.fullmatch(subject.strip()) and not self._is_automatic():
            ((_, address), *_) = getaddresses([_text(self._top, "From")]) or [("", "")]
            found = self._clues.of_reader(address)
        if not found:
            return None
        return self._made(Kind.UNSUBSCRIBED, found[0], "by mail", found[1])

    def _event(self, kind: Kind, why: str, went_to: str, block: Message | None = None) -> Event:
        key, reader = self._whose(went_to, block)
        return self._made(kind, key, why, reader)

    def _made(self, kind: Kind, key: str, why: str, reader: int | None) -> Event:
        return Event(key, kind, self._moment(), why, f"mail:{self._id}/{kind.value}/{key}", subscriber=reader)

    def _whose(self, went_to: str, block: Message | None) -> tuple[str, int | None]:
        """The key of the delivery that this is about, and the reader where that is proven. Empty: nobody knows."""
        originals = list(self._originals())
        for original in originals:
            link = _LINK.search(_text(original, "List-Unsubscribe"))
            found = self._clues.of_link(link.group(1)) if link else None
            if found:
                return found
        for address in self._senders(originals, block):
            if key := self._clues.of_address(address):
                return key, None
        for original in originals:
            name = _text(original, "Message-ID").strip()
            for address in filter(None, (went_to, _address(_text(original, "To")))):
                if key := self._clues.of_message(name, address):
                    return key, None
        return "", None

    def _originals(self) -> Iterator[Message]:
        """The headers of the mail that came back."""
        for part in self._parts:
            kind = part.get_content_type()
            if kind in ("text/rfc822-headers", "message/global-headers"):
                yield email.message_from_bytes(_content(part))
            elif kind in ("message/rfc822", "message/global"):
                yield from _blocks(part)[:1]

    def _senders(self, originals: list[Message], block: Message | None) -> Iterator[str]:
        """Addresses that may be the envelope sender of the mail that came back: this mail went there."""
        given = [_text(self._top, name) for name in _HEADERS_TO]
        given += [_text(original, "Return-Path") for original in originals]
        given += [_text(block, "Original-Mail-From")] if block else []
        # Each by itself: Python before 3.11.4 loses addresses that come after an empty field.
        yield from (address for text in filter(None, given) for _, address in getaddresses([text]) if address)

    def _moment(self) -> dt.datetime:
        try:
            found = parsedate_to_datetime(_text(self._top, "Date"))
            return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            return self._now


def _fate(block: Message) -> Kind | None:
    """What a recipient's block of a delivery report says."""
    action = _text(block, "Action").lower().strip()
    if action == "failed":
        said = f"{_text(block, 'Status')} {_text(block, 'Diagnostic-Code')}"
        details = [(int(b), int(c)) for a, b, c in _STATUS.findall(said) if a == "5"]
        is_dead = any(detail in _DEAD for detail in details)
        return Kind.HARD_BOUNCE if is_dead or (details and _NO_MAILBOX.search(said)) else Kind.SOFT_BOUNCE
    return {"delayed": Kind.DEFERRED, "delivered": Kind.DELIVERED, "relayed": Kind.ACCEPTED}.get(action)


def _feedback(block: Message) -> Kind | None:
    """What a feedback report says: a complaint, but for the types that are none (RFC 5965, 7.3, and RFC 6591)."""
    kind = _text(block, "Feedback-Type").lower().strip()
    if kind.startswith("opt-out"):
        return Kind.UNSUBSCRIBED
    return None if kind in ("", "not-spam", "auth-failure") else Kind.COMPLAINED


def _parts(top: Message) -> list[Message]:
    """The parts of a mail, without those of mails in it."""
    if top.get_content_maintype() != "multipart":
        return [top]
    parts = top.get_payload()
    return [part for part in parts[:MOST_PARTS] if isinstance(part, Message)] if isinstance(parts, list) else []


def _blocks(part: Message) -> list[Message]:
    """The blocks of headers of a report, or the mail in a part."""
    payload = part.get_payload()
    if isinstance(payload, list):
        return [block for block in payload[:MOST_PARTS] if isinstance(block, Message)]
    return [email.message_from_bytes(_content(part))]


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content[:LONGEST_TEXT] if isinstance(content, bytes) else b""


def _text(message: Message, name: str) -> str:
    """A header on one line; empty when absent."""
    return re.sub(r"\s*[\r\n]\s*", " ", str(message.get(name, ""))[:LONGEST_TEXT])


def _address(typed: str) -> str:
    """The address of a field that names its type first (``rfc822; ada@example.com``), or of a mailbox."""
    ((_, address), *_) = getaddresses([typed.rpartition(";")[2]]) or [("", "")]
    return address.strip()


def _decoded(subject: str) -> str:
    try:
        return str(make_header(decode_header(subject)))
    except (LookupError, MessageError, ValueError):
        return subject
