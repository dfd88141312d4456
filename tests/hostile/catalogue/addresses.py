"""Ways to have us ask an address that we must not: redirects, odd spellings, names that lie, links in feeds."""

from __future__ import annotations

import html
import socket
import time
from collections.abc import Mapping, Sequence

from newsletter.intake import FAILED
from newsletter.values import Source
from tests.hostile.publisher import (
    ADDRESSES,
    FEED,
    FEED_HOST,
    FEED_URL,
    FIRST,
    GOOD,
    OTHER_HOST,
    PAGE_HOST,
    SECOND,
    Behaviour,
    Outcome,
    Resolved,
    good,
    item,
    rss,
    served,
)
from tests.newsletter.loopback import reply

REFUSED = {
    "loopback": "127.0.0.1",
    "the far end of loopback": "127.255.255.254",
    "this host": "0.0.0.0",
    "private 10": "10.0.0.1",
    "private 172": "172.16.0.1",
    "private 192": "192.168.1.1",
    "carrier-grade NAT": "100.64.0.1",
    "link-local": "169.254.1.1",
    "the metadata service": "169.254.169.254",
    "Azure's own host": "168.63.129.16",
    "Alibaba's metadata service": "100.100.100.200",
    "Oracle's metadata service": "192.0.0.192",
    "benchmarking": "198.18.0.1",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "IPv6 loopback": "[::1]",
    "IPv6 unspecified": "[::]",
    "IPv6 unique local": "[fd00::1]",
    "IPv6 link-local": "[fe80::1]",
    "IPv6 site-local": "[fec0::1]",
    "IPv6 multicast": "[ff02::1]",
    "Amazon's metadata over IPv6": "[fd00:ec2::254]",
    "IPv4-mapped": "[::ffff:127.0.0.1]",
    "IPv4-mapped in hex": "[::ffff:7f00:1]",
    "IPv4-compatible": "[::7f00:1]",
    "IPv4-translated": "[::ffff:0:10.0.0.1]",
    "NAT64": "[64:ff9b::169.254.169.254]",
    "local NAT64": "[64:ff9b:1::10.0.0.1]",
    "6to4": "[2002:a9fe:a9fe::1]",
    "Teredo": "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    "one long decimal": "2130706433",
    "one long octal": "017700000001",
    "one long hex": "0x7f000001",
    "octal parts": "0177.0.0.01",
    "hex parts": "0x7f.0x0.0x0.0x1",
    "two parts": "127.1",
    "three parts": "127.0.1",
    "zero alone": "0",
    "a trailing dot": "127.0.0.1.",
    "localhost": "localhost",
    "localhost in capitals and with a dot": "LOCALHOST.",
    "full-width digits": "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "circled digits": "①②⑦.⓪.⓪.①",
    "ideographic full stops": "127。0。0。1",
    "a zone": "[fe80::1%25lo]",
    "escaped digits": "%31%32%37.0.0.1",
}
"""Hosts that are never dialled, by what they are."""

NO_WEB_ADDRESS = {
    "a file": "file:///etc/passwd",
    "gopher": "gopher://127.0.0.1:6379/_INFO",
    "ftp": "ftp://127.0.0.1/feed",
    "data": "data:application/rss+xml,<rss/>",
    "a script": "javascript:alert(1)",
    "port 0": f"http://{OTHER_HOST}:0/",
    "a port that is too large": f"http://{OTHER_HOST}:99999/",
    "a user name that looks like a host": f"http://{OTHER_HOST}@127.0.0.1/",
    "a user name and a password": f"http://user:secret@{OTHER_HOST}/",
    "an address that is none": "http://[::1/",
    "nowhere": "",
    "5,000 characters": f"http://{OTHER_HOST}/{'a' * 5_000}",
    "a backslash before an address": f"http://127.0.0.1\\@{OTHER_HOST}/",
}
_REFUSAL = "not a public address|cannot be resolved|no URL"
_NO_WAY = "neither http nor https|without a host|a port that does not exist|a user name|no URL|without saying where"


def _moved(location: str) -> bytes:
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    return head.encode()


def _redirected(what: str, location: str, says: str, once: bool = True) -> Behaviour:
    check = _asked_once if once else None
    return Behaviour(f"redirects to {what}", {FEED: _moved(location)}, (), FAILED, says, check=check)


def _asked_once(outcome: Outcome) -> None:
    assert outcome.asked == [FEED]


