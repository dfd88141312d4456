"""Runs parsers on untrusted bytes in child processes with limits on CPU, memory and time.

feedparser, trafilatura and lxml take minutes or gigabytes on input that was made for it, and a thread cannot
be stopped. So each parser is a pure function, named as ``package.module:function``, that a child calls with
bytes and plain values and that answers with plain values. They travel as JSON: what comes out of a child that
has read hostile bytes is never unpickled. A child that breaks a limit is killed and replaced.

``python -m newsletter.sandbox`` is the child; nothing but `Sandbox` starts it. It inherits neither
environment nor files, and may not connect to anything: `newsletter.fetching` is the only door.

The limits are those of POSIX. Windows is not supported, and macOS does not enforce the one on memory.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import queue
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self

START_SECONDS = 60
"""Longest wait for a child to start and import the parser: our own code, but perhaps on a busy machine."""
MAX_ANSWER_BYTES = 100_000_000
"""More than any parser has reason to answer to a few megabytes."""
_HEAD = struct.Struct(">II")
"""A frame begins with the lengths of its JSON and of its body."""
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME")
"""What some interpreters need in order to start. Everything else, secrets above all, stays with the
parent."""
_REFUSED_EVENTS = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "socket.sendto",
        "subprocess.Popen",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
    }
)
"""Audit events (https://docs.python.org/3/library/audit_events.html) of what no parser has reason to do."""

_STARTED = b'{"started": true}'

Reason = Literal["time", "memory", "crash"]


class SandboxError(Exception):
    """A parser did not come to its end. The text is one line that says which limit it broke, or what
    happened.

    ``reason`` is ``time``, ``memory`` or ``crash`` (the parser raised, or its process died).
    """

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Sandbox:
    """A small pool of children. One sandbox serves many threads.

    ``workers`` is how many parsers run at a time; further calls wait for them. ``cpu_seconds`` and
    ``wall_seconds`` are for one call, ``memory_bytes`` is the address space of a child. Children start when
    they are first needed and end with the sandbox: by ``with``, by `close`, when it is garbage, or with the
    process.
    """

    def __init__(
        self,
        workers: int = 2,
        *,
        cpu_seconds: int = 8,
        wall_seconds: float = 10.0,
        memory_bytes: int = 700_000_000,
    ) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._memory_bytes = memory_bytes
        self._slots: queue.LifoQueue[_Worker | None] = queue.LifoQueue()
        for _ in range(workers):
            self._slots.put(None)
        self._lock = threading.Lock()
        self._workers: set[_Worker] = set()
        self._end_all = weakref.finalize(self, _end_all, self._workers)

    def call(self, function: str, /, *arguments: Any, **named: Any) -> Any:
        """What ``function(*arguments, **named)`` returns, computed in a child.

        ``function`` is ``package.module:name`` of a module that can be imported here. Arguments are bytes, or
        what JSON can carry; the value is what JSON can carry. Raises SandboxError when a limit is broken or
        the function raises.
        """
        given = [*enumerate(arguments), *named.items()]
        order = {
            "function": function,
            "arguments": [[key, None if isinstance(value, bytes) else value] for key, value in given],
            "bytes": [[key, len(value)] for key, value in given if isinstance(value, bytes)],
            "cpu_seconds": self._cpu_seconds,
            "memory_bytes": self._memory_bytes,
        }
        answer = self._answer(order, b"".join(value for _, value in given if isinstance(value, bytes)))
        if "error" in answer:
            raise SandboxError(answer["error"], f"{function} {answer['text']}")
        return answer["value"]

    def close(self) -> None:
        """End all children at once; calls under way fail. To close twice does nothing."""
        with self._lock:
            self._end_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    def _answer(self, order: dict[str, Any], body: bytes) -> dict[str, Any]:
        """The answer of a worker, who goes back to its slot unless it failed or wants to retire."""
        worker = self._slots.get()
        kept = None
        try:
            worker = worker or self._hire()
            answer = worker.ask(order, body, self._wall_seconds)
            kept = None if answer.get("retire") else worker
            return answer
        except (EOFError, OSError, ValueError, RecursionError) as error:
            raise self._failure(order["function"], worker, error) from error
        finally:
            if worker is not kept:
                self._dismiss(worker)
            self._slots.put(kept)

    def _hire(self) -> _Worker:
        with self._lock:
            if not self._end_all.alive:
                raise EOFError
            worker = _Worker()
            self._workers.add(worker)
            return worker

    def _dismiss(self, worker: _Worker | None) -> None:
        if worker:
            worker.end()
            with self._lock:
                self._workers.discard(worker)

    def _failure(self, function: str, worker: _Worker | None, error: Exception) -> SandboxError:
        if not self._end_all.alive:
            return SandboxError("crash", f"{function} was not finished: the sandbox is closed")
        if isinstance(error, TimeoutError):
            return SandboxError("time", f"{function} took more than {self._wall_seconds:g} seconds")
        died_of = worker.cause_of_death() if isinstance(error, EOFError) and worker else None
        if died_of == signal.SIGXCPU:
            return SandboxError("time", f"{function} took more than {self._cpu_seconds} seconds of processor time")
        if died_of == signal.SIGKILL:
            return SandboxError("memory", f"{function} was killed by the system, which may be out of memory")
        if isinstance(error, EOFError):
            return SandboxError("crash", f"{function} crashed ({died_of.name if died_of else 'its process ended'})")
        return SandboxError("crash", f"{function} could not be run or answered nonsense ({type(error).__name__})")


def _end_all(workers: set[_Worker]) -> None:
    for worker in tuple(workers):
        worker.end()


class _Worker:
    """One child, seen from its parent."""

    def __init__(self) -> None:
        self._pipe, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "newsletter.sandbox"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                cwd="/",
                start_new_session=True,
            )

    def ask(self, order: dict[str, Any], body: bytes, wall_seconds: float) -> dict[str, Any]:
        """The child's answer. Raises TimeoutError, EOFError when it died, ValueError when it is none."""
        start = time.monotonic() + START_SECONDS
        _send(self._pipe, _encoded(order), body, start)
        answer, _ = _receive(self._pipe, start)
        if "started" in answer:
            answer, _ = _receive(self._pipe, time.monotonic() + wall_seconds)
        if not ({"value", "error"} & set(answer)):
            raise ValueError("the answer holds neither value nor error")
        return answer

    def cause_of_death(self) -> signal.Signals | None:
        """The signal that ended a child which has closed its pipe; None when it ended by itself."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return None
        return signal.Signals(-code) if code < 0 else None

    def end(self) -> None:
        """Kill the child, whatever it does. To end twice does nothing."""
        self._process.kill()
        self._process.wait()
        self._pipe.close()


def _environment() -> dict[str, str]:
    """The child's environment: where our modules are, and what its interpreter needs."""
    ours = str(Path(__file__).resolve().parent.parent)
    paths = dict.fromkeys([*(os.path.abspath(entry) for entry in sys.path), ours])
    kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}


