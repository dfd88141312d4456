"""The door to untrusted URLs: what it refuses, what it bounds, and that nothing leaves the machine
unchecked."""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from newsletter import __version__
from newsletter.fetching import (
    HEAD_BYTES,
    MAX_REDIRECTS,
    PER_HOST,
    Connector,
    Door,
    FetchError,
    Resolver,
    connect_by_tcp,
    is_public,
    resolve_by_system,
)
from tests.newsletter.loopback import Answer, Server, reply


def gzipped(data: bytes) -> bytes:
    """The data as gzip, without the time in it: cases are named by their bytes, which every process must find alike."""
    return gzip.compress(data, mtime=0)


PUBLIC = "198.41.0.4"
"""Stands for any public address; the connector of these tests never dials it."""
TRUSTING_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Saves each test the 20 ms of loading the real authorities, which no test needs."""

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a9fe:a9fe::",
    "2620:4f:8000::1",
    "3ffe::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%lo",
    "fec0::1",
    "ff02::1",
    "2606:4700::1%1",
    "",
    "127.1",
    "0x7f000001",
    "2130706433",
    "localhost",
]
ODD_SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "0",
    "017700000001",
]


class World:
    """Names and addresses that exist in one test only: every dial is recorded and ends on a loopback
    server."""

    def __init__(self) -> None:
        self.names: dict[str, list[Sequence[str]]] = {}
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.port = 0

    def resolve(self, host: str, port: int) -> Sequence[str]:
        """The next answer for the name; the last one again and again."""
        self.asked.append(host)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        answers = self.names[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def connect(self, address: str, port: int, timeout: float) -> socket.socket:
        self.dialled.append((address, port))
        return connect_by_tcp("127.0.0.1", self.port, timeout)

    def door(
        self,
        server: Server | None = None,
        *,
        allow: Sequence[str] = (),
        timeout_seconds: float = 3.0,
        resolve: Resolver | None = None,
        connect: Connector | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Door:
        """A door to this world, of which the server is all there is behind the addresses."""
        if server:
            self.port = server.port
        return Door(
            allow=allow,
            timeout_seconds=timeout_seconds,
            resolve=resolve or self.resolve,
            connect=connect or self.connect,
            tls=tls or TRUSTING_NOBODY,
        )


@pytest.fixture
def world() -> World:
    made = World()
    made.names["public.example.com"] = [[PUBLIC]]
    return made


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that end with the test."""
    servers: list[Server] = []

    def start(*answers: Answer, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(*answers, tls=tls))
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


Serve = Callable[..., Server]


def failure(door: Door, url: str, max_bytes: int = 100_000, etag: str = "") -> FetchError:
    """The error of a URL that cannot be had; its text is one printable line."""
    with pytest.raises(FetchError) as caught:
        door.get(url, max_bytes=max_bytes, etag=etag)
    assert str(caught.value).isprintable() and 10 < len(str(caught.value)) < 300
    return caught.value


def loopback_door(server: Server, timeout_seconds: float = 3.0) -> Door:
    return Door(allow=[server.place], timeout_seconds=timeout_seconds, tls=TRUSTING_NOBODY)


# Addresses


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_of_no_publisher_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "1.1.1.1", "192.0.1.1", "172.32.0.1", "223.255.255.255"])
def test_an_ordinary_ipv4_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["2606:4700::6810:84e5", "2a00:1450:4001:81b::200e", "2001:4860:4860::8888"])
def test_an_ordinary_ipv6_address_is_public(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_what_we_call_public_python_calls_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    assert not is_public(str(address)) or (address.is_global and not address.is_multicast)


@given(st.ip_addresses(v=4))
def test_no_ipv6_form_that_carries_an_ipv4_address_is_public(address: ipaddress.IPv4Address) -> None:
    embedded = int(address)
    for prefix, shift in (("::", 0), ("::ffff:0:0", 0), ("64:ff9b::", 0), ("64:ff9b:1::", 0), ("2002::", 80)):
        assert not is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | embedded << shift)))


@pytest.mark.parametrize("address", [address for address in NOT_PUBLIC if address])
def test_a_name_with_a_private_address_is_refused_and_nothing_is_dialled(world: World, address: str) -> None:
    world.names["inside.example.com"] = [[address]]
    assert failure(world.door(), "http://inside.example.com/").reason == "refused"
    assert world.dialled == []