def _named(what: str, *resolved: Resolved, says: str = "is not a public address") -> Behaviour:
    return Behaviour(
        f"has a name with {what}", {}, (), FAILED, says, names={FEED_HOST: resolved}, check=_nobody_was_dialled
    )


def _nobody_was_dialled(outcome: Outcome) -> None:
    assert outcome.dialled == []


def _asleep() -> Sequence[str]:
    time.sleep(2)
    return [ADDRESSES[FEED_HOST]]


def _linked(what: str, link: str, says: str, answers: Mapping[str, bytes] | None = None) -> Behaviour:
    """A feed with a good piece, and a teaser of one whose page is at an address that we must not ask."""
    teaser = item(SECOND, 2, text="The beginning of it ...", link=html.escape(link))
    return Behaviour(
        f"links a piece to {what}",
        {FEED: served(rss(good(0), teaser)), **(answers or {})},
        (FIRST, SECOND),
        notes=says,
        check=lambda outcome: _asked_no_more_than([FEED, *(answers or {})], outcome),
    )


def _asked_no_more_than(paths: list[str], outcome: Outcome) -> None:
    assert set(outcome.asked) <= set(paths)


def _source(what: str, url: str, says: str) -> Behaviour:
    """A source whose own address is bad: an OPML file of a stranger may hold any."""
    return Behaviour(f"is a source at {what}", {}, (), FAILED, says, source=Source(url, "A source", url))


_LOOP = {f"/{n}": _moved(f"http://{FEED_HOST}/{n + 1}") for n in range(1, 10)}
_POISONED = '<?xml version="1.0"?><?xml-stylesheet href="http://127.0.0.1/style.xsl" type="text/xsl"?>'
_ELSEWHERE = (
    '<image><url>http://10.0.0.1/logo.png</url></image><cloud domain="127.0.0.1" port="80" path="/rpc"/>'
    '<atom:link xmlns:atom="http://www.w3.org/2005/Atom" rel="hub" href="http://169.254.169.254/"/>'
)
_LOOT = '<enclosure url="http://169.254.169.254/latest/" length="1" type="audio/mpeg"/>'

