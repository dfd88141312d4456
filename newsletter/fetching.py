"""The one door to untrusted URLs: guarded, bounded, and polite.

Feeds, pages and whatever they redirect to are other people's choice of address. The door resolves a name
once, refuses it when any of its addresses is not public, dials the very address that it checked, and does so
again for every redirect. Body, headers and time have limits that hold for a whole `get`, however slowly the
bytes come. Nothing else in the product imports httpx or httpcore.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import ipaddress
import os
import queue
import re
import socket
import ssl
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpcore
import httpx

from newsletter import __version__, retry_after

MAX_REDIRECTS = 5
MAX_URL_LENGTH = 4_000
HEAD_BYTES = 80_000
"""Most bytes of a status line, headers and all 1xx answers, with what of the body came in their last
packet."""
PER_HOST = 2
"""Requests to one host at a time; more is rude to small publishers."""
MAX_VALUE_LENGTH = 1_000
MAX_ADDRESSES = 4
MAX_GZIP_MEMBERS = 64
"""Each further member copies the rest of its packet, so endless tiny members would cost quadratic time."""
_READ_BYTES = 16_384

Reason = Literal["refused", "down", "slow", "status", "too_large", "bad_answer", "redirects"]
Resolver = Callable[[str, int], Sequence[str]]
"""Addresses of a host and port, as text. Raises OSError when there is none."""
Connector = Callable[[str, int, float], socket.socket]
"""A connected socket to an address and port, within so many seconds. Raises OSError."""

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        # https://www.iana.org/assignments/iana-ipv4-special-registry, whole blocks: nobody publishes from
        # inside them.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        # Allocated as if it were public, but inside Azure it is the machine's own host, which hands out its
        # secrets: https://learn.microsoft.com/azure/virtual-network/what-is-ip-address-168-63-129-16
        "168.63.129.16/32",
        # https://www.iana.org/assignments/iana-ipv6-special-registry, the blocks inside 2000::/3: protocol
        # assignments (Teredo, benchmarks, ORCHID), documentation, 6to4, AS112, and the 6bone that was given
        # back (RFC 3701).
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3ffe::/16",
        "3fff::/20",
    )
)
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""The only IPv6 space handed out to hosts (RFC 4291); what embeds or maps IPv4, multicast and the rest lie
outside."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What an address answered.

    ``url`` is the last of the redirects. ``body`` is unpacked; it is empty when ``not_modified``.
    ``content_type`` is the header as sent, with its parameters; ``charset`` is the parameter of that name in
    lower case, which need not be an encoding that exists. Either may be empty. ``etag`` and ``last_modified``
    are for the next `get` of the same address.
    """

    url: str
    status: int
    body: bytes
    content_type: str
    charset: str
    etag: str
    last_modified: str
    not_modified: bool


class FetchError(Exception):
    """An address could not be had. The text is one line for the owner: what and why.

    ``reason`` is one of `Reason`. ``status`` is the HTTP status, 0 without one. ``retry_after`` is how many
    seconds the server asked us to stay away, None when it did not. ``permanent`` means that it will never be
    back (410).
    """

    def __init__(
        self,
        reason: Reason,
        text: str,
        *,
        status: int = 0,
        retry_after: float | None = None,
        permanent: bool = False,
    ) -> None:
        super().__init__(text)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.permanent = permanent


def resolve_by_system(host: str, port: int) -> list[str]:
    """The addresses of a host as the system's resolver orders them. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


def connect_by_tcp(address: str, port: int, timeout: float) -> socket.socket:
    """A TCP connection to an address that is already a number, within ``timeout`` seconds. Raises OSError."""
    return socket.create_connection((address, port), timeout)


def is_public(address: str) -> bool:
    """Whether an IP address is one that publishers answer from, by our own list.

    Python's ``is_global`` is not used: in 3.11 it takes 192.0.0.192, 64:ff9b::/96, 2002::/16, fec0::/10 and
    224.0.0.0/4 for global. An address with a zone (``fe80::1%eth0``) or of no known form is not public.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and (parsed.scope_id or parsed not in _GLOBAL_UNICAST):
        return False
    return not any(parsed in network for network in _NOT_PUBLIC if network.version == parsed.version)


