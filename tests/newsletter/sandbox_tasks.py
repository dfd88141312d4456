"""What the tests of the sandbox run in its children: good parsers, greedy ones, and ones that die."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any


def describe(body: bytes, *others: Any, **named: Any) -> dict[str, Any]:
    return {
        "length": len(body),
        "others": [other.decode() if isinstance(other, bytes) else other for other in others],
        "named": {key: value.decode() if isinstance(value, bytes) else value for key, value in named.items()},
    }


def process() -> int:
    return os.getpid()


def pause(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def spin() -> None:
    while True:
        pass


def eat() -> int:
    return len([bytearray(10_000_000) for _ in range(1_000)])


def eat_some(megabytes: int) -> int:
    hoard = bytearray(megabytes * 1_000_000)
    for place in range(0, len(hoard), 1_000):
        hoard[place] = 1
    return os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def leave() -> None:
    os._exit(0)


def fail(text: str) -> None:
    raise ValueError(text)


def recurse() -> None:
    recurse()


def answer_nonsense() -> object:
    return object()


def answer_surrogates() -> str:
    return "a\udc80b"


def answer_much() -> str:
    return "x" * 101_000_000


def surroundings() -> dict[str, Any]:
    return {
        "environment": dict(os.environ),
        "files": [number for number in range(3, 256) if _is_open(number)],
        "input": sys.stdin.read(),
        "interrupt": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "group": os.getpgid(0),
    }


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def call_out(port: int) -> None:
    socket.create_connection(("127.0.0.1", port))


def ask_for_a_name() -> None:
    socket.getaddrinfo("localhost", 80)


def start_a_program() -> None:
    subprocess.run(["true"], check=True)


def write_to_the_terminal() -> str:
    print("noise")
    sys.stderr.write("noise")
    return "quiet"