@pytest.mark.parametrize("answers", [[PUBLIC, "10.0.0.1"], ["127.0.0.1", PUBLIC], [PUBLIC] * 9 + ["::1"]])
def test_one_private_address_among_public_ones_refuses_the_name(world: World, answers: list[str]) -> None:
    world.names["mixed.example.com"] = [answers]
    assert failure(world.door(), "http://mixed.example.com/").reason == "refused"
    assert world.dialled == []


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "169.254.169.254", "[fe80::1]"]
)
def test_a_private_address_in_the_url_is_refused_without_a_resolver(world: World, host: str) -> None:
    error = failure(world.door(), f"http://{host}/latest/meta-data/")
    assert error.reason == "refused" and world.asked == [] and world.dialled == []


@pytest.mark.parametrize("host", ODD_SPELLINGS)
def test_an_odd_spelling_of_loopback_is_never_dialled(world: World, host: str) -> None:
    # The system's resolver reads these without asking anyone: they are numbers to it.
    door = world.door(resolve=resolve_by_system)
    assert failure(door, f"http://{host}/").reason in ("refused", "down")
    assert world.dialled == []


@pytest.mark.parametrize(
    "host", ["①②⑦.0.0.1", "127。0。0。1", "127.0.0.1%2f", "\uff11\uff12\uff17.0.0.1", "exa mple.com", "a..b"]
)
def test_unicode_and_escapes_do_not_hide_an_address(world: World, host: str) -> None:
    assert failure(world.door(), f"http://{host}/").reason in ("refused", "down")
    assert world.dialled == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "feed.xml",
        "//public.example.com/",
        "ftp://public.example.com/",
        "file:///etc/passwd",
        "gopher://public.example.com/",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://public.example.com:99999/",
        "http://public.example.com:port/",
        "http://user@public.example.com/",
        "http://user:secret@public.example.com/",
        "http://public.example.com\\@127.0.0.1/",
        "http://[::1/",
        "http://public.example.com/\r\nHost: inside",
        "http://public.example.com/" + "a" * 5_000,
    ],
)
def test_what_is_no_plain_web_address_is_refused(world: World, url: str) -> None:
    error = failure(world.door(), url)
    assert error.reason in ("refused", "down") and "secret" not in str(error)
    assert world.dialled == []


def test_the_checked_address_is_dialled_and_the_name_is_resolved_once(world: World, serve: Serve) -> None:
    server = serve(reply(b"hello"))
    world.names["turns.example.com"] = [[PUBLIC], ["127.0.0.1"]]
    assert world.door(server).get("http://turns.example.com:8080/a?b=1#c", max_bytes=100).body == b"hello"
    assert world.asked == ["turns.example.com"] and world.dialled == [(PUBLIC, 8080)]
    assert server.requests[0].startswith(b"GET /a?b=1 HTTP/1.1\r\nHost: turns.example.com:8080\r\n")


def test_a_name_that_changes_its_address_between_hops_is_checked_again(world: World, serve: Serve) -> None:
    server = serve(reply(status="302 Found", location="/again"))
    world.names["turns.example.com"] = [[PUBLIC], ["127.0.0.1"]]
    assert failure(world.door(server), "http://turns.example.com/").reason == "refused"
    assert world.dialled == [(PUBLIC, 80)]


def test_the_next_address_is_dialled_when_the_first_does_not_answer(world: World, serve: Serve) -> None:
    server = serve(reply(b"hello"))
    world.names["two.example.com"] = [[PUBLIC, "198.41.0.5"]]

    def connect(address: str, port: int, timeout: float) -> socket.socket:
        if address == PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        return world.connect(address, port, timeout)

    assert world.door(server, connect=connect).get("http://two.example.com/", max_bytes=100).status == 200
    assert world.dialled == [("198.41.0.5", 80)]


def test_the_allow_list_is_exact_in_host_and_port(world: World, serve: Serve) -> None:
    server = serve(reply(b"hello"))
    world.names["home.example.com"] = [["127.0.0.1"]]
    door = world.door(server, allow=["home.example.com:8080"])
    assert door.get("http://HOME.example.com:8080/", max_bytes=100).body == b"hello"
    for url in ("http://home.example.com/", "https://home.example.com/", "http://127.0.0.1:8080/"):
        assert failure(door, url).reason == "refused"
    assert world.dialled == [("127.0.0.1", 8080)]


def test_an_address_of_the_allow_list_has_one_spelling(world: World, serve: Serve) -> None:
    door = world.door(serve(reply(b"hello")), allow=["[::1]:8080"])
    assert door.get("http://[0:0:0:0:0:0:0:1]:8080/", max_bytes=100).status == 200


