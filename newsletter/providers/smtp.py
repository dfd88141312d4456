"""The provider that hands messages to a mail server by SMTP: a few connections, each used for many messages.

Each connection has a thread of its own, since Python's smtplib waits for its answers. What must be told apart is when a
connection was lost. Before the line with the final dot had left, nobody has the message (RFC 5321, 4.1.1.4: the server
acts on nothing before it). After it, and before an answer, nobody knows.
"""

from __future__ import annotations

import contextlib
import functools
import re
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Literal

import dkim

from newsletter.config import is_this_machine
from newsletter.messages import BadHeader, address_in, to_bytes, wire_address
from newsletter.providers import Accepted, InDoubt, More, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.values import Message

Security = Literal["starttls", "tls", "none"]

SIGNED_HEADERS = (
    "From",
    # Named once more than it is there, so that nobody can add another one (RFC 6376, 5.4.2).
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)
"""What a signature covers. RFC 8058, 4, asks for both headers of unsubscribing."""

PATIENCE = 5
"""How many times `timeout_seconds` a server may take over a whole message: it may look for viruses first. (RFC 5321,
4.5.3.2, gives it ten minutes for that, and five for a command.)"""

GOODBYE_SECONDS = 2.0
_QUEUED = re.compile(r"queued as (\S+)|\bid=(\S+)", re.IGNORECASE)
_NO_RELAY = re.compile(r"\brelay", re.IGNORECASE)
_NOT_IN_A_COMMAND = re.compile(r"[\x00-\x20\x7f<>]")


class BadKey(ValueError):
    """The key of the signature cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mail server is, and how to speak with it.

    ``timeout_seconds`` is the longest wait for a connection and for an answer. ``ca_file`` holds certificates (PEM) to
    trust beside the system's. Raises ValueError for a login that would cross a network unencrypted.
    """

    host: str
    port: int = 587
    security: Security = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 60.0
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if self.username and self.security == "none" and not is_this_machine(self.host):
            raise ValueError(f"a login to {self.host} without TLS would show the password to the network")


@dataclass(frozen=True, slots=True)
class Signature:
    """What signs messages by DKIM. ``key`` is an RSA key in PEM. Raises BadKey for one that cannot sign."""

    selector: str
    domain: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        try:
            self.sign(b"From: a@example.com\r\n\r\n\r\n")
        except (dkim.DKIMException, ValueError) as error:
            raise BadKey(f"no RSA key in PEM: {error}") from error

    def sign(self, data: bytes) -> bytes:
        """The message with its signature."""
        signer = dkim.DKIM(data)
        names = [name.lower().encode() for name in SIGNED_HEADERS]
        found: bytes = signer.sign(
            self.selector.encode(),
            wire_address(self.domain).encode(),
            self.key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=names,
        )
        return found + data