def _encoded(head: dict[str, Any]) -> bytes:
    # Lone surrogates, which some parsers let through, would be refused by whatever stores the text later.
    return json.dumps(head, ensure_ascii=False).encode("utf-8", "replace")


def _send(pipe: socket.socket, text: bytes, body: bytes, end: float | None) -> None:
    for part in (_HEAD.pack(len(text), len(body)) + text, body):
        pipe.settimeout(_left(end))
        pipe.sendall(part)


def _receive(pipe: socket.socket, end: float | None) -> tuple[dict[str, Any], bytes]:
    text_length, body_length = _HEAD.unpack(_exactly(pipe, _HEAD.size, end))
    if text_length + body_length > MAX_ANSWER_BYTES:
        raise ValueError("the frame is too long")
    head = json.loads(_exactly(pipe, text_length, end))
    if not isinstance(head, dict):
        raise ValueError("the frame holds no object")
    return head, bytes(_exactly(pipe, body_length, end))


def _exactly(pipe: socket.socket, count: int, end: float | None) -> bytearray:
    data = bytearray(count)
    view = memoryview(data)
    while view:
        pipe.settimeout(_left(end))
        received = pipe.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return data


def _left(end: float | None) -> float | None:
    """Seconds until a moment of the monotonic clock, None for no end. Raises TimeoutError when it has
    passed."""
    if end is None:
        return None
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _main() -> None:
    """The child: serve orders from standard input, a socket, until the parent closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pipe = socket.socket(fileno=os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.addaudithook(_refuse)
    _limit(resource.RLIMIT_CORE, 0)
    while True:
        try:
            order, body = _receive(pipe, None)
        except EOFError:
            return
        _send(pipe, _obey(order, body, lambda: _send(pipe, _encoded({"started": True}), b"", None)), b"", None)


def _obey(order: dict[str, Any], body: bytes, started: Callable[[], None]) -> bytes:
    """The answer to an order: a value, or an error with its reason. Says ``started`` when time begins to
    count."""
    try:
        if sys.platform != "darwin":
            _limit(resource.RLIMIT_AS, order["memory_bytes"])
        _limit_cpu(START_SECONDS)
        module, _, name = order["function"].partition(":")
        function = getattr(importlib.import_module(module), name)
        _limit_cpu(order["cpu_seconds"])
        started()
        positional, named = _arguments(order, body)
        value = function(*positional, **named)
        return _encoded({"value": value, "retire": _peak_bytes() > order["memory_bytes"] / 2})
    except MemoryError:
        text = f"needs more than {order['memory_bytes']:,} bytes of memory"
        return _encoded({"error": "memory", "text": text, "retire": True})
    # A fence: parsers, and what they call, raise anything on hostile input, and the next order is not theirs.
    except Exception as error:
        return _encoded({"error": "crash", "text": f"failed with {_described(error)}"})


def _arguments(order: dict[str, Any], body: bytes) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of an order, by place and by name; those that are bytes follow each other in the body."""
    arguments = dict(order["arguments"])
    start = 0
    for key, length in order["bytes"]:
        arguments[key] = body[start : start + length]
        start += length
    named = {key: value for key, value in arguments.items() if isinstance(key, str)}
    return [value for key, value in arguments.items() if key not in named], named


def _described(error: Exception) -> str:
    """The kind of an error and its line; not its text, which may hold what a stranger wrote."""
    place = list(traceback.walk_tb(error.__traceback__))[-1]
    path = Path(place[0].f_code.co_filename)
    return f"{type(error).__name__} at {path.parent.name}/{path.name}:{place[1]}"


def _peak_bytes() -> int:
    """The most memory the child has held. One that has held much stays large and fragmented: it retires.

    On Linux this is VmHWM: ``ru_maxrss`` survives the exec (getrusage(2)) and would count what the parent held.
    """
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _limit_cpu(seconds: int) -> None:
    """Let the process use so much more processor time; past it, SIGXCPU ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime) + seconds)


def _limit(kind: int, value: int) -> None:
    """Set a soft limit, within the hard one, which stays so that the next order can move it."""
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _refuse(event: str, _: tuple[object, ...]) -> None:
    if event in _REFUSED_EVENTS:
        raise PermissionError(f"a parser may not do this: {event}")


if __name__ == "__main__":
    _main()
