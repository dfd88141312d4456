"""A rendered edition or letter addressed to one reader: its headers, its parts, and the bytes of RFC 5322."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

from newsletter.rendering import Reader, RenderedEdition, RenderedLetter
from newsletter.values import Message

Headers = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they leave."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class BadHeader(ValueError):
    """A header would hold a line break or another control character; the text says which."""


@dataclass(frozen=True, slots=True)
class Sender:
    """Who the mail is from. ``list_id`` is the newsletter's name in the form of RFC 2919, without brackets."""

    name: str
    address: str
    list_name: str
    list_id: str
    reply_to: str = ""

    @property
    def domain(self) -> str:
        """The domain of From."""
        return self.address.rpartition("@")[2]


def list_id_of(name: str, domain: str) -> str:
    """A list id from the newsletter's name and the sender's domain: ``ai-research-digest.example.com`` (RFC 2919)."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-") or "newsletter"
    return f"{slug[:60]}.{domain}"


def compose(
    rendered: RenderedEdition,
    reader: Reader,
    sender: Sender,
    *,
    key: str,
    issue: int,
    date: dt.datetime,
    text_only: bool = False,
) -> Message:
    """Address an edition to one reader.

    ``key`` is the delivery's; the Message-ID is made from it alone, so a message handed over again is the same message
    to every mailbox that compares ids. ``date`` is aware. Raises BadHeader when a value could break out of its header.
    """
    headers = (
        *_envelope(sender, to=reader.address, subject=rendered.subject, key=key, date=date),
        *_list_headers(sender, reader.unsubscribe_url),
        # Gmail's feedback loop: up to four fields, the last one stable (Google, "Feedback Loop").
        ("Feedback-ID", f"{issue}:issue:newsletter:{sender.list_id}"),
    )
    html = "" if text_only else rendered.html(reader)
    return Message(key, reader.address, _safe(headers), rendered.text(reader), html)


def compose_letter(
    rendered: RenderedLetter, sender: Sender, *, to: str, key: str, date: dt.datetime, unsubscribe_url: str = ""
) -> Message:
    """Address a letter to the one person whom it is for.

    ``key`` is the letter's own, and no delivery's: the Message-ID is made from it alone. With an ``unsubscribe_url``
    the letter is mail of the list, and can be left like an issue; without it, nobody is on a list yet, or any more.
    ``date`` is aware. Raises BadHeader when a value could break out of its header.
    """
    headers = (
        *_envelope(sender, to=to, subject=rendered.subject, key=key, date=date),
        # RFC 3834, 5: no out-of-office answer and no other machine shall reply to this.
        ("Auto-Submitted", "auto-generated"),
        *(_list_headers(sender, unsubscribe_url) if unsubscribe_url else ()),
    )
    return Message(key, to, _safe(headers), rendered.text, rendered.html)


def _envelope(sender: Sender, *, to: str, subject: str, key: str, date: dt.datetime) -> Headers:
    return (
        ("From", _mailbox(sender.name, sender.address)),
        ("To", to),
        ("Subject", subject),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id(key, sender)),
        *((("Reply-To", sender.reply_to),) if sender.reply_to else ()),
    )


def _list_headers(sender: Sender, unsubscribe_url: str) -> Headers:
    return (
        ("List-Id", f"{_phrase(sender.list_name)} <{sender.list_id}>"),
        ("List-Unsubscribe", f"<{unsubscribe_url}>"),
        # RFC 8058: the token of this address can do nothing but unsubscribe; together with an https
        # List-Unsubscribe this promises that a POST unsubscribes without a question.
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


def _safe(headers: Headers) -> Headers:
    """The headers, when none of them breaks out of its line. Raises BadHeader."""
    for name, value in headers:
        if _CONTROL.search(value):
            raise BadHeader(f"{name} holds a control character: {value[:60]!r}")
    return headers


def message_id(key: str, sender: Sender) -> str:
    """The Message-ID of a delivery or letter: says nothing of the reader, and is the same for the same key."""
    digest = hashlib.sha256(f"{sender.list_id}/{key}".encode()).hexdigest()[:32]
    return f"<{digest}@{sender.domain}>"


def to_bytes(message: Message) -> bytes:
    """The message as RFC 5322 and MIME want it, with CRLF. The same message gives the same bytes."""
    mail = EmailMessage(policy=policy.SMTP.clone(cte_type="7bit"))
    for name, value in message.headers:
        mail[name] = _address(value) if name in ("From", "To") else value
    mail.set_content(message.text, cte="quoted-printable")
    if message.html:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
        mail.set_boundary(f"=_{hashlib.sha256(f'{message.key}{message.html}'.encode()).hexdigest()[:40]}")
    return mail.as_bytes()


def _address(value: str) -> Address:
    """A mailbox as written by `_mailbox`, without the parser's limits on unquoted names."""
    name, _, address = value.rpartition(" <")
    return Address(display_name=name, addr_spec=address.rstrip(">")) if name else Address(addr_spec=value)


def _mailbox(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address


def _phrase(text: str) -> str:
    """A name as a phrase of RFC 5322: quoted when it has more than letters, digits, spaces and dashes."""
    return text if re.fullmatch(r"[A-Za-z0-9 -]+", text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
