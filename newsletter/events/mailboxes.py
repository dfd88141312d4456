"""Where mails that come back lie: by IMAP, in a Maildir, or in an mbox file. Nothing is deleted unasked."""

from __future__ import annotations

import contextlib
import imaplib
import mailbox
import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from newsletter.config import is_this_machine
from newsletter.problems import Misconfigured, TryLater

LONGEST_MAIL = 1_000_000
"""Bytes that are read of a mail: reports come first in it, and what was returned follows."""

TIMEOUT_SECONDS = 30.0
_SIZED = re.compile(rb"\{(\d+)\}$")


class BadMailbox(Misconfigured):
    """A mailbox cannot be read as things are; the text says why."""


class Away(TryLater):
    """The mail server cannot be reached now."""


class Mailbox(Protocol):
    """Mails to read, by names that hold while it is open."""

    def names(self) -> Sequence[str]:
        """The mails that nobody has read yet, oldest first."""
        ...

    def fetch(self, name: str) -> bytes:
        """A mail, cut off after `LONGEST_MAIL` bytes. It stays unread."""
        ...

    def finish(self, names: Sequence[str], *, delete: bool) -> None:
        """Mark mails as read, or delete them."""
        ...


def open_mailbox(place: str, password: str = "") -> AbstractContextManager[Mailbox]:
    """The mailbox of an ``imaps://user@host/INBOX`` URL, or of the path to a Maildir or an mbox file.

    Raises BadMailbox, and Away on the way in.
    """
    if re.match(r"imaps?://", place):
        return _imap(place, password)
    path = Path(place).expanduser()
    if (path / "cur").is_dir() or (path / "new").is_dir():
        return contextlib.nullcontext(Maildir(path))
    if path.is_file():
        return _mbox(path)
    raise BadMailbox(f"{place}: no Maildir, no mbox file and no imaps:// address; give one of these")


@dataclass(frozen=True, slots=True)
class Maildir:
    """A Maildir: one file a mail; one is read when its name ends in a flag S (https://cr.yp.to/proto/maildir.html)."""

    folder: Path

    def names(self) -> Sequence[str]:
        """See `Mailbox`."""
        files = [path for part in ("cur", "new") for path in (self.folder / part).glob("*") if path.is_file()]
        unread = [path for path in files if not path.name.startswith(".") and "S" not in _flags(path.name)]
        return [str(path.relative_to(self.folder)) for path in sorted(unread, key=lambda path: path.name)]

    def fetch(self, name: str) -> bytes:
        """See `Mailbox`."""
        with (self.folder / name).open("rb") as file:
            return file.read(LONGEST_MAIL)

    def finish(self, names: Sequence[str], *, delete: bool) -> None:
        """See `Mailbox`."""
        for name in names:
            path = self.folder / name
            with contextlib.suppress(FileNotFoundError):
                if delete:
                    path.unlink()
                else:
                    (self.folder / "cur").mkdir(exist_ok=True)
                    flags = "".join(sorted({*_flags(path.name), "S"}))
                    path.rename(self.folder / "cur" / f"{path.name.partition(':')[0]}:2,{flags}")


def _flags(name: str) -> str:
    return name.partition(":2,")[2]


@dataclass(frozen=True, slots=True)
class Mbox:
    """An mbox file. It is not written to just to mark mails as read, so all of it is read each time."""

    box: mailbox.mbox

    def names(self) -> Sequence[str]:
        """See `Mailbox`."""
        return [str(key) for key in self.box.iterkeys()]

    def fetch(self, name: str) -> bytes:
        """See `Mailbox`."""
        return self.box.get_bytes(name_key(name))[:LONGEST_MAIL]

    def finish(self, names: Sequence[str], *, delete: bool) -> None:
        """See `Mailbox`."""
        if delete:
            self.box.lock()
            try:
                for name in names:
                    self.box.discard(name_key(name))
                self.box.flush()
            finally:
                self.box.unlock()


def name_key(name: str) -> str:
    """A name as the standard library's mbox counts its mails. (It says that keys are texts; they are numbers.)"""
    return int(name)  # type: ignore[return-value]  # as above


@contextmanager
def _mbox(path: Path) -> Iterator[Mailbox]:
    box = mailbox.mbox(path, create=False)
    try:
        yield Mbox(box)
    except mailbox.Error as error:
        raise Away(f"{path}: {error}; another program holds it, try later") from error
    finally:
        box.close()