class Door:
    """Fetches untrusted URLs. One door serves many threads.

    ``allow`` names `host:port` pairs, exactly as URLs say them, that may be fetched though they are not
    public. ``timeout_seconds`` is for a whole `get`: waiting for a turn, names, redirects and body together.
    ``contact`` goes into our User-Agent. ``resolve`` and ``connect`` are for samples and tests, which bring
    their own names; ``tls`` is the context that certificates are checked with, by default that of httpx
    (certifi's authorities, or those that ``SSL_CERT_FILE`` names).
    """

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        timeout_seconds: float = 20.0,
        contact: str = "",
        resolve: Resolver = resolve_by_system,
        connect: Connector = connect_by_tcp,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = frozenset(_allowed_pair(entry) for entry in allow)
        self._timeout_seconds = timeout_seconds
        self._user_agent = _user_agent(contact)
        self._resolve = resolve
        self._connect = connect
        self._tls = tls or httpx.create_ssl_context()
        self._turns = _Turns()

    def get(self, url: str, *, max_bytes: int, etag: str = "", last_modified: str = "", accept: str = "*/*") -> Fetched:
        """What the URL answers, after at most five redirects.

        ``max_bytes`` limits the body, before and after unpacking. ``etag`` and ``last_modified`` are those of
        the last `Fetched`: with either, the answer may be ``not_modified``. ``accept`` is sent as the header
        of that name.

        Raises FetchError.
        """
        deadline = _Deadline(self._timeout_seconds)
        request = _Request(self._user_agent, accept, _sendable(etag), _sendable(last_modified), max_bytes)
        target = _Target.of(url)
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._ask(target, request, deadline)
            if isinstance(answer, Fetched):
                return answer
            target = answer
        raise FetchError("redirects", f"{_Target.of(url).place} redirects more than {MAX_REDIRECTS} times")

    def _ask(self, target: _Target, request: _Request, deadline: _Deadline) -> Fetched | _Target:
        """One hop: what the target answers, or where it redirects to."""
        deadline.place = target.place
        with self._turns.take(target.host, deadline):
            wire = _Wire(self._addresses(target, deadline), self._connect, deadline)
            connection = httpcore.HTTPConnection(target.origin, ssl_context=self._tls, network_backend=wire)
            with (
                _told_plainly(target.place),
                connection,
                connection.stream("GET", target.wire_url, headers=request.headers(target)) as response,
            ):
                return _Answer(response, target, request, deadline, wire).read()

    def _addresses(self, target: _Target, deadline: _Deadline) -> list[str]:
        """The addresses to dial, every one of them checked."""
        found = _distinct(self._look_up(target, deadline))
        if not found:
            raise FetchError("down", f"{target.place}: the name has no address")
        private = [address for address in found if not is_public(address)]
        if private and (target.host, target.port) not in self._allowed:
            raise FetchError("refused", _refusal(target, private[0]))
        return found[:MAX_ADDRESSES]

    def _look_up(self, target: _Target, deadline: _Deadline) -> Sequence[str]:
        """The resolver's answer, in a thread of its own: the system's resolver knows no time-out."""
        if _is_address(target.host):
            return [target.host]
        answers: queue.SimpleQueue[Sequence[str] | OSError | UnicodeError] = queue.SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(self._resolve(target.host, target.port))
            except (OSError, UnicodeError) as error:
                answers.put(error)

        threading.Thread(target=look_up, name=f"resolve {target.host}", daemon=True).start()
        try:
            answer = answers.get(timeout=deadline.remaining())
        except queue.Empty:
            raise deadline.over() from None
        if isinstance(answer, OSError | UnicodeError):
            text = f"{target.place}: the name cannot be resolved ({_why(answer)})"
            raise FetchError("down", text) from answer
        return answer


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL that we may ask for. ``redirected_by`` is the place that sent us here; empty for what was
    asked."""

    url: httpx.URL
    host: str
    port: int
    redirected_by: str = ""

    @classmethod
    def of(cls, url: str) -> _Target:
        """The target of a URL that the owner or a feed named. Raises FetchError when it is none."""
        if len(url) > MAX_URL_LENGTH:
            raise FetchError("refused", f"the URL has more than {MAX_URL_LENGTH} characters")
        try:
            return cls._checked(httpx.URL(url), "")
        except (httpx.InvalidURL, UnicodeError) as error:
            raise FetchError("refused", f"{_shown(url)} is no URL") from error

    def redirected(self, location: str) -> _Target:
        """The target of a redirect from here. Raises FetchError."""
        if not location or len(location) > MAX_URL_LENGTH:
            raise FetchError("bad_answer", f"{self.place} redirects without saying where")
        try:
            return self._checked(self.url.join(location), self.place)
        except (httpx.InvalidURL, UnicodeError) as error:
            text = f"{self.place} redirects to {_shown(location)}, which is no URL"
            raise FetchError("bad_answer", text) from error

    @classmethod
    def _checked(cls, url: httpx.URL, redirected_by: str) -> _Target:
        what = f"{redirected_by} redirects to a URL" if redirected_by else "a URL"
        if url.scheme not in ("http", "https"):
            raise FetchError("refused", f"{what} that is neither http nor https: {_shown(url.scheme)}")
        if url.userinfo:
            raise FetchError("refused", f"{what} with a user name in it, which we do not send")
        if not url.raw_host:
            raise FetchError("refused", f"{what} without a host")
        port = {"http": 80, "https": 443}[url.scheme] if url.port is None else url.port
        if not 0 < port < 65_536:
            raise FetchError("refused", f"{what} with a port that does not exist")
        host = _canonical_host(url.raw_host.decode("ascii"))
        return cls(url.copy_with(fragment=None), host, port, redirected_by)

    @property
    def place(self) -> str:
        """What error messages call it: host, and port when unusual. Never the path, which may hold a
        secret."""
        return self.url.netloc.decode("ascii")

    @property
    def pair(self) -> str:
        """`host:port` as an allow-list would name it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> httpcore.Origin:
        """Whom the connection is to: TLS checks the certificate against this name."""
        return httpcore.Origin(self.url.raw_scheme, self.url.raw_host, self.port)

    @property
    def wire_url(self) -> httpcore.URL:
        """The URL as httpcore takes it."""
        return httpcore.URL(
            scheme=self.url.raw_scheme, host=self.url.raw_host, port=self.port, target=self.url.raw_path
        )


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked at every hop."""

    user_agent: str
    accept: str
    etag: str
    last_modified: str
    max_bytes: int

    @property
    def is_conditional(self) -> bool:
        return bool(self.etag or self.last_modified)

    def headers(self, target: _Target) -> list[tuple[str, str]]:
        headers = [
            ("Host", target.place),
            ("User-Agent", self.user_agent),
            ("Accept", self.accept),
            ("Accept-Encoding", "gzip"),
            ("Connection", "close"),
        ]
        if self.etag:
            headers.append(("If-None-Match", self.etag))
        if self.last_modified:
            headers.append(("If-Modified-Since", self.last_modified))
        return headers


class _Deadline:
    """The moment when a whole `get` must be over. ``place`` is where it is at, for the message."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.place = ""

    def remaining(self) -> float:
        """Seconds left, more than none. Raises FetchError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.over()
        return left

    def over(self) -> FetchError:
        """The error of a deadline that has passed."""
        return FetchError("slow", f"{self.place} did not answer completely within {self._seconds:g} seconds")


class _Turns:
    """At most `PER_HOST` requests to a host at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Weak: a host that nobody asks is forgotten, however many hosts hostile redirects name.
        self._by_host: weakref.WeakValueDictionary[str, threading.Semaphore] = weakref.WeakValueDictionary()

    @contextlib.contextmanager
    def take(self, host: str, deadline: _Deadline) -> Iterator[None]:
        """Wait for a turn at the host and hold it. Raises FetchError when none comes in time."""
        with self._lock:
            turn = self._by_host.setdefault(host, threading.Semaphore(PER_HOST))
        if not turn.acquire(timeout=deadline.remaining()):
            raise FetchError("slow", f"{deadline.place} was busy with our other requests all the time")
        try:
            yield
        finally:
            turn.release()


