"""What is said to a mail server about one message, and what each answer and each loss means. No socket here.

What must be told apart is when a connection was lost. Before the line with the final dot had left, nobody has the
message (RFC 5321, 4.1.1.4: the server acts on nothing before it). After it, and before an answer, nobody knows.
"""

from __future__ import annotations

import re
from collections.abc import Container, Generator, Sequence
from dataclasses import dataclass

from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater

PATIENCE = 5
"""How many times ``timeout_seconds`` a server may take over a whole message: it may look for viruses first. (RFC 5321,
4.5.3.2, gives it ten minutes for that, and five for a command.)"""

GOODBYE_SECONDS = 2.0
LONGEST_REPLY = 65_536
"""Bytes. (RFC 5321, 4.5.3.1.5, gives a line of a reply 512, and no number of lines.)"""

_QUEUED = re.compile(r"queued as (\S+)|\bid=(\S+)", re.IGNORECASE)
_NO_RELAY = re.compile(r"\brelay", re.IGNORECASE)
_WANTED = (range(200, 300), range(200, 300), range(354, 355))
_STEPS = ("MAIL FROM", "RCPT TO", "DATA")


@dataclass(frozen=True, slots=True)
class Say:
    """Bytes to send, all of them, and then to wait up to so many seconds for one reply.

    No bytes: wait for the next reply to what was said before.
    """

    data: bytes
    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server: its code, and its text on one line. Code -1: none of SMTP."""

    code: int
    text: str

    def __str__(self) -> str:
        """The reply as it is told to people."""
        return f"{self.code} {self.text}"


class Broken(Exception):
    """The connection ended, or no reply came in time. ``has_left``: every byte of what was said had left before."""

    def __init__(self, why: str, *, has_left: bool) -> None:
        super().__init__(why)
        self.has_left = has_left


class Lost(Exception):
    """The connection ended before the message was handed over whole: nobody has it."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it leaves: the delivery's key, the envelope, and the bytes, in which no line starts with a dot."""

    key: str
    sender: str
    recipient: str
    data: bytes


Talk = Generator[Say, Reply, Outcome]
"""Gives what to say and gets the reply to it; Broken is thrown into it. It ends with what became of the message."""


