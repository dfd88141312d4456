"""A few connections that hand over messages at the same time, all in the thread of whoever asks for the results.

While the ledger writes, the network goes on by itself; no thread stands between them and takes turns with the ledger's.
Only what smtplib does, to connect, encrypt and log in, has threads of its own: it waits for its answers.
"""

from __future__ import annotations

import contextlib
import selectors
import smtplib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from newsletter.providers import NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.providers.smtp.connecting import Server, connect, trusted
from newsletter.providers.smtp.dialogue import GOODBYE_SECONDS, Broken, Dialogue, Lost, Parcel, Replies, Reply, Say
from newsletter.values import Message

Result = Outcome | NotAllowed | Unreachable
Pack = Callable[[Message], Parcel | Refused]

_AT_ONCE = 65_536
"""Bytes that are read at a time."""
_NEVER = float("inf")


class Crew:
    """Up to so many connections of one sending, and what they work on.

    ``pack`` makes a message ready to leave, or says why it cannot. Raises NotAllowed when `smtp.ca_file` is none.
    """

    def __init__(self, server: Server, pack: Pack, connections: int, messages_per_connection: int) -> None:
        self._server, self._pack, self._most = server, pack, messages_per_connection
        self._context = trusted(server)
        self._room = connections
        self._lines = list[_Line]()
        self._leaving = list[_Connection]()
        self._waiting = deque[Message]()
        self._done = deque[Result]()
        self._connecting = list[threading.Thread]()
        self._arrivals: SimpleQueue[tuple[_Line, smtplib.SMTP | BaseException]] = SimpleQueue()
        self._is_over = False
        self._selector = selectors.DefaultSelector()
        self._bell, self._rope = socket.socketpair()
        self._bell.setblocking(False)
        self._selector.register(self._bell, selectors.EVENT_READ)
        self.in_flight = 0

    @property
    def idle(self) -> int:
        """How many more messages can leave now."""
        return self._room - self.in_flight

    def take(self, messages: Sequence[Message]) -> None:
        """Hand over these, at most ``idle``."""
        self.in_flight += len(messages)
        self._waiting.extend(messages)
        self._assign()

    def results(self, linger: float) -> Iterator[Result]:
        """What is learned next, and what else is learned within ``linger`` seconds of that."""
        ends: float | None = None
        while self.in_flight:
            while self._done:
                self.in_flight -= 1
                yield self._done.popleft()
                ends = ends or time.monotonic() + linger
            if not self.in_flight or (ends is not None and time.monotonic() >= ends):
                return
            self._turn(ends or _NEVER)

    def end(self) -> None:
        """End every connection. What is still in flight is torn off: nobody waits for its answer."""
        ends = time.monotonic() + 2 * GOODBYE_SECONDS
        self._is_over = True
        self._waiting.clear()
        for line in self._lines:
            if line.message is not None:
                self._drop(line)
            else:
                self._hang_up(line)
        while self._leaving and time.monotonic() < ends:
            self._turn(ends)
        for connection in list(self._leaving):
            self._close(connection)
        for thread in self._connecting:
            thread.join(max(0.0, ends - time.monotonic()))
        self._admit()
        self._selector.close()
        self._bell.close()
        self._rope.close()

    def _assign(self) -> None:
        """Give what waits to whoever is free."""
        while self._waiting and (line := self._free_line()):
            message = self._waiting.popleft()
            parcel = self._pack(message)
            if isinstance(parcel, Refused):
                self._done.append(parcel)
                continue
            line.message, line.parcel = message, parcel
            self._begin(line)

    def _free_line(self) -> _Line | None:
        """A line without a message, best one that has a connection."""
        free = [line for line in self._lines if line.message is None]
        if not free and len(self._lines) < self._room:
            free = [_Line()]
            self._lines += free
        return max(free, key=lambda line: line.connection is not None, default=None)

    def _begin(self, line: _Line) -> None:
        """Hand over the line's parcel, by its connection or by a new one."""
        if line.connection is None:
            thread = threading.Thread(target=self._connect, args=(line,), name="smtp", daemon=True)
            self._connecting.append(thread)
            thread.start()
        elif line.parcel is not None:
            self._heard(line.connection, line.connection.begin(line.connection.dialogue.deliver(line.parcel)))

    def _connect(self, line: _Line) -> None:
        """Make a connection, in a thread of its own."""
        found: smtplib.SMTP | BaseException
        try:
            found = connect(self._server, self._context)
        except BaseException as error:  # whatever it is belongs to whoever waits for the result
            found = error
        self._arrivals.put((line, found))
        with contextlib.suppress(OSError):  # nobody listens any more
            self._rope.send(b"!")

    def _turn(self, until: float) -> None:
        """Wait until something happens, or until that time, and go on with whatever it happened to."""
        busy = [line.connection for line in self._lines if line.message and line.connection] + self._leaving
        until = min([until, *(connection.deadline for connection in busy)])
        wait = None if until == _NEVER else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(wait):
            if key.data is None:
                self._admit()
            else:
                self._heard(key.data, key.data.go_on())
        now = time.monotonic()
        for connection in busy:
            if connection.deadline <= now:
                self._heard(connection, connection.give_up())
        self._assign()

    def _admit(self) -> None:
        """Put to use the connections that were made."""
        with contextlib.suppress(BlockingIOError):
            self._bell.recv(_AT_ONCE)
        self._connecting = [thread for thread in self._connecting if thread.is_alive()]
        with contextlib.suppress(Empty):
            while True:
                self._arrived(*self._arrivals.get_nowait())

    def _arrived(self, line: _Line, found: smtplib.SMTP | BaseException) -> None:
        if self._is_over:
            if isinstance(found, smtplib.SMTP):
                found.close()
        elif isinstance(found, smtplib.SMTP):
            line.connection = connection = _Connection(found, self._server.timeout_seconds, line)
            self._selector.register(connection, connection.registered, connection)
            self._begin(line)
        elif isinstance(found, Lost):
            self._give_up(line, str(found))
        elif isinstance(found, NotAllowed):
            self._finish(line, found)
        else:
            raise found

    def _give_up(self, line: _Line, why: str) -> None:
        """No connection for this line: a server may grant fewer than we ask for. Go on with those that it grants."""
        self._lines.remove(line)
        self._room -= 1
        if self._lines and line.message is not None:
            self._waiting.appendleft(line.message)
            return
        self._waiting.clear()
        self.in_flight = len(self._done) + 1
        self._done.append(Unreachable(why))

    def _heard(self, connection: _Connection, news: Outcome | NotAllowed | Lost | None) -> None:
        """Draw the conclusions from what a connection has come to; None: it waits, or has nothing to do."""
        if news is not None and (line := connection.line):
            if isinstance(news, Lost):
                return self._lost(line, connection, news)
            self._finish(line, news)
        if connection.is_busy:
            if connection.registered != connection.interest:
                connection.registered = connection.interest
                self._selector.modify(connection, connection.registered, connection)
        elif connection.line is None:
            self._close(connection)
        elif not connection.dialogue.is_open:
            self._drop(connection.line)
        elif connection.dialogue.used >= self._most:
            self._hang_up(connection.line)
        return None

    def _lost(self, line: _Line, connection: _Connection, why: Lost) -> None:
        """A server may close a connection that was idle for too long: a new one tells whether it is that."""
        self._drop(line)
        if connection.dialogue.used:
            self._begin(line)
        elif line.parcel is not None:
            self._finish(line, TryLater(line.parcel.key, str(why)))

    def _finish(self, line: _Line, result: Result) -> None:
        line.message = line.parcel = None
        self._done.append(result)

    def _hang_up(self, line: _Line) -> None:
        """Take leave of a line's connection, if it has one."""
        connection, line.connection = line.connection, None
        if connection is not None:
            connection.line = None
            self._leaving.append(connection)
            self._heard(connection, connection.begin(connection.dialogue.say_goodbye()))

    def _drop(self, line: _Line) -> None:
        """Close a line's connection at once, if it has one."""
        connection, line.connection = line.connection, None
        if connection is not None:
            connection.line = None
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._selector.unregister(connection)
        connection.close()
        if connection in self._leaving:
            self._leaving.remove(connection)


