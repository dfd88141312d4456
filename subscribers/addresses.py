"""One identity per address: what a mail address may be, and which spellings of it are the same person's.

The rules are email-validator's, without asking the DNS. On top: lower case, domain in ASCII (IDNA), Unicode
form NFC, a local part of at most 64 characters, and nothing that could break a header.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

LOCAL_PART_LENGTH = 64
"""Longest local part, in characters (RFC 5321, 4.5.3.1.1); email-validator lets longer ones pass."""

_WHOLE_LENGTH = 254
_LONGEST_INPUT = 1000
_REASON_LENGTH = 160
_HARMFUL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")
_PLAIN_LOCAL_PART = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*", re.ASCII)


class InvalidAddress(ValueError):
    """No mail address; the message says why in one line without repeating it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A valid address: ``address`` to send to (local part as given, ASCII domain), and its ``identity``."""

    address: str
    identity: str


def identity(address: str) -> str:
    """The canonical key of an address: equal for every spelling that we take for the same mailbox.

    It is itself a valid address, and its own identity. Raises InvalidAddress.
    """
    return parse(address).identity


def parse(text: str) -> Address:
    """Check an address as a person or a file gave it; spaces around it do not count.

    Raises InvalidAddress.
    """
    text = text.strip(" ")
    if has_control_characters(text):
        raise InvalidAddress("it holds a control character")
    if len(text) > _LONGEST_INPUT:
        raise InvalidAddress(f"it is longer than {_WHOLE_LENGTH} characters")
    local, _, domain = text.rpartition("@")
    if _PLAIN_LOCAL_PART.fullmatch(local):
        ascii_domain = _ascii_domain(domain)
    else:
        checked = _validate(text)
        local, ascii_domain = checked.local_part or "", checked.ascii_domain
    return _address(local, ascii_domain)


def has_control_characters(text: str) -> bool:
    """Whether a text holds what must never reach a header or a line of a log.

    These are control characters, line and paragraph separators, lone surrogates, the mark that decoders put
    for bytes they cannot read, and those that turn the direction of what follows (a text then looks like
    another).
    """
    return _HARMFUL.search(text) is not None


def _address(local: str, ascii_domain: str) -> Address:
    lowered = unicodedata.normalize("NFC", local.lower())
    if max(len(local), len(lowered)) > LOCAL_PART_LENGTH:
        raise InvalidAddress(f"the part before the @ is longer than {LOCAL_PART_LENGTH} characters")
    if len(local.encode()) + 1 + len(ascii_domain) > _WHOLE_LENGTH:
        raise InvalidAddress(f"it is longer than {_WHOLE_LENGTH} characters")
    return Address(f"{local}@{ascii_domain}", f"{lowered}@{ascii_domain}")


@lru_cache(maxsize=20_000)
def _ascii_domain(domain: str) -> str:
    """The domain in ASCII, small. Kept, because readers share few domains. Raises InvalidAddress."""
    return _validate(f"a@{domain}").ascii_domain.lower()


def _validate(text: str) -> ValidatedEmail:
    try:
        return validate_email(text, check_deliverability=False)
    except EmailNotValidError as error:
        raise InvalidAddress(_one_line(str(error))) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_REASON_LENGTH]
