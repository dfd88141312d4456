"""A rendered edition or letter addressed to one reader: its headers, its parts, and the bytes of RFC 5322.

An edition is encoded once for all its readers: a `Mould` holds its body in quoted-printable with the gaps that
rendering left, and a reader's bytes are a join. (An `EmailMessage` for each reader takes 6 to 8 ms.)
"""

from __future__ import annotations

import binascii
import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime
from functools import cached_property, lru_cache
from urllib.parse import quote

from newsletter.rendering import Form, Reader, RenderedEdition, RenderedLetter
from newsletter.values import Message

Headers = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they leave."""

LINE_LENGTH = 76
"""Longest line of a header that can be folded, and of every encoded body (RFC 2045, 6.7)."""

UNSUBSCRIBE = "unsubscribe-"
"""Begins the subject of a mail that unsubscribes; the reader's token follows."""

LONGEST_LINE = 998
"""Longest line that a mail may have at all (RFC 5322, 2.1.1)."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_MAILBOXES = ("From", "To", "Reply-To")
_PART = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
_SOFT_BREAK = "=\r\n"
_AS_IT_IS = re.compile(r"[!-\-/-<>-~][!-<>-~]{0,70}")
"""What quoted-printable leaves alone, as most links."""
_DOTTED = re.compile(r"^\..*$", re.MULTILINE)


class BadHeader(ValueError):
    """A header would hold a line break or another control character, or be too long; the text says which."""


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


class EditionMessage(Message):
    """A reader's copy of an edition: text and HTML are made when they are asked for, and its bytes without them.

    A provider that sends shared parts and values apart finds them in ``mould.rendered`` and ``reader``.
    """

    __slots__ = ("mould", "reader", "text_only")

    mould: Mould
    reader: Reader
    text_only: bool

    def __init__(self, key: str, headers: Headers, mould: Mould, reader: Reader, text_only: bool) -> None:
        values = {"key": key, "to": reader.address, "headers": headers}
        for name, value in {**values, "mould": mould, "reader": reader, "text_only": text_only}.items():
            object.__setattr__(self, name, value)

    @property
    def text(self) -> str:
        """The text part."""
        return self.mould.rendered.text(self.reader)

    @property
    def html(self) -> str:
        """The HTML part; empty for readers who want text only."""
        return "" if self.text_only else self.mould.rendered.html(self.reader)


class Mould:
    """A rendered edition with all that its readers share encoded once, when the first of them needs it.

    ``issue`` is the issue's number. The headers that are the same for all are checked here: raises BadHeader when a
    value could break out of one.
    """

    def __init__(self, rendered: RenderedEdition, sender: Sender, issue: int) -> None:
        self.rendered, self._sender = rendered, sender
        self._before = (_from(sender),)
        self._after = (
            *_shared(sender, rendered.subject),
            *_list_headers(sender),
            # Gmail's feedback loop: up to four fields, the last one stable (Google, "Feedback Loop").
            ("Feedback-ID", f"{issue}:issue:newsletter:{sender.list_id}"),
        )
        _check(self._before + self._after)

    def address(self, reader: Reader, *, key: str, date: dt.datetime, text_only: bool = False) -> EditionMessage:
        """The edition addressed to one reader.

        ``key`` is the delivery's; the Message-ID is made from it alone, so a message handed over again is the same
        message to every mailbox that compares ids. ``date`` is aware. Raises BadHeader.
        """
        own = _own(self._sender, to=reader.address, key=key, date=date, way_out=_ways_out(reader))
        _check(own)
        return EditionMessage(key, self._before + own + self._after, self, reader, text_only)

    def encoded(self, message: EditionMessage) -> str:
        """A message of this edition as `to_bytes` gives it."""
        own = message.headers[len(self._before) : len(message.headers) - len(self._after)]
        head = _fields(self._before) + _fields(own)
        values = _encoded_values("text", self.rendered.text_values(message.reader))
        if message.text_only:
            return head + self._text.fill(values)
        return head + self._both.fill(values | _encoded_values("html", self.rendered.html_values(message.reader)))

    @cached_property
    def _text(self) -> Form:
        return _joined(_fields(self._after), _body(self.rendered.text_form, None))

    @cached_property
    def _both(self) -> Form:
        return _joined(_fields(self._after), _body(self.rendered.text_form, self.rendered.html_form))


def compose(
    rendered: RenderedEdition,
    reader: Reader,
    sender: Sender,
    *,
    key: str,
    issue: int,
    date: dt.datetime,
    text_only: bool = False,
) -> EditionMessage:
    """Address an edition to one reader. For many readers, make the `Mould` once. Raises BadHeader."""
    return Mould(rendered, sender, issue).address(reader, key=key, date=date, text_only=text_only)


def compose_letter(
    rendered: RenderedLetter, sender: Sender, *, to: str, key: str, date: dt.datetime, unsubscribe_url: str = ""
) -> Message:
    """Address a letter to the one person whom it is for.

    ``key`` is the letter's own, and no delivery's: the Message-ID is made from it alone. With an ``unsubscribe_url``
    the letter is mail of the list, and can be left like an issue; without it, nobody is on a list yet, or any more.
    ``date`` is aware. Raises BadHeader when a value could break out of its header.
    """
    headers = (
        _from(sender),
        *_own(sender, to=to, key=key, date=date, way_out=f"<{unsubscribe_url}>" if unsubscribe_url else ""),
        *_shared(sender, rendered.subject),
        # RFC 3834, 5: no out-of-office answer and no other machine shall reply to this.
        ("Auto-Submitted", "auto-generated"),
        *(_list_headers(sender) if unsubscribe_url else ()),
    )
    _check(headers)
    return Message(key, to, headers, rendered.text, rendered.html)


def _from(sender: Sender) -> tuple[str, str]:
    return ("From", _mailbox(sender.name, sender.address))


def _own(sender: Sender, *, to: str, key: str, date: dt.datetime, way_out: str) -> Headers:
    """What no two readers share."""
    return (
        ("To", to),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id(key, sender)),
        *((("List-Unsubscribe", way_out),) if way_out else ()),
    )


def _shared(sender: Sender, subject: str) -> Headers:
    return (("Subject", subject), *((("Reply-To", sender.reply_to),) if sender.reply_to else ()))


def _list_headers(sender: Sender) -> Headers:
    return (
        ("List-Id", f"{_phrase(sender.list_name)} <{sender.list_id}>".lstrip()),
        # RFC 8058: the token of the List-Unsubscribe address can do nothing but unsubscribe; together with an https
        # one this promises that a POST unsubscribes without a question.
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )


def message_id(key: str, sender: Sender) -> str:
    """The Message-ID of a delivery or letter: says nothing of the reader, and is the same for the same key."""
    digest = hashlib.sha256(f"{sender.list_id}/{key}".encode()).hexdigest()[:32]
    return f"<{digest}@{sender.domain}>"


def unsubscribe_mail(mailbox: str, token: str) -> str:
    """The mailto URL of the mail that unsubscribes who holds the token; empty without a mailbox that is read."""
    return f"mailto:{quote(mailbox, safe='@+')}?subject={UNSUBSCRIBE}{token}" if mailbox else ""


def to_bytes(message: Message) -> bytes:
    """The message as RFC 5322 and MIME want it, with CRLF. The same message gives the same bytes.

    No line starts with a dot, so none needs another one on its way (RFC 5321, 4.5.2). They are ASCII, but for addresses
    whose part before the @ is not: those stand in UTF-8 (RFC 6532), and need a server with SMTPUTF8. Raises BadHeader
    for a line that no mail may have.
    """
    if isinstance(message, EditionMessage):
        return message.mould.encoded(message).encode()
    body = _body(_plain(message.text), _plain(message.html) if message.html else None).fill({})
    return (_fields(message.headers) + body).encode()


def address_in(mailbox: str) -> str:
    """The address of a mailbox as the headers of a message have it: `Name <address>`, or the address alone."""
    return mailbox.rpartition(" <")[2].rstrip(">")


def wire_address(address: str) -> str:
    """An address as mail carries it: the domain in ASCII, the part before the @ as it is. Raises BadHeader."""
    local, at, domain = address.rpartition("@")
    try:
        return address if domain.isascii() else f"{local}{at}{domain.encode('idna').decode()}"
    except UnicodeError as error:
        raise BadHeader(f"{domain!r} is no domain: {error}") from error


def _ways_out(reader: Reader) -> str:
    """What List-Unsubscribe offers: the page first, which acts at once (RFC 2369, 2: the first is preferred)."""
    mail = f", <{reader.unsubscribe_mail}>" if reader.unsubscribe_mail else ""
    return f"<{reader.unsubscribe_url}>{mail}"


def _check(headers: Headers) -> None:
    for name, value in headers:
        if _CONTROL.search(value):
            raise BadHeader(f"{name} holds a control character: {value[:60]!r}")


def _plain(text: str) -> Form:
    return Form((text,), ())


def _body(text: Form, html: Form | None) -> Form:
    """The headers and parts of the body, encoded, with gaps for encoded values: `text.NAME` and `html.NAME`."""
    if html is None:
        ends = text.parts[-1].endswith("\n")
        return _joined("MIME-Version: 1.0\r\n" + _PART.format("plain"), _encoded("text", text), "" if ends else "\r\n")
    encoded = _encoded("text", text), _encoded("html", html)
    # No encoded line can hold it: there, what follows "=" is a line's end or two digits.
    boundary = f"=_{hashlib.sha256(repr(encoded).encode()).hexdigest()[:24]}"
    opening = f'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
    between = f"\r\n--{boundary}\r\n" + _PART.format("html")
    return _joined(opening + _PART.format("plain"), encoded[0], between, encoded[1], f"\r\n--{boundary}--\r\n")


def _joined(*pieces: Form | str) -> Form:
    """One form of several, with texts between them."""
    parts, gaps = [""], list[str]()
    for piece in pieces:
        form = _plain(piece) if isinstance(piece, str) else piece
        parts[-1] += form.parts[0]
        parts += form.parts[1:]
        gaps += form.gaps
    return Form(tuple(parts), tuple(gaps))


def _encoded(prefix: str, form: Form) -> Form:
    """The form in quoted-printable. A soft break stands on both sides of each gap, so any value fits in there."""
    last = len(form.parts) - 1
    parts = [
        (_SOFT_BREAK if place and (part or place < last) else "")
        + (_open_ended(part) if place < last else _quoted(part))
        for place, part in enumerate(form.parts)
    ]
    return Form(tuple(parts), tuple(f"{prefix}.{gap}" for gap in form.gaps))


def _open_ended(text: str) -> str:
    """A text in quoted-printable that ends at the start of a line."""
    if not text or text.endswith("\n"):
        return _quoted(text)
    # One letter more, so that the encoder leaves room for the "=" that takes its place.
    return _quoted(f"{text}x")[:-1] + _SOFT_BREAK


def _quoted(text: str) -> str:
    """A text in quoted-printable, no line of which starts with a dot."""
    if _AS_IT_IS.fullmatch(text):
        return text
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    encoded = binascii.b2a_qp(lines.encode(), istext=True).decode("ascii")
    return _DOTTED.sub(lambda line: _without_dot(line[0]), encoded).replace("\n", "\r\n")


def _without_dot(line: str) -> str:
    """A line with the dot that it starts with encoded, broken where it would get too long."""
    if not line.startswith("."):
        return line
    rest = line[1:]
    return f"=2E{rest}" if len(rest) <= LINE_LENGTH - 3 else f"=2E=\n{_without_dot(rest)}"


def _encoded_values(prefix: str, values: Mapping[str, str]) -> dict[str, str]:
    return {f"{prefix}.{name}": _quoted(value) for name, value in values.items()}


def _fields(headers: tuple[tuple[str, str], ...]) -> str:
    return "".join(_field(name, value) for name, value in headers)


def _field(name: str, value: str) -> str:
    """A header as it stands in the mail, with CRLF at its end."""
    is_plain = value.isascii() and "=?" not in value
    if is_plain and len(name) + len(value) + 2 <= LINE_LENGTH and (name not in _MAILBOXES or "<" not in value):
        return f"{name}: {value}\r\n"
    if name in _MAILBOXES:
        display, wire = value.rpartition(" <")[0], wire_address(address_in(value))
        return _folded(name, _mailbox(_phrase(display), wire) if display else wire)
    return _encoded_words(name, value) if name == "Subject" or not value.isascii() else _folded(name, value)


def _folded(name: str, value: str) -> str:
    """The header with its line broken before spaces. What has no spaces, as a URL, stays whole."""
    lines = [f"{name}:"]
    for word in re.split(r"(?<=[^ ])(?= +[^ ])", f" {value}"):
        if len(lines[-1]) + len(word) > LINE_LENGTH and lines[-1] != f"{name}:":
            lines.append("")
        lines[-1] += word
    if max(map(len, lines)) > LONGEST_LINE:
        raise BadHeader(f"{name} has a word of more than {LONGEST_LINE} characters")
    return "\r\n".join([*lines, ""])


@lru_cache(maxsize=64)
def _encoded_words(name: str, value: str) -> str:
    """The header in the encoded words of RFC 2047 where it needs them. Readers of an edition share it."""
    if value.isascii() and "=?" not in value:
        return _folded(name, value)
    encoded = Header(value, "utf-8", maxlinelen=LINE_LENGTH, header_name=name).encode(linesep="\r\n")
    return f"{name}: {encoded}\r\n"


def _mailbox(name: str, address: str) -> str:
    return f"{name} <{address}>" if name else address


@lru_cache(maxsize=64)
def _phrase(text: str) -> str:
    """A name as a phrase of RFC 5322, in ASCII: as it is, quoted, or in encoded words."""
    if re.fullmatch(r"[A-Za-z0-9 -]+", text):
        return text
    if text.isascii() and "=?" not in text:
        return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
    return Header(text, "utf-8", maxlinelen=LINE_LENGTH).encode(linesep="")
