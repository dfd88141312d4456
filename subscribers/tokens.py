"""Links that prove themselves: signed, short, good for one purpose, and without any address in them.

A token reads ``purpose.value.value.signature``, with a moment before the signature where the purpose expires.
The same values give the same token for purposes that never expire, so a mail can be built twice with the same
bytes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import re
from collections.abc import Sequence
from enum import StrEnum

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.exc import BadData
from itsdangerous.signer import HMACAlgorithm

SHORTEST_KEY = 16
"""Fewest characters of a key."""

_LONGEST_TOKEN = 200
_SIGNATURE_BYTES = 16
_TOKEN = re.compile(r"[a-z](?:\.[A-Za-z0-9_-]+)+", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_WORD = re.compile(r"[A-Za-z_-][A-Za-z0-9_-]{0,63}", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Value = int | str


class Purpose(StrEnum):
    """What a link is good for. The letters stand in old mail: they never change their meaning."""

    UNSUBSCRIBE = "u"
    PREFERENCES = "p"
    FEEDBACK = "f"
    CONFIRM = "c"
    UNDO = "n"
    ADDRESS = "a"
    DATA = "d"


LIFETIMES = {
    Purpose.CONFIRM: dt.timedelta(days=7),
    Purpose.UNDO: dt.timedelta(days=30),
    Purpose.ADDRESS: dt.timedelta(days=1),
    Purpose.DATA: dt.timedelta(hours=1),
}
"""How long links of a purpose work; those not named work for ever, as links in old mail must."""


class Trouble(StrEnum):
    """What is wrong with a token."""

    MALFORMED = "malformed"
    FORGED = "forged"
    WRONG_PURPOSE = "wrong purpose"
    EXPIRED = "expired"


class TokenError(ValueError):
    """A token that opens nothing; ``trouble`` says why. The message does not repeat the token."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"the link is {trouble.value}")
        self.trouble = trouble


class _ShortHmac(HMACAlgorithm):
    """HMAC-SHA-256 cut to 128 bits (RFC 2104, 5, allows half): 22 characters in a link in place of 43."""

    default_digest_method = staticmethod(hashlib.sha256)

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return hmac.digest(key, value, "sha256")[:_SIGNATURE_BYTES]


class Tokens:
    """Signs and reads links. ``keys``: newest first, which signs; all are read. ValueError for weak keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys or any(len(key) < SHORTEST_KEY for key in keys):
            raise ValueError(f"links need a secret key of at least {SHORTEST_KEY} characters")
        # Derived once: itsdangerous would do it again for every link, and takes the newest key last.
        derived = [hmac.digest(key.encode(), b"newsletter links", "sha256") for key in reversed(keys)]
        self._signer = Signer(derived, key_derivation="none", algorithm=_ShortHmac())

    def sign(self, purpose: Purpose, *values: Value, now: dt.datetime | None = None) -> str:
        """A token for that purpose that carries those values.

        Values are numbers of at most 18 digits, not negative, and words of letters, digits, ``-`` and ``_``
        that do not start with a digit. ``now`` is needed, and taken, where the purpose expires. Raises
        ValueError otherwise.
        """
        if (now is None) == (purpose in LIFETIMES):
            raise ValueError(
                f"{purpose.name} {'expires and needs' if now is None else 'never expires and takes no'} now"
            )
        stamp = [] if now is None else [_seconds(now)]
        return self._signer.sign(".".join([purpose.value, *map(_field, [*values, *stamp])])).decode()

    def read(self, purpose: Purpose, token: str, *, now: dt.datetime | None = None) -> tuple[Value, ...]:
        """The values of a token. ``now`` is needed where the purpose expires. Raises TokenError."""
        if len(token) > _LONGEST_TOKEN or not _TOKEN.fullmatch(token):
            raise TokenError(Trouble.MALFORMED)
        letter, *fields = self._verified(token).split(".")
        if letter != purpose.value:
            raise TokenError(Trouble.WRONG_PURPOSE)
        values = tuple(int(field) if _NUMBER.fullmatch(field) else field for field in fields)
        if purpose not in LIFETIMES:
            return values
        _check_age(values[-1], LIFETIMES[purpose], now)
        return values[:-1]

    def _verified(self, token: str) -> str:
        """What was signed. Its signature must be spelled as we spell it: base64 has spare bits at the end."""
        signature = token.rpartition(".")[2]
        try:
            is_canonical = base64_encode(base64_decode(signature)).decode() == signature
            signed = self._signer.unsign(token).decode()
        except BadSignature as error:
            raise TokenError(Trouble.FORGED) from error
        except BadData as error:
            raise TokenError(Trouble.MALFORMED) from error
        if not is_canonical:
            raise TokenError(Trouble.FORGED)
        return signed


def split_keys(secret: str) -> tuple[str, ...]:
    """The keys of a secret that reads ``new,old``."""
    return tuple(filter(None, (key.strip() for key in secret.split(","))))


def _field(value: Value) -> str:
    text = str(value)
    if not (_NUMBER if isinstance(value, int) else _WORD).fullmatch(text):
        raise ValueError("a link carries plain numbers and words only")
    return text


def _seconds(now: dt.datetime) -> int:
    return (now - _EPOCH) // dt.timedelta(seconds=1)


def _check_age(stamp: Value, lifetime: dt.timedelta, now: dt.datetime | None) -> None:
    if now is None:
        raise ValueError("links of this purpose expire: reading one needs now")
    if not isinstance(stamp, int) or _seconds(now) - stamp > lifetime.total_seconds():
        raise TokenError(Trouble.EXPIRED)