BEHAVIOURS = (
    *(_redirected(what, f"http://{host}/latest/meta-data/", _REFUSAL) for what, host in REFUSED.items()),
    *(_redirected(what, location, _NO_WAY) for what, location in NO_WEB_ADDRESS.items()),
    _redirected("an empty host, which is its own", "http:///feed.xml", "redirects more than 5 times", once=False),
    _redirected("a control character", f"http://{OTHER_HOST}/\x0bX-Evil: 1", "not answer in proper HTTP"),
    _redirected("a protocol-relative private address", "//10.0.0.1/", _REFUSAL),
    _redirected("https on loopback", "https://127.0.0.1/", _REFUSAL),
    _redirected("a port of loopback", "http://127.0.0.1:6379/", _REFUSAL),
    _redirected("a name with a private address behind", "http://inside.example.com/", "cannot be resolved"),
    Behaviour("redirects to itself for ever", {FEED: _moved(FEED)}, (), FAILED, "redirects more than 5 times"),
    Behaviour(
        "redirects in a circle of two hosts",
        {FEED: _moved(f"http://{OTHER_HOST}/back"), "/back": _moved(FEED_URL)},
        (),
        FAILED,
        "redirects more than 5 times",
    ),
    Behaviour("redirects nine times", {FEED: _moved("/1"), **_LOOP}, (), FAILED, "redirects more than 5 times"),
    Behaviour(
        "redirects five times and then serves a feed",
        {FEED: _moved("/5"), **_LOOP, "/9": served(rss(good(0), good(1), good(2)))},
        GOOD,
    ),
    Behaviour(
        "redirects by way of others to the metadata service",
        {FEED: _moved(f"http://{OTHER_HOST}/hop"), "/hop": _moved("http://169.254.169.254/")},
        (),
        FAILED,
        f"{OTHER_HOST} redirects to 169.254.169.254, which is not a public address",
    ),
    Behaviour(
        "redirects to two places at once",
        {FEED: reply(b"", "302 Found\r\nLocation: http://127.0.0.1/", location=FEED_URL)},
        (),
        FAILED,
        "not a public address|no URL|cannot be resolved",
    ),
    Behaviour(
        "redirects by a page that refreshes itself",
        {FEED: served("<html><meta http-equiv=refresh content='0;url=http://127.0.0.1/'></html>", "text/html")},
        (),
        FAILED,
        "web page, not a feed",
        check=_asked_once,
    ),
    Behaviour(
        "redirects by the header Refresh",
        {FEED: served(rss(good(0)), refresh="0; url=http://127.0.0.1/")},
        (FIRST,),
        check=_asked_once,
    ),
    _named("a private address", ["10.0.0.1"]),
    _named("the metadata service behind", ["169.254.169.254"]),
    _named("a loopback address of IPv6", ["::1"]),
    _named("an IPv4-mapped address", ["::ffff:169.254.169.254"]),
    _named("a NAT64 address", ["64:ff9b::7f00:1"]),
    _named("a public and a private address", [ADDRESSES[FEED_HOST], "192.168.0.1"]),
    _named("a private address last of a thousand", [*(f"198.41.{n // 250}.{n % 250}" for n in range(999)), "10.0.0.1"]),
    _named("a public address of IPv4 and loopback of IPv6", [ADDRESSES[FEED_HOST], "::1"]),
    _named("something that is no address", ["not-an-address"]),
    _named("an address with a zone", ["fe80::1%lo"]),
    _named("no address", [], says="the name has no address"),
    _named("an answer that is an error", socket.gaierror(socket.EAI_FAIL, "Failed"), says="cannot be resolved"),
    Behaviour(
        "has a name that is never answered",
        {},
        (),
        FAILED,
        "did not answer completely within 0.3 seconds",
        names={FEED_HOST: [_asleep]},
        patience=0.3,
        within=2,
    ),
    Behaviour(
        "changes its name to a private address between two hops",
        {FEED: _moved("/again"), "/again": served(rss(good(0)))},
        (),
        FAILED,
        "not a public address",
        names={FEED_HOST: [[ADDRESSES[FEED_HOST]], ["127.0.0.1"]]},
        check=_asked_once,
    ),
    Behaviour(
        "changes its name to a private address between two fetches",
        {FEED: [served(rss(good(0))), served(rss(good(0), good(1)))]},
        (FIRST,),
        FAILED,
        "not a public address",
        names={FEED_HOST: [[ADDRESSES[FEED_HOST]], ["127.0.0.1"]]},
        fetches=2,
        check=_asked_once,
    ),
    Behaviour(
        "changes its name to a private address between feed and page",
        {FEED: served(rss(good(0), item(SECOND, 2, text="A teaser ...", link=f"http://{FEED_HOST}/p/2")))},
        (FIRST, SECOND),
        notes="not a public address",
        names={FEED_HOST: [[ADDRESSES[FEED_HOST]], ["10.0.0.1"]]},
        check=_asked_once,
    ),
    _linked("loopback", "http://127.0.0.1:8000/admin", "not a public address"),
    _linked("the metadata service", "http://169.254.169.254/latest/meta-data/iam/", "not a public address"),
    _linked("one long decimal", "http://2852039166/", "not a public address"),
    _linked("a user name in front of loopback", f"http://{PAGE_HOST}@127.0.0.1/", "a user name"),
    _linked(
        "a page that redirects to the metadata service",
        f"http://{PAGE_HOST}/moved",
        f"{PAGE_HOST} redirects to 169.254.169.254",
        {"/moved": _moved("http://169.254.169.254/")},
    ),
    _linked("a page that loops", f"http://{PAGE_HOST}/loop", "redirects more than 5 times", {"/loop": _moved("/loop")}),
    _linked("a page of many ports", f"http://{PAGE_HOST}:22/", "page: ", {"/": reply(b"SSH-2.0", "404 Not Found")}),
    Behaviour(
        "links a piece to a file",
        {FEED: served(rss(good(0), item(SECOND, 2, text="A teaser ...", link="file:///etc/passwd")))},
        (FIRST, SECOND),
        check=_asked_once,
    ),
    Behaviour(
        "names private addresses as image, enclosure, hub and style sheet",
        {FEED: served(rss(good(0, extra=_LOOT), head=_POISONED, channel=_ELSEWHERE))},
        (FIRST,),
        check=_asked_once,
    ),
    _source("a file", "file:///etc/passwd", "neither http nor https"),
    _source("the metadata service", "http://169.254.169.254/", "not a public address"),
    _source("an address in hex", "http://0xa9fea9fe/", "not a public address"),
)