@dataclass(frozen=True, slots=True)
class Imap:
    """A mailbox on a server, by IMAP (RFC 9051, RFC 3501)."""

    server: imaplib.IMAP4

    def names(self) -> Sequence[str]:
        """See `Mailbox`."""
        (found, *_) = self._ask("SEARCH", "UNSEEN") or [b""]
        return found.decode("ascii").split() if isinstance(found, bytes) else []

    def fetch(self, name: str) -> bytes:
        """See `Mailbox`."""
        for item in self._ask("FETCH", name, f"(BODY.PEEK[]<0.{LONGEST_MAIL}>)"):
            if isinstance(item, tuple) and _SIZED.search(item[0]):
                return bytes(item[1])[:LONGEST_MAIL]
        return b""

    def finish(self, names: Sequence[str], *, delete: bool) -> None:
        """See `Mailbox`."""
        if not names:
            return
        self._ask("STORE", ",".join(names), "+FLAGS.SILENT", r"(\Seen \Deleted)" if delete else r"(\Seen)")
        # Without UIDPLUS (RFC 4315), EXPUNGE would also delete what others have marked.
        if delete and "UIDPLUS" in self.server.capabilities:
            self._ask("EXPUNGE", ",".join(names))

    def _ask(self, command: str, *words: str) -> list[bytes | tuple[bytes, bytes] | None]:
        answer, data = self.server.uid(command, *words)
        if answer != "OK":
            raise BadMailbox(f"the mail server refuses {command}: {_said(data)}")
        return list(data)


@contextmanager
def _imap(place: str, password: str) -> Iterator[Mailbox]:
    url = urlsplit(place)
    host, user, folder = url.hostname or "", unquote(url.username or ""), unquote(url.path.lstrip("/")) or "INBOX"
    if not host or not user or re.search(r"[\x00-\x1f\x7f]", user + folder):
        raise BadMailbox(f"{place}: give the mailbox as imaps://user@host/INBOX")
    if not password:
        raise BadMailbox("NEWSLETTER_MAILBOX_PASSWORD is not set; set it to the mailbox's password")
    try:
        with _connected(url.scheme == "imaps", host, url.port) as server:
            _log_in(server, user, password)
            answer, data = server.select(_quoted(folder))
            if answer != "OK":
                raise BadMailbox(f"{host} has no mailbox {folder}: {_said(data)}")
            yield Imap(server)
    except imaplib.IMAP4.abort as error:
        raise Away(f"{host}: the connection ended ({error}); try later") from error
    except imaplib.IMAP4.error as error:
        raise BadMailbox(f"{host}: {error}") from error
    except OSError as error:
        raise Away(f"{host}: {error.strerror or error}; try later") from error


@contextmanager
def _connected(encrypted: bool, host: str, port: int | None) -> Iterator[imaplib.IMAP4]:
    """A connection that is encrypted, but for a server on this machine."""
    context = ssl.create_default_context()
    if encrypted:
        server: imaplib.IMAP4 = imaplib.IMAP4_SSL(host, port or 993, ssl_context=context, timeout=TIMEOUT_SECONDS)
    else:
        server = imaplib.IMAP4(host, port or 143, timeout=TIMEOUT_SECONDS)
    try:
        if not encrypted and "STARTTLS" in server.capabilities:
            server.starttls(context)
        elif not encrypted and not is_this_machine(host):
            raise BadMailbox(f"{host} would get the password unencrypted; use imaps://")
        yield server
    finally:
        # imaplib's own way out leaves the socket open when the server has hung up.
        with contextlib.suppress(OSError, imaplib.IMAP4.error):
            server.logout()
        with contextlib.suppress(OSError):
            server.shutdown()


def _log_in(server: imaplib.IMAP4, user: str, password: str) -> None:
    if "AUTH=PLAIN" in server.capabilities:
        # RFC 4616. It takes any character; Python's LOGIN takes ASCII alone.
        server.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode())
    elif password.isascii() and user.isascii():
        server.login(_quoted(user), password)
    else:
        raise BadMailbox("the mail server takes only a login in ASCII; set another password")


def _quoted(text: str) -> str:
    """A text as IMAP's quoted string (RFC 9051, 4.3)."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _said(data: Sequence[object]) -> str:
    return " ".join(part.decode("utf-8", "replace") for part in data if isinstance(part, bytes))[:200]