def test_a_refusal_names_the_key_that_mends_it(world: World) -> None:
    world.names["home.example.com"] = [["10.0.0.1"]]
    assert "`home.example.com:80` to `fetching.allow`" in str(failure(world.door(), "http://home.example.com/"))


def test_an_allow_list_without_port_is_an_error() -> None:
    with pytest.raises(ValueError, match="host:port"):
        Door(allow=["example.com"])


def test_a_proxy_of_the_environment_is_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(reply(b"proxy")), serve(reply(b"direct"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.url)
    assert loopback_door(server).get(server.url, max_bytes=100).body == b"direct"
    assert proxy.requests == []


# Redirects


@pytest.mark.parametrize("address", [address for address in NOT_PUBLIC if address and "%" not in address])
def test_a_redirect_to_a_private_address_is_refused(world: World, serve: Serve, address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    server = serve(reply(status="301 Moved Permanently", location=f"http://{host}/secret"))
    door = world.door(server)
    error = failure(door, "http://public.example.com/feed")
    assert error.reason in ("refused", "down") and "fetching.allow" not in str(error)
    assert world.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://public.example.com/",
        "http://u:p@public.example.com/",
        "javascript:x",
        "http://[",
        "",
    ],
)
def test_a_redirect_to_no_plain_web_address_is_an_error(world: World, serve: Serve, location: str) -> None:
    server = serve(reply(status="302 Found", location=location))
    error = failure(world.door(server), "http://public.example.com/")
    assert error.reason in ("refused", "bad_answer", "down")
    assert len(server.requests) == 1 and world.dialled == [(PUBLIC, 80)]


def test_redirects_are_followed_and_the_last_url_is_told(world: World, serve: Serve) -> None:
    hops = [reply(status=f"{status} x", location=f"next{status}") for status in (301, 302, 303, 307, 308)]
    server = serve(*hops, reply(b"there"))
    fetched = world.door(server).get("http://public.example.com/a/b", max_bytes=100)
    assert (fetched.body, fetched.url) == (b"there", "http://public.example.com/a/next308")
    assert len(server.requests) == MAX_REDIRECTS + 1


def test_a_redirect_loop_ends(world: World, serve: Serve) -> None:
    server = serve(reply(status="302 Found", location="/again"))
    assert failure(world.door(server), "http://public.example.com/").reason == "redirects"
    assert len(server.requests) == MAX_REDIRECTS + 1


def test_the_body_of_a_redirect_is_not_read(world: World, serve: Serve) -> None:
    endless = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 999999999\r\n\r\n"
    server = serve(endless, reply(b"there"))
    assert world.door(server).get("http://public.example.com/", max_bytes=100).body == b"there"


# Time