class _Wire(httpcore.NetworkBackend):
    """The network as httpcore sees it: whatever host it names, only the checked addresses are dialled.

    ``allowance`` is how many bytes may still come; it starts with those of a head.
    """

    def __init__(self, addresses: Sequence[str], connect: Connector, deadline: _Deadline) -> None:
        self._addresses = addresses
        self._connect = connect
        self._deadline = deadline
        self.allowance = HEAD_BYTES

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A stream to the first address that answers; each gets its share of the time that is left."""
        failure: OSError | None = None
        for number, address in enumerate(self._addresses):
            share = self._deadline.remaining() / (len(self._addresses) - number)
            try:
                return _Stream(self._connect(address, port, share), self, self._deadline)
            except OSError as error:
                failure = error
        if isinstance(failure, TimeoutError):
            raise self._deadline.over() from failure
        raise FetchError("down", f"{self._deadline.place} cannot be reached ({_why(failure)})") from failure

    def count(self, received: int) -> None:
        """Note that bytes came. Raises FetchError when they are too many."""
        self.allowance -= received
        if self.allowance < 0:
            raise FetchError("too_large", f"{self._deadline.place} sends headers or framing without end")


class _Stream(httpcore.NetworkStream):
    """A socket of which every operation ends by the deadline, whatever time-out httpcore passes."""

    def __init__(self, connected: socket.socket, wire: _Wire, deadline: _Deadline) -> None:
        self._socket = connected
        self._wire = wire
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with self._in_time(httpcore.ReadError):
            data = self._socket.recv(min(max_bytes, _READ_BYTES))
        self._wire.count(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with self._in_time(httpcore.WriteError):
            self._socket.sendall(buffer)

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        try:
            with self._in_time(httpcore.ConnectError):
                secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return _Stream(secured, self._wire, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._socket if info == "ssl_object" and isinstance(self._socket, ssl.SSLSocket) else None

    @contextlib.contextmanager
    def _in_time(self, failure: type[httpcore.NetworkError]) -> Iterator[None]:
        self._socket.settimeout(self._deadline.remaining())
        try:
            yield
        except TimeoutError as error:
            raise self._deadline.over() from error
        except (OSError, ValueError) as error:  # ValueError: a host that TLS cannot name, or a closed socket
            raise failure(error) from error


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response whose head has come, about to be judged."""

    response: httpcore.Response
    target: _Target
    request: _Request
    deadline: _Deadline
    wire: _Wire

    def read(self) -> Fetched | _Target:
        """What it says, or where it redirects to. Raises FetchError."""
        status = self.response.status
        if status in (301, 302, 303, 307, 308):
            return self.target.redirected(self._header("location"))
        if status == 304 and self.request.is_conditional:
            return self._fetched(b"", not_modified=True)
        if status == 304:
            text = f"{self.target.place} answers 304 though we have nothing of it"
            raise FetchError("bad_answer", text, status=304)
        if status not in (200, 203):
            raise self._bad_status()
        return self._fetched(self._body())

    def _fetched(self, body: bytes, not_modified: bool = False) -> Fetched:
        content_type = _sendable(self._header("content-type"))
        charset = re.search(r";\s*charset\s*=\s*[\"']?([A-Za-z0-9._:-]{1,40})", content_type, re.IGNORECASE)
        return Fetched(
            url=str(self.target.url),
            status=self.response.status,
            body=body,
            content_type=content_type,
            charset=charset.group(1).lower() if charset else "",
            etag=_sendable(self._header("etag")) or (self.request.etag if not_modified else ""),
            last_modified=_sendable(self._header("last-modified"))
            or (self.request.last_modified if not_modified else ""),
            not_modified=not_modified,
        )

    def _header(self, name: str) -> str:
        """The header of that lower-case name; several of it are joined by commas (RFC 9110, 5.3)."""
        wanted = name.encode("ascii")
        values = (value for key, value in self.response.headers if key.lower() == wanted)
        return ", ".join(value.decode("utf-8", "replace") for value in values)

    def _bad_status(self) -> FetchError:
        status = self.response.status
        text = f"{self.target.place} answers {status} {http.client.responses.get(status, '')}".rstrip()
        waits = retry_after.seconds(self._header("retry-after"), dt.datetime.now(dt.UTC))
        return FetchError("status", text, status=status, retry_after=waits, permanent=status == 410)

    def _body(self) -> bytes:
        """The whole body, unpacked. Raises FetchError when it is too large, wrongly packed or cut off."""
        limit = self.request.max_bytes
        unpack = self._unpacker()
        # What is packed is rarely larger than what comes out; chunk sizes and trailers need some room as
        # well.
        self.wire.allowance = 2 * limit + HEAD_BYTES
        body = bytearray()
        packed = 0
        for data in self.response.iter_stream():
            self.deadline.remaining()
            packed += len(data)
            body += unpack.feed(data, limit - len(body) + 1)
            if len(body) > limit or packed > limit + HEAD_BYTES:
                raise FetchError("too_large", f"{self.target.place} sends more than {limit:,} bytes")
        unpack.finish()
        return bytes(body)

    def _unpacker(self) -> _Plain | _Gunzip:
        names = [name.strip().lower() for name in self._header("content-encoding").split(",")]
        names = [name for name in names if name not in ("", "identity")]
        if not names:
            return _Plain()
        if names in (["gzip"], ["x-gzip"]):
            return _Gunzip(self.target.place)
        how = "more than once" if len(names) > 1 else f"as {_shown(names[0])}, which we do not accept"
        raise FetchError("bad_answer", f"{self.target.place} sends its body packed {how}")


