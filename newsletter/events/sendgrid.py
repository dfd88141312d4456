"""SendGrid's reports: whether a post of its event webhook is genuine and fresh, and what its events mean to us."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from newsletter.events import Event, Kind

OLDEST, AHEAD = dt.timedelta(hours=25), dt.timedelta(minutes=5)
"""How old a signed post may be, and how far ahead its clock. SendGrid repeats for 24 hours what was not answered, and
does not say whether it signs anew: a shorter limit could lose complaints. A replay within it changes nothing, since
each event is kept once."""

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"

_KINDS = {
    "processed": Kind.ACCEPTED,
    "deferred": Kind.DEFERRED,
    "delivered": Kind.DELIVERED,
    "bounce": Kind.HARD_BOUNCE,
    "blocked": Kind.SOFT_BOUNCE,
    "dropped": Kind.DROPPED,
    "spamreport": Kind.COMPLAINED,
    "unsubscribe": Kind.UNSUBSCRIBED,
    "group_unsubscribe": Kind.UNSUBSCRIBED,
}
_SOFT_CLASSES = {
    "content",
    "frequency or volume too high",
    "mailbox unavailable",
    "reputation",
    "technical",
    "technical failure",
}
"""Classes of a bounce (`bounce_classification`) that say nothing final of the address."""

_DROPS = {
    "bounced address": Kind.HARD_BOUNCE,
    "invalid": Kind.HARD_BOUNCE,
    "spam reporting address": Kind.COMPLAINED,
    "unsubscribed address": Kind.UNSUBSCRIBED,
}
"""Reasons of a drop that say something of the reader: what SendGrid learned from an earlier mail, perhaps not ours."""


class Unreadable(ValueError):
    """These are no events of SendGrid's; the text says why."""


class BadKey(ValueError):
    """That is no public key of SendGrid's signed event webhook."""


class Verifier:
    """Tells posts that SendGrid signed. ``key`` is the public key as SendGrid shows it, in base64. Raises BadKey."""

    def __init__(self, key: str) -> None:
        try:
            found = load_der_public_key(base64.b64decode("".join(key.split()), validate=True))
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadKey("no public key in base64, as SendGrid's mail settings show it") from error
        if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
            raise BadKey("a public key, but not of the curve that SendGrid signs with (P-256)")
        self._key = found

    def is_genuine(self, body: bytes, signature: str, timestamp: str) -> bool:
        """Whether SendGrid signed just these bytes with that timestamp."""
        try:
            self._key.verify(
                base64.b64decode(signature, validate=True), timestamp.encode() + body, ec.ECDSA(hashes.SHA256())
            )
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return True


def is_fresh(timestamp: str, real_now: dt.datetime) -> bool:
    """Whether a post with that timestamp (seconds since 1970) may still come."""
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
        return False
    age = real_now.timestamp() - int(timestamp)
    return -AHEAD.total_seconds() <= age <= OLDEST.total_seconds()


def parse(data: bytes, list_id: str, now: dt.datetime) -> list[Event]:
    """The events of a post, or of a file with an array or one event a line, that concern this newsletter.

    Those of other mail of the account, and opens and clicks, are passed over. Raises Unreadable.
    """
    return [event for item in _items(data) for event in _events(item, list_id, now)]


def _items(data: bytes) -> list[dict[str, Any]]:
    try:
        text = data.decode("utf-8-sig").strip()
        lines = [text] if text.startswith("[") else [line for line in text.splitlines() if line.strip()]
        values = [json.loads(line) for line in lines]
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"no JSON: {type(error).__name__}") from error
    found = [item for value in values for item in (value if isinstance(value, list) else [value])]
    if not all(isinstance(item, dict) for item in found):
        raise Unreadable("no array of objects, nor objects line by line")
    return found


def _events(item: dict[str, Any], list_id: str, now: dt.datetime) -> Iterator[Event]:
    name, key = _text(item, "event"), _text(item, "key")
    kind = _kind(item, name)
    if kind is None or not key or _text(item, "list") != list_id:
        return
    why = " ".join(filter(None, (_text(item, "reason"), _text(item, "response"), _text(item, "status"))))
    event = Event(key, kind, _moment(item, now), why, _id(item), _text(item, "email"))
    yield event
    learned = _DROPS.get(_text(item, "reason").lower()) if kind is Kind.DROPPED else None
    if learned:
        yield Event(key, learned, event.at, f"dropped: {why}", f"{event.id}/{learned.value}", event.address)


def _kind(item: dict[str, Any], name: str) -> Kind | None:
    if name == "bounce":
        # A block, in SendGrid's words, is a bounce that says nothing final.
        soft = _text(item, "type") == "blocked" or _text(item, "bounce_classification").lower() in _SOFT_CLASSES
        return Kind.SOFT_BOUNCE if soft else Kind.HARD_BOUNCE
    return _KINDS.get(name)


def _id(item: dict[str, Any]) -> str:
    """SendGrid's own id of the event, else one that the same event has every time."""
    given = _text(item, "sg_event_id")
    same = json.dumps(item, sort_keys=True)
    return f"sendgrid:{given}" if given else f"sendgrid#{hashlib.sha256(same.encode()).hexdigest()[:40]}"


def _moment(item: dict[str, Any], now: dt.datetime) -> dt.datetime:
    seconds = item.get("timestamp")
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 < seconds < now.timestamp():
        return dt.datetime.fromtimestamp(seconds, dt.UTC)
    return now


def _text(item: dict[str, Any], name: str) -> str:
    value = item.get(name)
    return value if isinstance(value, str) else ""