def drip(pause: float, start: bytes, piece: bytes) -> Answer:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while True:
            time.sleep(pause)
            connection.sendall(piece)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        drip(0.05, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        drip(0.05, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        drip(0.05, b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
        drip(0.05, b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        drip(0.05, b"HTT", b"P"),
        drip(5, b"", b""),
        drip(5, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b""),
    ],
)
def test_a_server_that_drips_is_given_up_in_time(serve: Serve, answer: Answer) -> None:
    server = serve(answer)
    began = time.monotonic()
    error = failure(loopback_door(server, timeout_seconds=0.4), server.url)
    assert error.reason == "slow" or str(error).endswith("proper HTTP")
    assert time.monotonic() - began < 1.5


def test_the_deadline_is_for_all_redirects_together(serve: Serve) -> None:
    def slow_hop(connection: socket.socket, _: bytes) -> None:
        time.sleep(0.2)
        connection.sendall(reply(status="302 Found", location="/again"))

    server = serve(slow_hop)
    began = time.monotonic()
    assert failure(loopback_door(server, timeout_seconds=0.5), server.url).reason == "slow"
    assert time.monotonic() - began < 1.5 and len(server.requests) <= 3


def test_a_resolver_that_hangs_is_given_up_in_time(world: World) -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> Sequence[str]:
        release.wait(10)
        return [PUBLIC]

    began = time.monotonic()
    assert failure(world.door(resolve=resolve, timeout_seconds=0.3), "http://public.example.com/").reason == "slow"
    assert time.monotonic() - began < 1.5
    release.set()


def test_a_tls_handshake_that_never_ends_is_given_up_in_time(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        world.port = silent.getsockname()[1]
        door = world.door(timeout_seconds=0.3)
        began = time.monotonic()
        assert failure(door, "https://public.example.com/").reason == "slow"
        assert time.monotonic() - began < 1.5


def test_a_connection_that_is_never_accepted_is_given_up_in_time(world: World) -> None:
    def connect(address: str, port: int, timeout: float) -> socket.socket:
        time.sleep(timeout)
        raise TimeoutError

    world.names["many.example.com"] = [["198.41.0.4", "198.41.0.5", "198.41.0.6"]]
    began = time.monotonic()
    assert failure(world.door(connect=connect, timeout_seconds=0.3), "http://many.example.com/").reason == "slow"
    assert time.monotonic() - began < 1.5


def test_a_host_gets_two_requests_at_a_time(serve: Serve) -> None:
    # A turn ends with the answer, before the server knows that the connection is closed: so requests are counted,
    # from their head to just before their answer, and not connections.
    lock, waiting, most = threading.Lock(), 0, 0

    def answer(connection: socket.socket, _: bytes) -> None:
        nonlocal waiting, most
        with lock:
            waiting += 1
            most = max(most, waiting)
        time.sleep(0.05)
        with lock:
            waiting -= 1
        connection.sendall(reply(b"x"))

    server = serve(answer)
    door = loopback_door(server)
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: door.get(server.url, max_bytes=10).body, range(8)))
    assert bodies == [b"x"] * 8 and most == PER_HOST


def test_a_request_that_gets_no_turn_ends_in_time(serve: Serve) -> None:
    server = serve(drip(0.05, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"))
    door = loopback_door(server, timeout_seconds=0.4)
    began = time.monotonic()
    with ThreadPoolExecutor(6) as pool:
        reasons = {error.reason for error in pool.map(lambda _: failure(door, server.url), range(6))}
    assert reasons == {"slow"} and time.monotonic() - began < 2


# Size


def endless(start: bytes, piece: bytes) -> Answer:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"y" * 5_000 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nX-More: ", b"y" * 5_000),
        endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;" + b"e" * 5_000 + b"\r\nx\r\n"),
        endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 60_000),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"4e20\r\n" + b"x" * 20_000 + b"\r\n"),
        endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 1_000),
        endless(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", gzipped(b"") * 1_000),
    ],
)
def test_an_endless_answer_is_cut(serve: Serve, answer: Answer) -> None:
    server = serve(answer)
    assert failure(loopback_door(server), server.url).reason in ("too_large", "bad_answer")


def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_not(serve: Serve) -> None:
    server = serve(reply(b"x" * 1_000))
    assert len(loopback_door(server).get(server.url, max_bytes=1_000).body) == 1_000
    assert failure(loopback_door(server), server.url, max_bytes=999).reason == "too_large"


def test_the_limit_holds_for_what_comes_out_of_gzip(serve: Serve) -> None:
    server = serve(reply(gzipped(b"x" * 1_000), content_encoding="gzip"))
    assert loopback_door(server).get(server.url, max_bytes=1_000).body == b"x" * 1_000
    assert failure(loopback_door(server), server.url, max_bytes=999).reason == "too_large"


@pytest.mark.slow
def test_a_gzip_bomb_is_cut_long_before_it_is_unpacked(serve: Serve) -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(500)), packer.flush()])
    server = serve(reply(bomb, content_encoding="gzip"))
    began = time.monotonic()
    assert failure(loopback_door(server), server.url, max_bytes=5_000_000).reason == "too_large"
    assert time.monotonic() - began < 1.0


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("padding", [b"", b"\0" * 20, b"trailing text"])
def test_gzip_in_members_and_with_padding_is_unpacked(serve: Serve, members: int, padding: bytes) -> None:
    body = b"".join(gzipped(f"part {number}\n".encode()) for number in range(members)) + padding
    server = serve(reply(body, content_encoding="x-gzip"))
    expected = "".join(f"part {number}\n" for number in range(members)).encode()
    assert loopback_door(server).get(server.url, max_bytes=1_000).body == expected


def test_an_empty_body_that_is_called_gzip_is_empty(serve: Serve) -> None:
    server = serve(reply(b"", content_encoding="gzip"))
    assert loopback_door(server).get(server.url, max_bytes=1_000).body == b""