@dataclass(frozen=True, slots=True)
class Smtp:
    """Hands over by ``batch`` connections, a message at a time on each.

    ``return_path`` is the sender of the envelope, where bounces go; ``{key}`` in it stands for the delivery's key.
    Empty, it is the address in From.
    """

    server: Server
    batch: int = 4
    messages_per_connection: int = 100
    return_path: str = ""
    signature: Signature | None = None
    name: str = "smtp"
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Hand over these messages; the connections end with the last outcome."""
        left = list(reversed(messages))
        return self.stream(lambda limit: [left.pop() for _ in range(min(limit, len(left)))])

    def stream(self, more: More) -> Iterator[Outcome]:
        """Hand over what ``more`` gives, as connections get free; they end with the last outcome.

        Raises NotAllowed (login, certificate, sender) and Unreachable.
        """
        crew, stop = _Crew(self), list[Exception]()
        try:
            while True:
                if crew.idle and not stop:
                    crew.take(more(crew.idle))
                if not crew.in_flight:
                    break
                for result in crew.results():
                    if isinstance(result, Exception):
                        stop.append(result)
                    else:
                        yield result
        finally:
            crew.end()
        if stop:
            # A word on what to mend says more than that somebody could not be reached.
            raise min(stop, key=lambda error: not isinstance(error, NotAllowed))

    def envelope_sender(self, message: Message) -> str:
        """Where a bounce of this message goes."""
        if not self.return_path:
            return wire_address(address_in(message.header("From")))
        return wire_address(self.return_path.replace("{key}", re.sub(r"[^A-Za-z0-9._-]", "_", message.key)))

    def wire(self, message: Message) -> bytes:
        """The message as it leaves, signed when there is a key."""
        data = to_bytes(message)
        return self.signature.sign(data) if self.signature else data


class _Unconnected(Exception):
    """No connection is to be had; the message is still ours."""

    def __init__(self, message: Message, why: str) -> None:
        super().__init__(why)
        self.message = message


class _Lost(Exception):
    """The connection ended before the message was handed over whole: nobody has it."""


_Result = Outcome | NotAllowed | _Unconnected | BaseException


class _Crew:
    """The threads of one sending, each with a connection, and what they work on."""

    def __init__(self, provider: Smtp) -> None:
        self._provider = provider
        self._jobs: SimpleQueue[Message | None] = SimpleQueue()
        self._results: SimpleQueue[tuple[_Worker, _Result]] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._context = _context(provider.server)
        self._room = provider.batch
        self.in_flight = 0

    @property
    def idle(self) -> int:
        """How many more messages can leave now."""
        return self._room - self.in_flight

    def take(self, messages: Sequence[Message]) -> None:
        """Hand over these, at most ``idle``."""
        for message in messages:
            self.in_flight += 1
            if len(self._workers) < min(self.in_flight, self._room):
                self._workers.append(_Worker(self._provider, self._context, self._jobs, self._results))
            self._jobs.put(message)

    def results(self) -> Iterator[Outcome | NotAllowed | Unreachable]:
        """What has been learned, and is waited for; nothing when a message has to go by another connection first."""
        waiting = True
        while waiting or not self._results.empty():
            with contextlib.suppress(Empty):
                worker, result = self._results.get(block=waiting)
                self.in_flight -= 1
                yield from self._judged(worker, result)
            waiting = False

    def _judged(self, worker: _Worker, result: _Result) -> Iterator[Outcome | NotAllowed | Unreachable]:
        if isinstance(result, _Unconnected):
            # A server may grant fewer connections than we ask for: go on with those that it grants.
            self._workers.remove(worker)
            self._room -= 1
            if self._workers:
                self.take([result.message])
            else:
                self.in_flight = 0
                yield Unreachable(str(result))
        elif isinstance(result, Accepted | Refused | TryLater | InDoubt | NotAllowed):
            yield result
        else:
            raise result

    def end(self) -> None:
        """End every thread and connection. What is still in flight is torn off: nobody waits for its answer."""
        ends = time.monotonic() + 2 * GOODBYE_SECONDS
        for worker in self._workers:
            self._jobs.put(None)
            if self.in_flight:
                worker.abort()
        for worker in self._workers:
            worker.join(max(0.0, ends - time.monotonic()))


class _Worker(threading.Thread):
    """A thread that hands over one message after another by a connection of its own."""

    def __init__(
        self,
        provider: Smtp,
        context: ssl.SSLContext,
        jobs: SimpleQueue[Message | None],
        results: SimpleQueue[tuple[_Worker, _Result]],
    ) -> None:
        super().__init__(name="smtp", daemon=True)
        self._provider, self._context, self._jobs, self._results = provider, context, jobs, results
        self._connection: _Connection | None = None
        self._is_aborted = False
        self.start()

    def run(self) -> None:
        """Work until there is no more, or no connection is to be had."""
        result: _Result | None = None
        while not isinstance(result, _Unconnected) and (message := self._jobs.get()) is not None:
            try:
                result = self._hand_over(message)
            except BaseException as error:  # whatever it is belongs to whoever waits for the result
                result = error
            self._results.put((self, result))
            if (connection := self._connection) and not self._is_good(connection):
                self._hang_up()
        self._hang_up()

    def _is_good(self, connection: _Connection) -> bool:
        """Whether the connection may be used for another message."""
        return connection.is_open and connection.used < self._provider.messages_per_connection

    def abort(self) -> None:
        """Tear the connection off, whatever it is waiting for; one that is just being made is not used."""
        self._is_aborted = True
        if connection := self._connection:
            connection.abort()

    def _hand_over(self, message: Message) -> _Result:
        try:
            data = self._provider.wire(message)
            sender = self._provider.envelope_sender(message)
            recipient = wire_address(message.to)
        except BadHeader as error:
            return Refused(message.key, str(error))
        if _NOT_IN_A_COMMAND.search(sender + recipient):
            return Refused(message.key, "the address holds a character that no address may have")
        while True:
            connection = self._connected(message)
            try:
                return connection.deliver(message.key, sender, recipient, data)
            except _Lost as error:
                # A server may close a connection that was idle for too long: a new one tells whether it is that.
                if self._hang_up(at_once=True) > 0:
                    continue
                return TryLater(message.key, str(error))

    def _connected(self, message: Message) -> _Connection:
        if self._connection is None:
            server = self._provider.server
            try:
                self._connection = _Connection(_connect(server, self._context), server.timeout_seconds)
            except _Lost as error:
                raise _Unconnected(message, str(error)) from error
        if self._is_aborted:
            raise _Unconnected(message, "the sending was ended")
        return self._connection

    def _hang_up(self, *, at_once: bool = False) -> int:
        """End the connection, if there is one. Returns how many messages it was used for."""
        connection, self._connection = self._connection, None
        if connection is None:
            return 0
        connection.close(at_once=at_once)
        return connection.used


class _Connection:
    """An open connection. ``used`` counts the messages that the server gave an answer to."""

    def __init__(self, smtp: smtplib.SMTP, timeout_seconds: float) -> None:
        self._smtp, self._timeout = smtp, timeout_seconds
        self.is_open = True
        self.used = 0

    def deliver(self, key: str, sender: str, recipient: str, data: bytes) -> Outcome:
        """Hand over one message. Raises _Lost when nobody has it, and NotAllowed."""
        if not data.isascii() and not self._smtp.has_extn("smtputf8"):
            return Refused(key, "the mail server takes no address with letters beyond ASCII (it lacks SMTPUTF8)")
        utf8 = "" if data.isascii() else " BODY=8BITMIME SMTPUTF8"
        commands = (f"MAIL FROM:<{sender}>{utf8}", f"RCPT TO:<{recipient}>", "DATA")
        try:
            answers = self._announce(commands)
            outcome = self._refusal(key, answers)
            if outcome is None:
                self._smtp.send(_stuffed(data))
            elif self.is_open:
                self._forget(answers)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException) as error:
            raise _Lost(f"the connection was lost before the message was handed over: {error}") from error
        outcome = outcome or self._taken(key)
        self.used += 1
        return outcome

    def _announce(self, commands: Sequence[str]) -> list[tuple[int, str]]:
        """Give the commands before the message, and the answers to them up to the first that says no.

        With PIPELINING (RFC 2920) they go in one packet, and every answer is read.
        """
        lines = [f"{command}\r\n".encode() for command in commands]
        pipelining = self._smtp.has_extn("pipelining")
        answers = list[tuple[int, str]]()
        if pipelining:
            self._smtp.send(b"".join(lines))
        for line in lines:
            if not pipelining:
                self._smtp.send(line)
            answers.append(self._answer())
            if answers[-1][0] == 421 or not (pipelining or 200 <= answers[-1][0] < 400):
                break
        return answers

    def _answer(self) -> tuple[int, str]:
        code, text = self._smtp.getreply()
        return code, " ".join(text.decode("utf-8", "replace").split())

    def _refusal(self, key: str, answers: Sequence[tuple[int, str]]) -> Outcome | None:
        """What the first answer that is no yes means, or None when the message may follow."""
        wanted = (range(200, 300), range(200, 300), range(354, 355))
        bad = next((place for place, (code, _) in enumerate(answers) if code not in wanted[place]), None)
        if bad is None:
            return None
        (code, text), step = answers[bad], ("MAIL FROM", "RCPT TO", "DATA")[bad]
        said = f"{code} {text}"
        if code == 421 and self.used:
            raise _Lost(said)
        if code == 421 or not 400 <= code < 600:
            self.is_open = False
            return TryLater(key, f"the mail server said to {step}: {said}")
        if code < 500:
            return TryLater(key, said)
        # Words on relaying for a later reader are about that reader's own server.
        no_relay = step == "RCPT TO" and not self.used and _NO_RELAY.search(text)
        if step == "MAIL FROM" or code in (530, 535) or no_relay:
            self.is_open = False
            mend = "set `smtp.username`" if no_relay else "mend `smtp.return_path` or the login"
            raise NotAllowed(f"the mail server does not take mail from us: {said}; {mend}")
        return Refused(key, said)

    def _forget(self, answers: Sequence[tuple[int, str]]) -> None:
        """Leave the transaction that was refused. Where DATA was granted all the same, end it empty (RFC 2920, 3.1)."""
        if len(answers) == 3 and answers[2][0] == 354:
            self._smtp.send(b".\r\n")
            self._answer()
        self._smtp.send(b"RSET\r\n")
        self.is_open = self._answer()[0] == 250

    def _taken(self, key: str) -> Outcome:
        """What the server says of the message that it has now."""
        self._wait(self._timeout * PATIENCE)
        try:
            code, text = self._answer()
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException) as error:
            self.is_open = False
            return InDoubt(key, f"the connection was lost after the message was handed over: {error}")
        self._wait(self._timeout)
        self.is_open = 200 <= code < 600 and code != 421
        if 200 <= code < 300:
            found = _QUEUED.search(text)
            return Accepted(key, next(filter(None, found.groups())).rstrip(".;,)") if found else "")
        if 400 <= code < 500:
            return TryLater(key, f"{code} {text}")
        if 500 <= code < 600:
            return Refused(key, f"{code} {text}")
        return InDoubt(key, f"the mail server's answer to the message is none of SMTP: {code} {text}")

    def _wait(self, seconds: float) -> None:
        """Set the longest wait for what comes next."""
        if connection := self._smtp.sock:
            connection.settimeout(seconds)

    def abort(self) -> None:
        """Tear it off; whoever waits for an answer stops waiting."""
        if connection := self._smtp.sock:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self, *, at_once: bool) -> None:
        """Say goodbye, unless it is lost already, and close."""
        if self.is_open and not at_once:
            self._wait(GOODBYE_SECONDS)
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._smtp.quit()
        self._smtp.close()


def _context(server: Server) -> ssl.SSLContext:
    """What certificates are checked with. Raises NotAllowed when `smtp.ca_file` holds none."""
    context = ssl.create_default_context()
    if server.ca_file:
        try:
            context.load_verify_locations(server.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise NotAllowed(f"{server.ca_file}: no certificates in PEM there; mend `smtp.ca_file`") from error
    return context


def _connect(server: Server, context: ssl.SSLContext) -> smtplib.SMTP:
    """Connect, encrypt and log in. Raises _Lost and NotAllowed; neither says the password."""
    place = f"{server.host}:{server.port}"
    try:
        return _opened(server, context)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or error
        raise NotAllowed(
            f"{place}: the certificate does not hold: {why}; mend `smtp.host` or set `smtp.ca_file`"
        ) from error
    except ssl.SSLEOFError as error:
        raise _Lost(f"{place}: the connection was lost while it was encrypted") from error
    except ssl.SSLError as error:
        raise NotAllowed(f"{place}: no TLS there ({error.reason}); mend `smtp.security` or `smtp.port`") from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotAllowed(f"{place}: {error} Mend `smtp.security`, `smtp.port` or `smtp.username`.") from error
    except smtplib.SMTPResponseException as error:
        said = f"{error.smtp_code} {_decoded(error.smtp_error)}"
        if 400 <= error.smtp_code < 500:
            raise _Lost(f"{place}: {said}") from error
        raise NotAllowed(f"{place}: {said}; mend `smtp.username` and NEWSLETTER_SMTP_PASSWORD") from error
    except smtplib.SMTPServerDisconnected as error:
        raise _Lost(f"{place}: {error}") from error
    except smtplib.SMTPException as error:
        raise NotAllowed(f"{place}: {error} Mend `smtp.username`, or leave it empty for no login.") from error
    except OSError as error:
        raise _Lost(f"{place}: {error.strerror or error}") from error
    except UnicodeEncodeError:
        # The error holds the password, and smtplib speaks ASCII alone here.
        raise NotAllowed(f"{place}: `smtp.username` and NEWSLETTER_SMTP_PASSWORD must be plain ASCII") from None


def _opened(server: Server, context: ssl.SSLContext) -> smtplib.SMTP:
    with contextlib.ExitStack() as on_failure:
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, our_name(), timeout=server.timeout_seconds, context=context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, our_name(), timeout=server.timeout_seconds)
        on_failure.callback(smtp.close)
        if smtp.sock:
            # Else the last packet of a message waits until the ones before it are confirmed.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
        if server.username:
            smtp.login(server.username, server.password)
        on_failure.pop_all()
        return smtp


@functools.cache
def our_name() -> str:
    """How we greet: our name in the DNS, or an address where we have none (RFC 5321, 4.1.4). Looking it up is slow."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _stuffed(data: bytes) -> bytes:
    """The message with a dot more where a line starts with one, and the line that ends it (RFC 5321, 4.5.2)."""
    ended = data if data.endswith(b"\r\n") else data + b"\r\n"
    stuffed = ended.replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"


def _decoded(text: bytes | str) -> str:
    return " ".join((text.decode("utf-8", "replace") if isinstance(text, bytes) else text).split())
