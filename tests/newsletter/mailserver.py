"""A mail server on loopback that takes mail as RFC 5321 says, but for what a test tells it to answer or to break."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DROP = "drop"
"""In place of an answer: the connection ends."""

CUT = "cut"
"""To DATA: grant it, take a little, and end the connection."""

TAKE_AND_DROP = "take and drop"
"""To the end of a message: take it, and end the connection without an answer."""

TAKE_AND_WAIT = "take and wait"
"""To the end of a message: take it, and say nothing until the server ends."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message that the server took."""

    sender: str
    recipient: str
    data: bytes


class _Dropped(Exception):
    """The server ended a connection on purpose."""


class MailServer:
    """Takes mail. ``answers`` are by command (`MAIL`, `DATA`, `END` for the end of a message, ...) or by command and
    recipient (`RCPT ada@example.com`); a list is used up one by one, then the usual answer follows.

    ``tls`` is used at once when ``implicit``, else offered as STARTTLS. ``login`` is (name, password); with it, nobody
    else may send. ``delay`` are the seconds between taking a message and saying so; ``port`` 0 is any free one.
    ``taken``, ``commands`` and ``connections`` tell what came.
    """

    def __init__(
        self,
        answers: Mapping[str, str | list[str]] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        login: tuple[str, str] | None = None,
        methods: str = "PLAIN LOGIN",
        extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SMTPUTF8"),
        most_connections: int = 1000,
        delay: float = 0.0,
        port: int = 0,
    ) -> None:
        self.answers = dict(answers or {})
        self._tls, self._implicit = tls, implicit
        self._login, self._methods, self._extensions = login, methods, extensions
        self._delay = delay
        self._most_connections, self._open = most_connections, list[socket.socket]()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self.taken: list[Mail] = []
        self.commands: list[str] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", port), backlog=50)
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.close()

    @property
    def recipients(self) -> list[str]:
        """Who the taken messages are for, sorted."""
        return sorted(mail.recipient for mail in self.taken)

    @property
    def open_connections(self) -> int:
        """How many connections have not ended."""
        return len(self._open)

    def close(self) -> None:
        """End every connection and thread."""
        self._ended.set()
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self.connections += 1
            self._open.append(connection)
            crowded = len(self._open) > self._most_connections
        session = _Session(self, connection)
        # What a client breaks off is the test's business, and it looks at the client for that.
        with contextlib.suppress(_Dropped, OSError, ValueError):
            if crowded:
                session.say("421 4.7.0 too many connections")
            else:
                session.run()
        with self._lock:
            self._open.remove(connection)
        session.close()

    def answer(self, command: str, recipient: str, usual: str) -> str:
        """What to answer."""
        with self._lock:
            for key in (f"{command} {recipient}", command):
                found = self.answers.get(key, [])
                if isinstance(found, str):
                    return found
                if found:
                    return found.pop(0)
        return usual

    def take(self, mail: Mail) -> int:
        """Keep a message; returns how many there are."""
        with self._lock:
            self.taken.append(mail)
            number = len(self.taken)
        self._ended.wait(self._delay)
        return number

    def wait(self) -> None:
        """Return when the server ends."""
        self._ended.wait(30)