@pytest.mark.parametrize(
    "encoding", ["gzip, gzip", "gzip, br", "br", "zstd", "deflate", "compress", "\x1b[31m", "x" * 999]
)
def test_other_and_stacked_encodings_are_refused(serve: Serve, encoding: str) -> None:
    server = serve(reply(gzipped(gzipped(b"x")), content_encoding=encoding))
    assert failure(loopback_door(server), server.url).reason == "bad_answer"


def test_we_accept_gzip_and_nothing_else(serve: Serve) -> None:
    server = serve(reply(b""))
    loopback_door(server).get(server.url, max_bytes=10)
    assert b"\r\nAccept-Encoding: gzip\r\n" in server.requests[0]


# Broken answers


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 3\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffffff\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n",
        b"HTTP/1.1 99999 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"<html>no head at all</html>",
        b"\xff\xfe\x00\x01" * 50,
        b"HTTP/1.1 302 Found\r\n\r\n",
        reply(gzipped(b"x" * 5_000)[:-20], content_encoding="gzip"),
        reply(b"this is not gzip", content_encoding="gzip"),
        reply(b"x", status="304 Not Modified"),
        reply(gzipped(b"") * 100, content_encoding="gzip"),
    ],
)
def test_a_broken_answer_is_an_error_of_one_line(serve: Serve, answer: bytes) -> None:
    server = serve(answer)
    assert failure(loopback_door(server), server.url).reason == "bad_answer"


def test_a_connection_that_is_reset_is_down(serve: Serve) -> None:
    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        # With a zero linger a close is a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()

    server = serve(answer)
    assert failure(loopback_door(server), server.url).reason in ("down", "bad_answer")


def test_a_refused_connection_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    error = failure(Door(allow=[f"127.0.0.1:{port}"]), f"http://127.0.0.1:{port}/")
    assert error.reason == "down" and "refused" in str(error)


def test_an_unknown_name_is_down(world: World) -> None:
    error = failure(world.door(), "http://nowhere.example.com/")
    assert error.reason == "down" and "resolved" in str(error)


def test_a_name_without_address_is_down(world: World) -> None:
    world.names["empty.example.com"] = [[]]
    assert failure(world.door(), "http://empty.example.com/").reason == "down"


def test_an_impossible_name_is_down(world: World) -> None:
    door = world.door(resolve=resolve_by_system)
    assert failure(door, f"http://{'a' * 70}.example.com/").reason == "down"
    assert world.dialled == []


def test_errors_do_not_tell_the_path_which_may_hold_a_secret(serve: Serve) -> None:
    server = serve(reply(status="404 Not Found"))
    assert "token" not in str(failure(loopback_door(server), server.url + "feed?token=1"))


# Answers


def test_a_page_is_fetched_with_its_type_and_validators(serve: Serve) -> None:
    headers = {
        "content_type": 'Text/HTML; Charset="ISO-8859-1"',
        "etag": 'W/"a"',
        "last_modified": "yesterday",
    }
    server = serve(reply(b"<p>hello", **headers))
    fetched = loopback_door(server).get(server.url, max_bytes=100)
    assert (fetched.status, fetched.body, fetched.not_modified) == (200, b"<p>hello", False)
    assert (fetched.content_type, fetched.charset) == ('Text/HTML; Charset="ISO-8859-1"', "iso-8859-1")
    assert (fetched.etag, fetched.last_modified) == ('W/"a"', "yesterday")


def test_an_answer_without_headers_is_taken(serve: Serve) -> None:
    server = serve(b"HTTP/1.0 200 OK\r\n\r\nhello")
    fetched = loopback_door(server).get(server.url, max_bytes=100)
    assert (fetched.body, fetched.content_type, fetched.charset, fetched.etag) == (b"hello", "", "", "")


def test_validators_are_sent_and_304_is_not_modified(serve: Serve) -> None:
    server = serve(b"HTTP/1.1 304 Not Modified\r\n\r\n")
    date = "Sun, 01 Mar 2026 12:00:00 GMT"
    fetched = loopback_door(server).get(server.url, max_bytes=100, etag='"a"', last_modified=date)
    assert fetched.not_modified and fetched.body == b""
    assert (fetched.etag, fetched.last_modified) == ('"a"', date)
    assert b'\r\nIf-None-Match: "a"\r\n' in server.requests[0]
    assert f"\r\nIf-Modified-Since: {date}\r\n".encode() in server.requests[0]