class Dialogue:
    """The messages that are handed over by one connection.

    ``extensions`` are those that the server offers, in lower case. ``used`` counts the messages that it gave an answer
    to; once ``is_open`` is False the connection is of no more use.
    """

    def __init__(self, extensions: Container[str], timeout_seconds: float) -> None:
        self._has_pipelining, self._has_utf8 = "pipelining" in extensions, "smtputf8" in extensions
        self._seconds = timeout_seconds
        self.is_open = True
        self.used = 0

    def deliver(self, parcel: Parcel) -> Talk:
        """Hand over one message. Raises Lost when nobody has it, and NotAllowed."""
        is_ascii = parcel.data.isascii()
        if not is_ascii and not self._has_utf8:
            why = "the mail server takes no address with letters beyond ASCII (it lacks SMTPUTF8)"
            return Refused(parcel.key, why)
        utf8 = "" if is_ascii else " BODY=8BITMIME SMTPUTF8"
        try:
            replies = yield from self._announce(
                f"MAIL FROM:<{parcel.sender}>{utf8}\r\n", f"RCPT TO:<{parcel.recipient}>\r\n", "DATA\r\n"
            )
            outcome = self._refusal(parcel.key, replies)
            if outcome is not None and self.is_open:
                yield from self._forget(replies)
        except Broken as error:
            raise self._lost(error) from error
        if outcome is None:
            outcome = yield from self._entrust(parcel)
        self.used += 1
        return outcome

    def _announce(self, *commands: str) -> Generator[Say, Reply, list[Reply]]:
        """Give the commands before the message. Returns the replies to them, up to the first that says no.

        With PIPELINING (RFC 2920) they go in one packet, and every reply is read.
        """
        lines = [command.encode() for command in commands]
        if self._has_pipelining:
            lines = [b"".join(lines), b"", b""]
        replies = list[Reply]()
        for line in lines:
            replies.append((yield Say(line, self._seconds)))
            if replies[-1].code == 421 or not (self._has_pipelining or 200 <= replies[-1].code < 400):
                break
        return replies

    def _refusal(self, key: str, replies: Sequence[Reply]) -> Outcome | None:
        """What the first reply that is no yes means, or None when the message may follow."""
        bad = next((place for place, reply in enumerate(replies) if reply.code not in _WANTED[place]), None)
        if bad is None:
            return None
        said, step = replies[bad], _STEPS[bad]
        if said.code == 421 and self.used:
            raise self._lost(said)
        if said.code == 421 or not 400 <= said.code < 600:
            self.is_open = False
            return TryLater(key, f"the mail server said to {step}: {said}")
        if said.code < 500:
            return TryLater(key, str(said))
        # Words on relaying for a later reader are about that reader's own server.
        no_relay = step == "RCPT TO" and not self.used and _NO_RELAY.search(said.text)
        if step == "MAIL FROM" or said.code in (530, 535) or no_relay:
            self.is_open = False
            mend = "set `smtp.username`" if no_relay else "mend `smtp.return_path` or the login"
            raise NotAllowed(f"the mail server does not take mail from us: {said}; {mend}")
        return Refused(key, str(said))

    def _forget(self, replies: Sequence[Reply]) -> Generator[Say, Reply, None]:
        """Leave the transaction that was refused. Where DATA was granted all the same, end it empty (RFC 2920, 3.1)."""
        if len(replies) == 3 and replies[2].code == 354:
            yield Say(b".\r\n", self._seconds)
        reply = yield Say(b"RSET\r\n", self._seconds)
        self.is_open = reply.code == 250

    def _entrust(self, parcel: Parcel) -> Talk:
        """Send the message itself, and learn what the server says of it."""
        key = parcel.key
        try:
            reply = yield Say(ended(parcel.data), self._seconds * PATIENCE)
        except Broken as error:
            if not error.has_left:
                raise self._lost(error) from error
            self.is_open = False
            return InDoubt(key, f"the connection was lost after the message was handed over: {error}")
        self.is_open = 200 <= reply.code < 600 and reply.code != 421
        if 200 <= reply.code < 300:
            found = _QUEUED.search(reply.text)
            return Accepted(key, next(filter(None, found.groups())).rstrip(".;,)") if found else "")
        if 400 <= reply.code < 500:
            return TryLater(key, str(reply))
        if 500 <= reply.code < 600:
            return Refused(key, str(reply))
        return InDoubt(key, f"the mail server's answer to the message is none of SMTP: {reply}")

    def _lost(self, why: object) -> Lost:
        self.is_open = False
        return Lost(f"the connection was lost before the message was handed over: {why}")

    def say_goodbye(self) -> Generator[Say, Reply, None]:
        """End the connection as the server likes it."""
        self.is_open = False
        yield Say(b"QUIT\r\n", GOODBYE_SECONDS)


def ended(data: bytes) -> bytes:
    """The message with the line that ends it. None of its own starts with a dot: `to_bytes` sees to that."""
    return data + (b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n")


class Replies:
    """Puts what a server sends together to replies (RFC 5321, 4.2.1), however it came in pieces."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._texts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take what came."""
        self._rest += data

    def take(self) -> Reply | None:
        """The next whole reply; None while there is none. One that has no end is cut, and is none of SMTP."""
        while (end := self._rest.find(b"\n")) >= 0:
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            self._texts.append(line[4:])
            self._size += end
            if line[3:4] != b"-" or not line[:3].isdigit():
                return self._made(_code(line), _joined(self._texts))
            if self._size > LONGEST_REPLY:
                return self._made(-1, "a reply without end")
        if len(self._rest) > LONGEST_REPLY:
            self._rest.clear()
            return self._made(-1, "a reply without end")
        return None

    def _made(self, code: int, text: str) -> Reply:
        self._texts, self._size = [], 0
        return Reply(code, text)


def _code(line: bytes) -> int:
    return int(line[:3]) if len(line[:3]) == 3 and line[:3].isdigit() else -1


def _joined(texts: Sequence[bytes]) -> str:
    return " ".join(b" ".join(texts).decode("utf-8", "replace").split())