class _Plain:
    """A body that is not packed."""

    def feed(self, data: bytes, room: int) -> bytes:
        return data

    def finish(self) -> None:
        """Nothing can be missing: httpcore has counted the bytes."""


class _Gunzip:
    """Unpacks gzip (RFC 1952), several members too, never more than asked for."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._members = 0
        self._member: Any = None  # typeshed names the type of zlib.decompressobj() only privately
        self._ended = False

    def feed(self, data: bytes, room: int) -> bytes:
        """The next bytes, at most ``room`` of them: what is beyond is lost, so the caller must stop there."""
        out = bytearray()
        while data and not self._ended and len(out) < room:
            if self._member is None:
                self._begin()
            try:
                out += self._member.decompress(data, room - len(out))
            except zlib.error as error:
                raise FetchError("bad_answer", f"{self._place} sends a damaged gzip body") from error
            data = self._member.unused_data
            if self._member.eof:
                self._member = None
                # Padding after a member is common and means nothing; only gzip's magic number begins another.
                self._ended = bool(data) and not b"\x1f\x8b".startswith(data[:2])
        return bytes(out)

    def finish(self) -> None:
        if self._member is not None:
            raise FetchError("bad_answer", f"{self._place} breaks off in the middle of its gzip body")

    def _begin(self) -> None:
        self._members += 1
        if self._members > MAX_GZIP_MEMBERS:
            raise FetchError("bad_answer", f"{self._place} sends a gzip body in too many members")
        self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)


@contextlib.contextmanager
def _told_plainly(place: str) -> Iterator[None]:
    """Turn what httpcore raises into FetchError. Its texts are not passed on: they may quote the server."""
    try:
        yield
    except httpcore.RemoteProtocolError as error:
        cut = str(error).startswith(("peer closed", "Server disconnected"))
        text = "breaks off before its answer is complete" if cut else "does not answer in proper HTTP"
        raise FetchError("bad_answer", f"{place} {text}") from error
    except httpcore.LocalProtocolError as error:
        raise FetchError("refused", f"{place}: the request cannot be written as HTTP") from error
    except httpcore.ConnectError as error:
        raise FetchError("down", f"{place}: no secure connection ({_why(error.__cause__)})") from error
    except httpcore.NetworkError as error:
        raise FetchError("down", f"{place}: the connection broke ({_why(error.__cause__)})") from error


def _allowed_pair(entry: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"{entry!r} is not host:port, such as 127.0.0.1:8800")
    return _canonical_host(host), int(port)


def _canonical_host(host: str) -> str:
    """One spelling per host: lower case, and addresses as `ipaddress` writes them, without brackets."""
    host = host.lower().removeprefix("[").removesuffix("]")
    return str(ipaddress.ip_address(host)) if _is_address(host) else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _user_agent(contact: str) -> str:
    printable = re.sub(r"[^\x21-\x7e]+", " ", contact).strip()
    return f"newsletter/{__version__} (+{printable})" if printable else f"newsletter/{__version__}"


def _sendable(value: str) -> str:
    """A header's value as it could be sent back; empty when it could not."""
    fits = len(value) <= MAX_VALUE_LENGTH and re.fullmatch(r"[\x20-\x7e]*", value)
    return value.strip() if fits else ""


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _refusal(target: _Target, address: str) -> str:
    whose = target.host if target.host == address else f"{target.host} ({_shown(address)})"
    if target.redirected_by:
        return f"{target.redirected_by} redirects to {whose}, which is not a public address"
    mend = f"if it is yours, add `{target.pair}` to `fetching.allow`"
    return f"{whose} is not a public address; {mend}"


def _shown(text: str) -> str:
    """Foreign text in a message of ours: short, and nothing in it that a terminal obeys."""
    return ascii(text if len(text) <= 60 else text[:57] + "...")


def _why(error: BaseException | None) -> str:
    """The cause of an error in a few words, without errno, object addresses or quotes from the server."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or 'failed').lower().replace('_', ' ')}"
    if isinstance(error, socket.gaierror):
        return (error.strerror or "no such name").lower()
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, UnicodeError):
        return "not a possible name"
    return "it ended early"