@pytest.mark.parametrize("etag", ['"a"\r\nX-Injected: 1', '"' + "a" * 2_000 + '"', '"ä\udc80"', "\x00"])
def test_a_validator_that_is_no_header_is_not_sent(serve: Serve, etag: str) -> None:
    server = serve(reply(b"x"))
    assert loopback_door(server).get(server.url, max_bytes=100, etag=etag).body == b"x"
    assert b"If-None-Match" not in server.requests[0] and b"Injected" not in server.requests[0]


def test_our_user_agent_names_product_version_and_contact(serve: Serve) -> None:
    server = serve(reply(b"x"))
    Door(allow=[server.place], contact="owner@example.com\r\nX: 1 ü").get(server.url, max_bytes=100)
    Door(allow=[server.place]).get(server.url, max_bytes=100)
    first = f"\r\nUser-Agent: newsletter/{__version__} (+owner@example.com X: 1)\r\n"
    assert first.encode() in server.requests[0]
    assert f"\r\nUser-Agent: newsletter/{__version__}\r\n".encode() in server.requests[1]


def test_accept_is_sent_as_asked(serve: Serve) -> None:
    server = serve(reply(b"x"))
    loopback_door(server).get(server.url, max_bytes=100, accept="text/html")
    assert b"\r\nAccept: text/html\r\n" in server.requests[0]


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 418, 429, 451, 500, 503, 599])
def test_another_status_is_an_error_with_its_number(serve: Serve, status: int) -> None:
    server = serve(reply(status=f"{status} \x1b[31mwhatever"))
    error = failure(loopback_door(server), server.url)
    assert (error.reason, error.status, error.permanent, error.retry_after) == ("status", status, False, None)
    assert f"answers {status}" in str(error) and "whatever" not in str(error)


def test_410_is_permanent(serve: Serve) -> None:
    server = serve(reply(status="410 Gone"))
    assert failure(loopback_door(server), server.url).permanent


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_a_wait_that_is_asked_for_is_told(serve: Serve, status: str) -> None:
    server = serve(reply(status=status, retry_after="120"))
    assert failure(loopback_door(server), server.url).retry_after == 120.0


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-made certificate for public.example.com, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1))
        .not_valid_after(dt.datetime(2120, 1, 1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("public.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return file


def test_over_tls_the_name_goes_into_sni_and_host_and_the_certificate_is_checked_against_it(
    world: World, serve: Serve, certificate: Path
) -> None:
    asked: list[str | None] = []
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    server_side.sni_callback = lambda _connection, name, _context: asked.append(name)
    server = serve(reply(b"secret"), tls=server_side)
    trusting = ssl.create_default_context(cafile=str(certificate))
    door = world.door(server, tls=trusting)
    assert door.get("https://public.example.com/", max_bytes=100).body == b"secret"
    assert asked == ["public.example.com"] and world.dialled == [(PUBLIC, 443)]
    assert b"\r\nHost: public.example.com\r\n" in server.requests[0]

    world.names["other.example.com"] = [[PUBLIC]]
    error = failure(door, "https://other.example.com/")
    assert error.reason == "down" and "certificate" in str(error)
    assert len(server.requests) == 1


def test_a_certificate_that_nobody_vouches_for_is_an_error(world: World, serve: Serve, certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    server = serve(reply(b"secret"), tls=server_side)
    world.port = server.port
    door = Door(resolve=world.resolve, connect=world.connect)
    error = failure(door, "https://public.example.com/")
    assert error.reason == "down" and "certificate" in str(error) and server.requests == []


def test_a_server_that_speaks_no_tls_is_down(world: World, serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def talk() -> None:
            connection, _ = plain.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.recv(1_000)

        threading.Thread(target=talk, daemon=True).start()
        world.port = plain.getsockname()[1]
        door = world.door()
        error = failure(door, "https://public.example.com/")
    assert error.reason == "down" and "secure connection" in str(error)


def test_one_door_serves_many_threads(serve: Serve) -> None:
    servers = [serve(reply(f"server {number}".encode() * 1_000)) for number in range(5)]
    door = Door(allow=[server.place for server in servers])
    with ThreadPoolExecutor(10) as pool:
        bodies = list(pool.map(lambda number: door.get(servers[number % 5].url, max_bytes=20_000).body, range(50)))
    assert bodies == [f"server {number % 5}".encode() * 1_000 for number in range(50)]


def test_a_long_but_sane_head_is_taken(serve: Serve) -> None:
    headers = {f"x_{number}": "y" * 500 for number in range(40)}
    server = serve(reply(b"hello", **headers))
    assert HEAD_BYTES > 20_000
    assert loopback_door(server).get(server.url, max_bytes=100).body == b"hello"
