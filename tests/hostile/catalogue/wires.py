"""Answers that are wrong as HTTP: bombs, endless and dripping ones, wrong lengths, cut bodies, broken chunks."""

from __future__ import annotations

import gzip
import socket
import zlib

from newsletter.intake import FAILED
from tests.hostile.publisher import (
    FEED,
    FIRST,
    GOOD,
    MAX_FEED_BYTES,
    SECOND,
    Behaviour,
    forever,
    good,
    hang_up,
    late,
    rss,
    served,
)
from tests.newsletter.loopback import Answer, reply

_FEED = rss(good(0), good(1), good(2)).encode()
_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/rss+xml\r\n"
_SLOW = {"patience": 0.4, "within": 3.0}
_TOO_SLOW = "did not answer completely within 0.4 seconds"
_ENDLESS = "headers or framing without end"
_CUT = "breaks off before its answer is complete"
_NO_HTTP = "does not answer in proper HTTP"


def gzipped(data: bytes) -> bytes:
    """The data as gzip, alike in every process."""
    return gzip.compress(data, 6, mtime=0)


def _bomb(size: int) -> bytes:
    """A feed that begins well and goes on with nothing but spaces, packed a thousand to one."""
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    start = packer.compress(_FEED) + packer.flush(zlib.Z_FULL_FLUSH)
    # After a full flush the packer has forgotten what came before: the same block can be repeated as it is.
    block = packer.compress(b" " * 1_000_000) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + block * (size // 1_000_000) + packer.flush()


def _chunked(*chunks: bytes) -> bytes:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return _OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed


def _failing(name: str, answer: Answer, says: str, **limits: float) -> Behaviour:
    return Behaviour(name, {FEED: answer}, (), FAILED, says, **limits)  # type: ignore[arg-type]  # seconds, both


def _packed(name: str, encoding: str, body: bytes, says: str) -> Behaviour:
    return _failing(name, served(body, content_encoding=encoding), says)


def _in_bytes(connection: socket.socket, head: bytes) -> None:
    """Send a small feed in packets of 100 bytes: slow, but honest."""
    answer = served(_FEED)
    for start in range(0, len(answer), 100):
        connection.sendall(answer[start : start + 100])


_MANY_HEADERS = b"".join(b"X-Header-%d: %d\r\n" % (n, n) for n in range(100_000))
_CUT_FEED = rss(good(0), good(1)).encode()
_SHORT = len(_CUT_FEED) - 600

BEHAVIOURS = (
    _packed("sends a gzip bomb of 300 MB", "gzip", _bomb(300_000_000), f"more than {MAX_FEED_BYTES:,} bytes"),
    _packed("sends a gzip bomb in a gzip bomb", "gzip", gzipped(_bomb(300_000_000)), "neither RSS nor Atom"),
    _packed("calls a bomb packed twice", "gzip, gzip", gzipped(_bomb(50_000_000)), "packed more than once"),
    _packed("packs twenty times over", ", ".join(["gzip"] * 20), _FEED, "packed more than once"),
    _packed("sends 10,000 gzip members", "gzip", gzipped(b" ") * 10_000, "too many members"),
    _packed("sends a deflate bomb", "deflate", zlib.compress(b" " * 30_000_000), "which we do not accept"),
    _packed("sends a brotli bomb", "br", b"\xcf\xff\xff\x7f\xf8'\x00\xe2\xb1@ " + b"\xfd" * 90, "do not accept"),
    _packed("sends a zstd bomb", "zstd", b"\x28\xb5\x2f\xfd\x04\x58" + b"\x02\x00\x00\x20" * 90, "do not accept"),
    _packed("packs in an encoding of its own", "x-hostile\x1b[31m", _FEED, "do not accept"),
    _packed("calls plain text gzip", "gzip", _FEED, "damaged gzip body"),
    _packed("breaks off within gzip", "gzip", gzipped(_FEED)[:-900], "breaks off in the middle of its gzip"),
    _packed("spoils the checksum of gzip", "gzip", gzipped(_FEED)[:-8] + b"\0" * 8, "damaged gzip body"),
    Behaviour("sends gzip without saying so", {FEED: served(gzipped(_FEED))}, (), FAILED, "neither RSS nor Atom"),
    Behaviour("packs in gzip and pads it", {FEED: served(gzipped(_FEED) + b"\0" * 512, content_encoding="gzip")}, GOOD),
    _failing("sends a body without end", forever(b" " * 65_536, _OK + b"\r\n"), f"more than {MAX_FEED_BYTES:,} bytes"),
    _failing(
        "sends items without end",
        forever(_FEED * 10, _OK + b"\r\n" + _FEED.removesuffix(b"</channel></rss>")),
        "more than 5,000,000 bytes",
    ),
    _failing("drips its body", forever(b" ", _OK + b"\r\n", 0.02), _TOO_SLOW, **_SLOW),
    _failing("drips its headers", forever(b"X-Drip: 1\r\n", b"HTTP/1.1 200 OK\r\n", 0.02), _TOO_SLOW, **_SLOW),
    _failing("drips its status line", forever(b" ", b"HTTP/1.1", 0.02), _TOO_SLOW, **_SLOW),
    _failing("drips chunks of one byte", forever(b"1\r\n \r\n", _chunked(b" "), 0.02), _TOO_SLOW, **_SLOW),
    _failing("says nothing at all", late(b"", 1.5), _TOO_SLOW, **_SLOW),
    _failing("answers too late", late(served(_FEED), 1.5), _TOO_SLOW, **_SLOW),
    _failing(
        "sends headers and then nothing", forever(b"", _OK + b"Content-Length: 9\r\n\r\n", 0.1), _TOO_SLOW, **_SLOW
    ),
    Behaviour("sends a whole feed in small packets", {FEED: _in_bytes}, GOOD),
    _failing(
        "sends one header without end", forever(b"a" * 4_096, b"HTTP/1.1 200 OK\r\nX-Long: "), f"{_ENDLESS}|{_NO_HTTP}"
    ),
    _failing(
        "sends headers without end", forever(b"X-A: b\r\n" * 500, b"HTTP/1.1 200 OK\r\n"), f"{_ENDLESS}|{_NO_HTTP}"
    ),
    _failing(
        "sends 100,000 headers", b"HTTP/1.1 200 OK\r\n" + _MANY_HEADERS + b"\r\n" + _FEED, f"{_ENDLESS}|{_NO_HTTP}"
    ),
    _failing("sends a status line without end", forever(b"a" * 4_096, b"HTTP/1.1 200 "), f"{_ENDLESS}|{_NO_HTTP}"),
    _failing("says 'continue' without end", forever(b"HTTP/1.1 100 Continue\r\n\r\n" * 100), f"{_ENDLESS}|{_NO_HTTP}"),
    _failing(
        "sends trailers without end", forever(b"X-A: b\r\n" * 500, _chunked(_FEED) + b"0\r\n"), f"{_ENDLESS}|{_NO_HTTP}"
    ),
    _failing("extends a chunk without end", forever(b"a" * 4_096, _chunked(b" ") + b"5;x="), f"{_ENDLESS}|{_NO_HTTP}"),
    _failing(
        "promises more than it sends",
        _OK + b"Content-Length: %d\r\n\r\n" % (len(_FEED) + 10) + _FEED,
        _CUT,
    ),
    _failing(
        "promises more than we take", _OK + b"Content-Length: 99999999999999\r\n\r\n" + _FEED, f"{_CUT}|more than"
    ),
    Behaviour(
        "promises less than it sends",
        {FEED: _OK + b"Content-Length: %d\r\n\r\n" % _SHORT + _CUT_FEED},
        (FIRST, SECOND),
    ),
    _failing("promises a negative length", _OK + b"Content-Length: -1\r\n\r\n" + _FEED, _NO_HTTP),
    _failing("promises a length in words", _OK + b"Content-Length: many\r\n\r\n" + _FEED, _NO_HTTP),
    _failing(
        "promises two different lengths",
        _OK + b"Content-Length: 10\r\nContent-Length: %d\r\n\r\n" % len(_FEED) + _FEED,
        _NO_HTTP,
    ),
    Behaviour("promises nothing and closes", {FEED: _OK + b"\r\n" + _FEED}, GOOD),
    Behaviour(
        "promises nothing and closes within an item",
        {FEED: _OK + b"\r\n" + _CUT_FEED[:_SHORT]},
        (FIRST, SECOND),
    ),
    Behaviour("sends chunks of one byte", {FEED: _chunked(*(bytes([b]) for b in _FEED)) + b"0\r\n\r\n"}, GOOD),
    _failing("breaks off within a chunk", _chunked(_FEED)[:-50], _CUT),
    _failing("leaves the last chunk out", _chunked(_FEED), _CUT),
    _failing(
        "sends a chunk with a size that is no number", _OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", _NO_HTTP
    ),
    _failing("sends a chunk of a negative size", _OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + _FEED, _NO_HTTP),
    _failing(
        "promises a chunk of 16 exabytes",
        _OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + _FEED,
        _CUT,
    ),
    _failing("sends a transfer encoding that nobody knows", _OK + b"Transfer-Encoding: gzip\r\n\r\n" + _FEED, _NO_HTTP),
    _failing("speaks no HTTP", b"220 ftp.example.com ready\r\n", f"{_NO_HTTP}|{_CUT}"),
    _failing("speaks HTTP 0.9", _FEED, f"{_NO_HTTP}|{_CUT}"),
    _failing("speaks HTTP/2 unasked", b"\0\0\x12\x04\0\0\0\0\0" + b"\0" * 18, f"{_NO_HTTP}|{_CUT}"),
    _failing("closes at once", b"", _CUT),
    _failing("hangs up with a reset", hang_up, "the connection broke|breaks off"),
    _failing("folds a header over lines", b"HTTP/1.1 200 OK\r\nX-A: b\r\n\tc\0\r\n\r\n" + _FEED, _NO_HTTP),
    _failing("puts a null into a header", b"HTTP/1.1 200 OK\r\nX-A: \0\r\n\r\n" + _FEED, _NO_HTTP),
    Behaviour(
        "sends validators that would break a request",
        {FEED: [served(_FEED, etag='"\x1b[31m"', last_modified="x" * 5_000), served(_FEED)]},
        GOOD,
        "unchanged",
        fetches=2,
    ),
    _failing(
        "sends one byte too much",
        reply(_FEED + b" " * (MAX_FEED_BYTES - len(_FEED) + 1)),
        f"more than {MAX_FEED_BYTES:,} bytes",
    ),
    Behaviour("sends just as much as we take", {FEED: served(_FEED + b" " * (MAX_FEED_BYTES - len(_FEED)))}, GOOD),
)