class _Session:
    """One connection of the server."""

    def __init__(self, server: MailServer, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        self._file: BinaryIO | None = None
        self._is_secure = self._is_known = False
        self._sender: str | None = None
        self._recipient = ""

    def run(self) -> None:
        """Serve until the client or the script ends it."""
        self._connection.settimeout(30)
        self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._server._implicit:
            self._encrypt()
        self.say(self._server.answer("GREETING", "", "220 mail.example.com ESMTP"))
        while line := self._line():
            command, _, rest = line.partition(" ")
            with self._server._lock:
                self._server.commands.append(f"{command.upper()} {rest}".rstrip())
            handler = getattr(self, f"_on_{command.lower()}", None)
            if handler is None:
                self.say("500 5.5.2 no such command")
            else:
                handler(rest)

    def close(self) -> None:
        """Let go of the connection."""
        if self._file:
            self._file.close()
        self._connection.close()

    def say(self, answer: str) -> None:
        """Answer, or do what the script says in its place."""
        if answer == DROP:
            raise _Dropped
        self._connection.sendall(f"{answer}\r\n".encode())
        if answer.startswith("421"):
            raise _Dropped

    def _line(self) -> str:
        if self._file is None:
            self._file = self._connection.makefile("rb")
        return self._file.readline(2000).decode().rstrip("\r\n")

    def _encrypt(self) -> None:
        assert self._server._tls is not None
        self._connection = self._server._tls.wrap_socket(self._connection, server_side=True)
        self._file, self._is_secure = None, True

    def _on_ehlo(self, rest: str) -> None:
        server = self._server
        offers = list(server._extensions)
        if server._tls and not self._is_secure:
            offers.append("STARTTLS")
        if server._login:
            offers.append(f"AUTH {server._methods}")
        lines = ["mail.example.com", *offers]
        self.say("\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]))

    def _on_starttls(self, rest: str) -> None:
        answer = self._server.answer("STARTTLS", "", "220 go ahead")
        self.say(answer)
        if answer.startswith("220"):
            self._encrypt()

    def _on_auth(self, rest: str) -> None:
        method, _, initial = rest.partition(" ")
        if method == "PLAIN":
            name, password = self._asked("", initial).split("\0")[1:]
        else:
            name = self._asked("Username:", initial)
            password = self._asked("Password:", "")
        self._is_known = (name, password) == self._server._login
        usual = "235 2.7.0 welcome" if self._is_known else "535 5.7.8 wrong name or password"
        self.say(self._server.answer("AUTH", "", usual))

    def _asked(self, prompt: str, initial: str) -> str:
        if not initial:
            self.say(f"334 {base64.b64encode(prompt.encode()).decode()}")
            initial = self._line()
        return base64.b64decode(initial).decode()

    def _on_mail(self, rest: str) -> None:
        usual = "250 2.1.0 Ok" if self._sender is None else "503 5.5.1 nested MAIL"
        if self._server._login and not self._is_known:
            usual = "530 5.7.0 who are you?"
        answer = self._server.answer("MAIL", "", usual)
        if answer.startswith("2"):
            self._sender = _path(rest)
        self.say(answer)

    def _on_rcpt(self, rest: str) -> None:
        recipient = _path(rest)
        usual = "503 5.5.1 MAIL first" if self._sender is None else "250 2.1.5 Ok"
        answer = self._server.answer("RCPT", recipient, usual)
        if answer.startswith("2"):
            self._recipient = recipient
        self.say(answer)

    def _on_data(self, rest: str) -> None:
        # As Postfix does: without a recipient it is granted to who pipelines, and refused at its end.
        usual = "503 5.5.1 MAIL first" if self._sender is None else "354 go on"
        answer = self._server.answer("DATA", self._recipient, usual)
        if answer == CUT:
            self.say("354 go on")
            self._connection.recv(100)
            raise _Dropped
        self.say(answer)
        if answer.startswith("354"):
            self._end(self._body())

    def _body(self) -> bytes:
        assert self._file is not None
        lines = []
        while (line := self._file.readline()) != b".\r\n":
            if not line:
                raise _Dropped
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    def _end(self, data: bytes) -> None:
        mail = Mail(self._sender or "", self._recipient, data)
        self._sender, self._recipient = None, ""
        if not mail.recipient:
            self.say("554 5.5.1 no valid recipients")
            return
        answer = self._server.answer("END", mail.recipient, "250 2.0.0 Ok: queued as ")
        if answer.startswith("2") or answer in (TAKE_AND_DROP, TAKE_AND_WAIT):
            number = self._server.take(mail)
            answer += str(number) if answer.endswith("queued as ") else ""
        if answer == TAKE_AND_WAIT:
            self._server.wait()
        self.say(DROP if answer in (TAKE_AND_DROP, TAKE_AND_WAIT) else answer)

    def _on_rset(self, rest: str) -> None:
        self._sender, self._recipient = None, ""
        self.say("250 2.0.0 Ok")

    def _on_quit(self, rest: str) -> None:
        self.say("221 2.0.0 bye")
        raise _Dropped


def _path(text: str) -> str:
    """The address of `FROM:<ada@example.com> ...`."""
    return text.partition("<")[2].partition(">")[0]


def certificate(folder: Path, *, days: int = 1) -> tuple[ssl.SSLContext, Path]:
    """A server's side of TLS for localhost and 127.0.0.1, and the file that a client must trust for it.

    The file with the key is `key.pem` in ``folder``. Negative ``days``: it has run out.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=10))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain, secret = folder / "certificate.pem", folder / "key.pem"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, secret)
    return context, chain
