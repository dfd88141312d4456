"""Answers that are no feed, though they say 200, and statuses that ask for patience or say goodbye."""

from __future__ import annotations

import datetime as dt
import json

from newsletter.intake import FAILED, GONE
from tests.hostile.publisher import FEED, FEED_HOST, FIRST, SECOND, Behaviour, Outcome, good, rss, served
from tests.newsletter.loopback import reply

_FEED = rss(good(0))
_PAGE = "<!DOCTYPE html><html><head><title>Welcome</title>{}</head><body><p>Hello</p>{}</body></html>"
_LOGIN = _PAGE.format("", "<form><input name=user><input type=password name=word></form>")
_ALTERNATE = "<link rel=alternate type='application/rss+xml' href='/real.xml'>"
_CHALLENGE = _PAGE.format("<script>document.location.reload()</script>", "<noscript>Enable JavaScript</noscript>")
_JSON_FEED = {"version": "https://jsonfeed.org/version/1.1", "title": "x", "items": [{"id": "1", "title": "One"}]}
_FAR = (dt.datetime.now(dt.UTC) + dt.timedelta(days=4_000)).strftime("%a, %d %b %Y %H:%M:%S GMT")


def _no_feed(name: str, body: str | bytes, says: str, kind: str = "text/html") -> Behaviour:
    return Behaviour(f"answers {name} with 200", {FEED: served(body, kind)}, (), FAILED, says)


def _status(status: str, says: str, **headers: str) -> Behaviour:
    names = " and ".join(f"{key.replace('_', '-')} {value}"[:60] for key, value in headers.items())
    answer = reply(_FEED.encode(), status, **headers)
    return Behaviour(f"answers {status}{f' with {names}' if names else ''}", {FEED: answer}, (), FAILED, says)


def _waiting(name: str, retry_after: str) -> Behaviour:
    """Two fetches, a day apart: the publisher asked for more than that, or for less."""
    return Behaviour(
        name,
        {FEED: [reply(b"", "429 Too Many Requests", retry_after=retry_after), served(_FEED)]},
        (FIRST,),
        fetches=2,
        check=lambda outcome: _failed_before(outcome),
    )


def _failed_before(outcome: Outcome) -> None:
    assert [report.status for report in outcome.reports[:-1]] == [FAILED] * (len(outcome.reports) - 1)


def _asked_once(outcome: Outcome) -> None:
    assert outcome.asked == [FEED]


BEHAVIOURS = (
    _no_feed("a web page", _PAGE.format("", ""), "a web page, not a feed"),
    _no_feed("a web page that names its feed", _PAGE.format(_ALTERNATE, ""), f"this feed: http://{FEED_HOST}/real.xml"),
    _no_feed("a web page called a feed", _PAGE.format("", ""), "a web page, not a feed", "application/rss+xml"),
    _no_feed(
        "a page that names a script as its feed",
        _PAGE.format(_ALTERNATE.replace("/real.xml", "javascript:x"), ""),
        "not a feed$",
    ),
    _no_feed("a login page", _LOGIN, "a login page, not a feed"),
    _no_feed("a challenge for browsers", _CHALLENGE, "a web page, not a feed"),
    _no_feed("'not found' in a page", _PAGE.format("", "<h1>404</h1>"), "a web page, not a feed"),
    _no_feed("JSON", '{"error": "unauthorized"}', "JSON, which is neither RSS nor Atom", "application/json"),
    _no_feed("a JSON Feed", json.dumps(_JSON_FEED), "JSON, which is neither RSS nor Atom", "application/feed+json"),
    _no_feed("JSON 100,000 deep", "[" * 100_000, "JSON, which is neither", "application/json"),
    _no_feed("nothing", "", "the answer is empty"),
    _no_feed("nothing but spaces", " \r\n" * 10_000, "the answer is empty"),
    _no_feed("a sentence", "Service temporarily unavailable", "neither RSS nor Atom", "text/plain"),
    _no_feed("an error of PHP", "<br />\n<b>Fatal error</b>: in /var/www/x.php", "neither RSS nor Atom"),
    _no_feed("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + b"\0" * 500, "neither RSS nor Atom", "application/pdf"),
    _no_feed("a picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10, "neither RSS nor Atom", "image/png"),
    _no_feed("an archive", b"PK\x03\x04" + bytes(range(256)) * 10, "neither RSS nor Atom", "application/zip"),
    _no_feed("a sitemap", '<?xml version="1.0"?><urlset><url><loc>x</loc></url></urlset>', "neither RSS", "text/xml"),
    _no_feed("a drawing", '<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', "neither RSS", "image/svg+xml"),
    _no_feed("an outline", '<opml version="2.0"><body><outline text="a"/></body></opml>', "neither RSS", "text/x-opml"),
    _no_feed("a fault of SOAP", "<soap:Envelope><soap:Fault/></soap:Envelope>", "neither RSS", "text/xml"),
    _no_feed(
        "an error of a storage service", "<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "neither"
    ),
    *(
        _status(status, f"answers {status[:3]}")
        for status in (
            "201 Created",
            "204 No Content",
            "206 Partial Content",
            "300 Multiple Choices",
            "304 Not Modified",
            "400 Bad Request",
            "401 Unauthorized",
            "402 Payment Required",
            "403 Forbidden",
            "404 Not Found",
            "418 I'm a teapot",
            "451 Unavailable For Legal Reasons",
            "500 Internal Server Error",
            "502 Bad Gateway",
            "503 Service Unavailable",
            "599 \x1b[31mRed",
            "999 Request Denied",
        )
    ),
    _status("503 Service Unavailable", "answers 503", retry_after="120"),
    _status("429 Too Many Requests", "answers 429", retry_after="soon"),
    _status("429 Too Many Requests", "answers 429", retry_after="-1"),
    _status("429 Too Many Requests", "answers 429", retry_after="9" * 400),
    _waiting("asks for two hours with 429", "7200"),
    _waiting("asks for eleven years with 429 and gets a day", str(11 * 365 * 86_400)),
    _waiting("asks for eleven years by a date with 429 and gets a day", _FAR),
    Behaviour(
        "asks for a wait and is asked again too early",
        {FEED: [reply(b"", "503 Service Unavailable", retry_after=_FAR), served(_FEED)]},
        (FIRST,),
        fetches=2,
    ),
    Behaviour(
        "is gone for good",
        {FEED: [reply(b"", "410 Gone"), served(_FEED)]},
        (),
        GONE,
        "410 Gone",
        fetches=2,
        check=_asked_once,
    ),
    Behaviour(
        "fails twice and comes back",
        {FEED: [reply(b"", "503 Service Unavailable"), served(b""), served(rss(good(0), good(1)))]},
        (FIRST, SECOND),
        fetches=3,
        check=_failed_before,
    ),
    Behaviour(
        "answers another status at every fetch and keeps its pieces",
        {FEED: [served(_FEED), reply(b"", "500 Internal Server Error"), served(_LOGIN, "text/html")]},
        (FIRST,),
        FAILED,
        "a login page",
        fetches=3,
    ),
)
