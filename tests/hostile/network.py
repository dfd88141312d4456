"""Run inside a network namespace: listens where nobody must connect, sends the door there, and counts.

``unshare --user --map-root-user --net python -m tests.hostile.network`` prints what happened as JSON.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from urllib.parse import unquote

from newsletter.fetching import Door, FetchError
from tests.hostile.catalogue.addresses import REFUSED
from tests.hostile.publisher import path_of
from tests.newsletter.loopback import Server, reply

IPV4 = (
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.1.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.192",
    "192.168.1.1",
    "198.18.0.1",
)
IPV6 = ("fd00::1", "fd00:ec2::254", "fec0::1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:a9fe:a9fe::1")
PORT = 80
_NAMES = {"private.example.com": "10.0.0.1", "metadata.example.com": "169.254.169.254", "six.example.com": "fd00::1"}


class Listener:
    """Takes connections on every address of the machine, and notes to which of them they came."""

    def __init__(self) -> None:
        self.connections: list[str] = []
        self._socket = socket.create_server(("::", PORT), family=socket.AF_INET6, dualstack_ipv6=True)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                self.connections.append(connection.getsockname()[0].removeprefix("::ffff:"))
                with contextlib.suppress(OSError):
                    connection.sendall(reply(b"secrets"))


def main() -> None:
    """Set the network up, try the door, print the counts."""
    listening = list(_addresses())
    listener = Listener()
    reachable = [address for address in listening if _reaches(address)]
    del listener.connections[:]
    with Server(_answer) as server:
        door = Door(allow=[server.place], timeout_seconds=5, resolve=_resolve)
        urls = [*_urls(), *(f"{server.url}?{url}" for url in _urls())]
        answered = [url for url in urls if _is_answered(door, url)]
        allowed = door.get(server.url, max_bytes=1_000).body.decode()
    time.sleep(0.2)
    found = {
        "listening": len(listening),
        "reachable": len(reachable),
        "asked": len(urls),
        "answered": answered,
        "connections": list(listener.connections),
        "allowed": allowed,
    }
    print(json.dumps(found))


def _addresses() -> Iterator[str]:
    """Bring the loopback interface up with all those addresses; yields those that it took."""
    _ip("link", "set", "lo", "up")
    for address in (*IPV4, *IPV6):
        if _ip("address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo", "nodad") or _ip(
            "address", "add", f"{address}/{128 if ':' in address else 32}", "dev", "lo"
        ):
            yield address
    yield "127.0.0.1"
    yield "127.8.8.8"


def _ip(*arguments: str) -> bool:
    return subprocess.run(["ip", *arguments], capture_output=True, timeout=30, check=False).returncode == 0


def _reaches(address: str) -> bool:
    """Whether a plain connection is taken there."""
    with socket.create_connection((address, PORT), 5) as connection:
        return b"secrets" in connection.recv(1_000)


def _urls() -> Iterator[str]:
    """Every spelling of what is refused, every address of the interface, and names that lead there."""
    hosts = (*REFUSED.values(), *IPV4, *(f"[{address}]" for address in IPV6), *_NAMES)
    return (f"http://{host}/" for host in dict.fromkeys(hosts))


def _answer(connection: socket.socket, head: bytes) -> None:
    """Redirect to what the query names; without one, answer."""
    location = unquote(path_of(head).partition("?")[2])
    moved = reply(b"", "302 Found", location=location)
    connection.sendall(moved if location else reply(b"let in by its name and port"))


def _is_answered(door: Door, url: str) -> bool:
    """Whether the door brings anything back from there."""
    try:
        return bool(door.get(url, max_bytes=1_000))
    except FetchError:
        return False


def _resolve(host: str, port: int) -> list[str]:
    """The names of this network; anything else as the system reads it, which knows odd spellings of addresses."""
    if host in _NAMES:
        return [_NAMES[host]]
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


if __name__ == "__main__":
    main()