@dataclass(slots=True, eq=False)
class _Line:
    """A place for one message at a time, and the connection that it has."""

    message: Message | None = None
    parcel: Parcel | None = None
    connection: _Connection | None = None


class _Connection:
    """A socket that waits for nothing, and the dialogue over it.

    ``deadline`` is until when, by the monotonic clock, what it waits for must have come; ``registered`` is what the
    selector watches for.
    """

    def __init__(self, smtp: smtplib.SMTP, timeout_seconds: float, line: _Line) -> None:
        if smtp.sock is None:
            raise ValueError("a connection that is closed")
        self._smtp, self._socket, self._timeout = smtp, smtp.sock, timeout_seconds
        self._socket.setblocking(False)
        self._number = self._socket.fileno()
        self.dialogue = Dialogue(smtp.esmtp_features, timeout_seconds)
        self.line: _Line | None = line
        self.deadline = _NEVER
        self.registered = selectors.EVENT_READ
        self._talk: Generator[Say, Reply, Outcome | None] | None = None
        self._replies = Replies()
        self._out = memoryview(b"")
        self._patience = 0.0
        self._must_wait_to_write = False
        self._end = ""

    def fileno(self) -> int:
        """What the selector knows it by."""
        return self._number

    @property
    def is_busy(self) -> bool:
        """Whether something is being said."""
        return self._talk is not None

    @property
    def interest(self) -> int:
        """What to wait for. Reading always: so the end of a connection is seen at once."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._must_wait_to_write else 0)

    def begin(self, talk: Generator[Say, Reply, Outcome | None]) -> Outcome | NotAllowed | Lost | None:
        """Begin a talk, and go on with it as far as that goes without waiting. Returns what it came to, if it did."""
        self._talk = talk
        return self._advance(lambda: next(talk))

    def go_on(self) -> Outcome | NotAllowed | Lost | None:
        """Something can be read or written: go on as far as that goes. Returns what the talk came to, if it did."""
        if self._out:
            self._write()
        self._read()
        if self._talk is None:
            # What a server says without being asked is that it goes.
            self.dialogue.is_open = False
            return None
        return self._advance(None)

    def give_up(self) -> Outcome | NotAllowed | Lost | None:
        """The deadline is over. Returns what the talk came to."""
        self._end = "timed out"
        return self._advance(None)

    def close(self) -> None:
        """Close, without a word."""
        self._smtp.close()

    def _advance(self, step: Callable[[], Say] | None) -> Outcome | NotAllowed | Lost | None:
        """Go on with the talk until it must wait. ``step`` is its first, when it just begins."""
        talk = self._talk
        while talk is not None and (step := step or self._next_step(talk)):
            try:
                say = step()
            except StopIteration as end:
                self._rest()
                found: Outcome | None = end.value
                return found
            except (Lost, NotAllowed) as error:
                self._rest()
                return error
            except Broken:  # while it took leave
                self._rest()
                return None
            self._say(say)
            step = None
        return None

    def _next_step(self, talk: Generator[Say, Reply, Outcome | None]) -> Callable[[], Say] | None:
        """What the talk goes on with: a reply, or the end of the connection; None: it waits."""
        has_left = not self._out
        if has_left and (reply := self._replies.take()):
            return lambda: talk.send(reply)
        if self._end:
            broken = Broken(self._end, has_left=has_left)
            return lambda: talk.throw(broken)
        return None

    def _rest(self) -> None:
        self._talk, self._out, self.deadline = None, memoryview(b""), _NEVER
        self._must_wait_to_write = False

    def _say(self, say: Say) -> None:
        self._out, self._patience = memoryview(say.data), say.seconds
        self.deadline = time.monotonic() + self._timeout
        self._write()

    def _write(self) -> None:
        """Write what goes at once. When all has left, the wait for the reply begins."""
        self._must_wait_to_write = False
        try:
            while self._out:
                self._out = self._out[self._socket.send(self._out) :]
        except (BlockingIOError, ssl.SSLWantWriteError):
            self._must_wait_to_write = True
        except ssl.SSLWantReadError:
            pass
        except OSError as error:
            self._end = str(error)
        else:
            self.deadline = time.monotonic() + self._patience

    def _read(self) -> None:
        """Read what is there."""
        try:
            while True:
                data = self._socket.recv(_AT_ONCE)
                self._replies.feed(data)
                if not data:
                    self._end = self._end or "connection unexpectedly closed"
                if not data or not isinstance(self._socket, ssl.SSLSocket):
                    return
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except ssl.SSLWantWriteError:
            self._must_wait_to_write = True
        except OSError as error:
            self._end = self._end or str(error)
